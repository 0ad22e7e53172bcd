/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/status/fetch_rights.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { CPU_SECONDS = 60, SPARE_MEMORY = 64 << 20 };

static bool limit(__rlimit_resource_t what, rlim_t most)
{
    struct rlimit both = {most, most};
    return setrlimit(what, &both) == 0;
}

/* The two that are left become 3 and 4; standard error stays with sanitizers, which report there.
 */
static bool close_others(int *connection, int *out)
{
    int nowhere = open("/dev/null", O_RDWR);
    int first = fcntl(*connection, F_DUPFD, 10);
    int second = fcntl(*out, F_DUPFD, 10);
    bool done = nowhere >= 0 && first >= 0 && second >= 0 && dup2(nowhere, 0) == 0 &&
                dup2(nowhere, 1) == 1 && (SANITIZED || dup2(nowhere, 2) == 2) &&
                dup2(first, 3) == 3 && dup2(second, 4) == 4 && close_range(5, ~0U, 0) == 0;
    *connection = 3;
    *out = 4;
    return done;
}

/* No openat, socket, connect, clone, kill: what is there can be read and written, and nothing else
 * got hold of. */
cb_error cb_fetch_confine(int *connection, int *out, size_t most, bool sandbox)
{
    static const char *const calls[] = {"read",
                                        "write",
                                        "recvfrom",
                                        "sendto",
                                        "poll",
                                        "ppoll",
                                        "close",
                                        "brk",
                                        "mmap",
                                        "munmap",
                                        "mremap",
                                        "mprotect",
                                        "madvise",
                                        "futex",
                                        "clock_gettime",
                                        "gettimeofday",
                                        "rt_sigprocmask",
                                        "rt_sigaction",
                                        "rt_sigreturn",
                                        "sigaltstack",
                                        "getpid",
                                        "gettid",
                                        "exit",
                                        "exit_group",
                                        "restart_syscall",
                                        "getrandom",
                                        "rseq",
                                        "sched_yield",
                                        NULL};
    bool done = close_others(connection, out) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
                limit(RLIMIT_NOFILE, 8) && limit(RLIMIT_CPU, CPU_SECONDS) && limit(RLIMIT_NPROC, 0);
    if (!SANITIZED) /* a buffer that grows is there twice */
        done = done && limit(RLIMIT_AS, 3 * (rlim_t)most + SPARE_MEMORY);
    cb_error error = done ? cb_sandbox_no_dumps() : CB_E_INTERNAL;
    return error || !sandbox ? error : cb_sandbox_allow(calls, NULL);
}

/* What it takes to look up a name, to connect, and to make a process that does; reading files, too,
 * for that is how names are looked up, but no writing. */
cb_error cb_fetch_confine_keeper(void)
{
    static const char *const calls[] = {"accept4",
                                        "bind",
                                        "clone",
                                        "clone3",
                                        "close",
                                        "close_range",
                                        "connect",
                                        "dup",
                                        "dup2",
                                        "dup3",
                                        "exit",
                                        "exit_group",
                                        "fcntl",
                                        "fstat",
                                        "futex",
                                        "getpeername",
                                        "getpid",
                                        "getppid",
                                        "gettid",
                                        "getsockname",
                                        "getsockopt",
                                        "setsockopt",
                                        "ioctl",
                                        "lseek",
                                        "newfstatat",
                                        "stat",
                                        "statx",
                                        "open",
                                        "openat",
                                        "poll",
                                        "ppoll",
                                        "read",
                                        "readv",
                                        "recvfrom",
                                        "recvmsg",
                                        "recvmmsg",
                                        "sendmmsg",
                                        "sendmsg",
                                        "sendto",
                                        "socket",
                                        "uname",
                                        "wait4",
                                        "write",
                                        "writev",
                                        "brk",
                                        "madvise",
                                        "mmap",
                                        "mprotect",
                                        "mremap",
                                        "munmap",
                                        "prctl",
                                        "prlimit64",
                                        "setrlimit",
                                        "seccomp",
                                        "rseq",
                                        "getrandom",
                                        "clock_gettime",
                                        "clock_nanosleep",
                                        "nanosleep",
                                        "gettimeofday",
                                        "rt_sigaction",
                                        "rt_sigprocmask",
                                        "rt_sigreturn",
                                        "sigaltstack",
                                        "restart_syscall",
                                        "set_robust_list",
                                        "sched_yield",
                                        "sched_getaffinity",
                                        "time",
                                        "geteuid",
                                        "getuid",
                                        "getegid",
                                        "getgid",
                                        "sysinfo",
                                        "readlink",
                                        "access",
                                        "faccessat",
                                        "faccessat2",
                                        "epoll_create1",
                                        "epoll_ctl",
                                        "epoll_wait",
                                        "epoll_pwait",
                                        "eventfd2",
                                        "pread64",
                                        "getcwd",
                                        "getresuid",
                                        "getresgid",
                                        "socketpair",
                                        "statfs",
                                        "fstatfs",

                                        NULL};
    return limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_CORE, 0) ? cb_sandbox_allow(calls, NULL)
                                                           : CB_E_INTERNAL;
}
