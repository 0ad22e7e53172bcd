/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/sandbox.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

/* The same call by its number of another interface of the architecture. */
static void use_another_interface(void)
{
    if (cb_sandbox_allow(few, NULL))
        _exit(9);
    syscall(0x40000000 | SYS_write, 1, "", 0);
}

#ifdef __x86_64__
static void use_another_architecture(void)
{
    long result = 4; /* write, of 32 bits */
    if (cb_sandbox_allow(few, NULL))
        _exit(9);
    __asm__ volatile("int $0x80" : "+a"(result) : "b"(1), "c"(0), "d"(0) : "memory");
}
#endif

/* What the kernel would make of it; the instructions that are used. */
static uint32_t decided(const cb_sandbox_filter *filter, uint32_t architecture, uint32_t number)
{
    uint32_t value = 0;
    for (unsigned at = 0; at < filter->count; at++) {
        const struct sock_filter *now = &filter->code[at];
        switch (now->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            value = now->k == offsetof(struct seccomp_data, nr) ? number : architecture;
            break;
        case BPF_JMP | BPF_JA:
            at += now->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += value == now->k ? now->jt : now->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += value >= now->k ? now->jt : now->jf;
            break;
        default:
            assert_int_equal(now->code, BPF_RET | BPF_K);
            return now->k;
        }
    }
    fail_msg("it comes to no end");
    return 0;
}

enum { NUMBERS = 1024 };
static char name[NUMBERS][40]; /* of calls; empty: none */

/* Every so-manieth call. */
static unsigned choose(const char *out[NUMBERS], int first, int step)
{
    unsigned count = 0;
    for (int number = first; number < NUMBERS; number += step) {
        if (*name[number])
            out[count++] = name[number];
    }
    out[count] = NULL;
    return count;
}

static void check_each_call(const cb_sandbox_filter *filter, int step)
{
    uint32_t here = seccomp_arch_native();
    for (int number = 0; number < NUMBERS; number++) {
        uint32_t expected = SECCOMP_RET_KILL_PROCESS;
        if (*name[number] && number % step == 1)
            expected = SECCOMP_RET_ALLOW;
        else if (*name[number] && number % (3 * step) == 2)
            expected = SECCOMP_RET_ERRNO | EACCES;
        assert_int_equal(decided(filter, here, (uint32_t)number), expected);
        assert_int_equal(decided(filter, here ^ 1, (uint32_t)number), SECCOMP_RET_KILL_PROCESS);
        assert_int_equal(decided(filter, here, (uint32_t)number | 0x40000000),
                         SECCOMP_RET_KILL_PROCESS);
    }
}

static void each_call_is_decided_as_the_lists_say(void **state)
{
    static const char *allowed[NUMBERS], *refused[NUMBERS];
    static cb_sandbox_filter filter;
    (void)state;
    for (int number = 0; number < NUMBERS; number++) {
        char *text = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        snprintf(name[number], sizeof *name, "%s", text ? text : "");
        free(text);
    }
    for (int step = 5; step < 400; step += 7) {
        choose(allowed, 1, step);
        choose(refused, 2, 3 * step);
        assert_int_equal(cb_sandbox_compile(allowed, refused, &filter), CB_OK);
        check_each_call(&filter, step);
    }
    assert_true(choose(allowed, 0, 1) > CB_SANDBOX_CODE_MAX / 3);
    assert_int_equal(cb_sandbox_compile(allowed, NULL, &filter), CB_E_INTERNAL);
    assert_int_equal(filter.count, 0);
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
    status = status_of(use_another_interface);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
#ifdef __x86_64__
    status = status_of(use_another_architecture);
    assert_true(WIFSIGNALED(status));
#endif
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
        cmocka_unit_test(each_call_is_decided_as_the_lists_say),
        cmocka_unit_test(a_filter_that_was_not_compiled_is_refused),
        cmocka_unit_test(dumps_and_new_privileges_are_off),
        cmocka_unit_test(an_unknown_user_is_an_error_and_a_known_one_is_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
