/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "connectors/host/sandbox.h"

enum { MANY = 150 }; /* as many cookies as libcurl sends at most */

static int by_address(const void *a, const void *b)
{
    const char *one = *(char *const *)a, *other = *(char *const *)b;
    return (one > other) - (one < other);
}

static int sort_confined(void)
{
    static char letters[MANY], *sorted[MANY];
    cb_sandbox_filter calls;
    for (int i = 0; i < MANY; i++)
        sorted[i] = &letters[MANY - 1 - i];
    if (cb_login_sandbox(&calls) != CB_OK || cb_sandbox_enter(&calls) != CB_OK)
        return 1;
    qsort(sorted, MANY, sizeof *sorted, by_address);
    return sorted[0] == letters ? 0 : 2;
}

/* The C library asks how much memory there is before it sorts more than a kilobyte. libcurl sorts
 * the cookies that it sends. */
static void a_login_may_sort_as_many_cookies_as_are_sent(void **state)
{
    int status = 0;
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizers' own calls at exit are not on the list */
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    skip();
#endif
#endif
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(sort_confined());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_may_sort_as_many_cookies_as_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
