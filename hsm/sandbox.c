/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/sandbox.h"

#include <stddef.h>

#include "base/sandbox.h"

cb_error cb_hsmd_sandbox(void)
{
    static const char *const calls[] = {
        /* connections */
        "accept4", "recvmsg", "sendmsg", "getsockopt", "epoll_create1", "epoll_ctl", "epoll_pwait",
        "epoll_wait", "poll", "ppoll", "close",
        /* files: hsmd's memory, certificates, and a software token's objects */
        "openat", "open", "read", "pread64", "write", "pwrite64", "readv", "writev", "lseek",
        "fstat", "newfstatat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2",
        "fcntl", "flock", "ftruncate", "fsync", "fdatasync", "getdents64", "unlink", "unlinkat",
        "rename", "renameat", "renameat2", "mkdir", "mkdirat", "umask", "readlink", "dup",
        /* memory, time, signals, itself */
        "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "mlock", "mlock2", "munlock",
        "getrandom", "clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
        "futex", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "restart_syscall", "sigaltstack",
        "getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getppid", "sched_yield",
        "sysinfo", "uname", "prlimit64", "getrlimit", "tgkill", "exit", "exit_group",
        "set_robust_list", "rseq", "sched_getaffinity", NULL};
    return cb_sandbox_allow(calls);
}
