/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/sandbox.h"

#include "base/sandbox.h"

/* Found by running the integration test under strace(1), and what those calls are called on other
 * versions of the C library. */
static const char *const calls[] = {
    /* connections */
    "accept4", "recvmsg", "sendmsg", "getsockopt", "epoll_create1", "epoll_ctl", "epoll_pwait",
    "poll", "ppoll", "close",
    /* files: hsmd's memory, certificates, a software token's objects */
    "openat", "read", "pread64", "write", "pwrite64", "lseek", "fstat", "newfstatat", "statx",
    "fcntl", "flock", "ftruncate", "fsync", "fdatasync", "getdents64", "unlink", "unlinkat", "readlink",
    /* softhsm.h: a whole file takes another one's place */
    "renameat", "renameat2",
    /* SoftHSM, when it is initialised again: where its configuration is */
    "access", "faccessat", "faccessat2", "getuid",
    /* memory, time, signals, itself */
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "mlock", "munlock", "getrandom",
    "clock_gettime", "clock_nanosleep", "futex", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "restart_syscall", "getpid", "gettid", "tgkill", "exit", "exit_group"};

/* Token libraries complain through the system's log, which a worker cannot reach. */
static const char *const in_vain[] = {"socket", "connect", NULL};

cb_error cb_hsmd_sandbox(const char *const *extra, size_t count)
{
    enum { CALLS = sizeof calls / sizeof *calls };
    const char *all[CALLS + CB_SANDBOX_EXTRA_MAX + 1] = {0};
    if (count > CB_SANDBOX_EXTRA_MAX)
        return CB_E_TOO_LARGE;
    for (size_t i = 0; i < CALLS; i++)
        all[i] = calls[i];
    for (size_t i = 0; i < count; i++)
        all[CALLS + i] = extra[i];
    return cb_sandbox_allow(all, in_vain);
}
