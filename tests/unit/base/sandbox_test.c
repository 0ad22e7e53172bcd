/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/base/test.h"

/* How a child ends that runs this. */
static int status_of(void (*child)(void))
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        child();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    return status;
}

static const char *const few[] = {"exit_group", "write", NULL};

static void use_what_is_allowed(void)
{
    if (cb_sandbox_allow(few, NULL))
        _exit(9);
}

static void try_in_vain(void)
{
    static const char *const in_vain[] = {"socket", NULL};
    if (cb_sandbox_allow(few, in_vain))
        _exit(9);
    if (socket(AF_INET, SOCK_STREAM, 0) != -1 || errno != EACCES)
        _exit(8);
}

static void use_what_is_not(void)
{
    if (cb_sandbox_allow(few, NULL))
        _exit(9);
    socket(AF_INET, SOCK_STREAM, 0);
}

static void only_what_is_allowed_works(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizers' own calls at exit are not on the list */
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    skip();
#endif
#endif
    int status = status_of(use_what_is_allowed);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = status_of(try_in_vain);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = status_of(use_what_is_not);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void check_no_dumps(void)
{
    struct rlimit limit;
    if (cb_sandbox_no_dumps() || getrlimit(RLIMIT_CORE, &limit) || limit.rlim_max != 0 ||
        prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        _exit(1);
}

static void enter_nothing(void)
{
    static cb_sandbox_filter never_compiled;
    if (cb_sandbox_enter(&never_compiled) != CB_E_INTERNAL)
        _exit(1);
}

static void a_filter_that_was_not_compiled_is_refused(void **state)
{
    (void)state;
    assert_int_equal(status_of(enter_nothing), 0);
}

static void dumps_and_new_privileges_are_off(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_no_dumps), 0);
}

static void become_nobody(void)
{
    int dropped = 0;
    if (cb_sandbox_become("nobody", &dropped) || !dropped || geteuid() == 0 || setuid(0) == 0)
        _exit(1);
}

static void an_unknown_user_is_an_error_and_a_known_one_is_for_good(void **state)
{
    (void)state;
    int dropped = 1;
    assert_int_equal(cb_sandbox_become(NULL, &dropped), CB_OK);
    assert_int_equal(dropped, 0);
    if (geteuid() != 0)
        skip(); /* only root can become another user */
    assert_int_equal(cb_sandbox_become("no-such-user-here", &dropped), CB_E_CONFIG);
    assert_int_equal(status_of(become_nobody), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_allowed_works),
        cmocka_unit_test(a_filter_that_was_not_compiled_is_refused),
        cmocka_unit_test(dumps_and_new_privileges_are_off),
        cmocka_unit_test(an_unknown_user_is_an_error_and_a_known_one_is_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
