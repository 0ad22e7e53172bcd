/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/sandbox.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* No openat, socket, connect, bind, execve, fork, clone, ptrace, kill of others, prctl, prlimit.
 * recvmsg is how an open connection arrives. */
static const char *const allowed[] = {"read",
                                      "write",
                                      "readv",
                                      "writev",
                                      "close",
                                      "recvfrom",
                                      "sendto",
                                      "recvmsg",
                                      "sendmsg",
                                      "shutdown",
                                      "poll",
                                      "ppoll",
                                      "fcntl",
                                      "getsockopt",
                                      "setsockopt",
                                      "getsockname",
                                      "getpeername",
                                      "brk",
                                      "mmap",
                                      "munmap",
                                      "mremap",
                                      "mprotect",
                                      "madvise",
                                      "futex",
                                      "rt_sigaction",
                                      "rt_sigprocmask",
                                      "rt_sigreturn",
                                      "sigaltstack",
                                      "restart_syscall",
                                      "clock_gettime",
                                      "gettimeofday",
                                      "time",
                                      "nanosleep",
                                      "clock_nanosleep",
                                      "getpid",
                                      "gettid",
                                      "getrandom",
                                      "sysinfo", /* qsort's */
                                      "rseq",
                                      "exit",
                                      "exit_group",
                                      NULL};

static bool is_kept(int fd, const int *keep, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (keep[i] == fd)
            return true;
    }
    return false;
}

cb_error cb_login_close_others(const int *keep, unsigned count)
{
    int highest = 2;
    int nowhere = open("/dev/null", O_RDWR);
    if (nowhere < 0)
        return CB_E_IO;
    for (int fd = 0; fd <= 2; fd++) {
        /* Sanitizers report on standard error. */
        if (!(SANITIZED && fd == 2) && dup2(nowhere, fd) < 0)
            return CB_E_IO;
    }
    for (unsigned i = 0; i < count; i++)
        highest = keep[i] > highest ? keep[i] : highest;
    for (int fd = 3; fd <= highest; fd++) {
        if (!is_kept(fd, keep, count))
            close(fd);
    }
    return close_range((unsigned)highest + 1, ~0U, 0) == 0 ? CB_OK : CB_E_IO;
}

static bool limit(__rlimit_resource_t what, rlim_t most)
{
    struct rlimit both = {most, most};
    return setrlimit(what, &both) == 0;
}

cb_error cb_login_sandbox(cb_sandbox_filter *out) { return cb_sandbox_compile(allowed, NULL, out); }

cb_error cb_login_confine(const cb_login_limits *limits, const cb_sandbox_filter *calls)
{
    bool done = limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
                limit(RLIMIT_NOFILE, CB_LOGIN_DESCRIPTORS) &&
                limit(RLIMIT_CPU, limits->cpu_seconds);
    if (!SANITIZED)
        done = done && limit(RLIMIT_AS, (rlim_t)limits->memory_mb * 1024 * 1024);
    cb_error error = done ? cb_sandbox_no_dumps() : CB_E_INTERNAL;
    return error ? error : cb_sandbox_enter(calls);
}
