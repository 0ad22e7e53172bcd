/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

cb_error cb_sandbox_no_dumps(void)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return CB_E_INTERNAL;
    return CB_OK;
}

cb_error cb_sandbox_become(const char *user, int *dropped)
{
    *dropped = 0;
    if (!user || geteuid() != 0)
        return CB_OK;
    const struct passwd *entry = getpwnam(user);
    if (!entry)
        return CB_E_CONFIG;
    if (initgroups(user, entry->pw_gid) != 0 ||
        setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
        setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0)
        return CB_E_INTERNAL;
    *dropped = 1;
    /* A change of user makes the process dumpable again where the system says so. */
    return cb_sandbox_no_dumps();
}

/* A call that this architecture does not have needs no rule. */
static int add_rules(scmp_filter_ctx filter, uint32_t action, const char *const *names)
{
    int failed = 0;
    for (; names && *names && !failed; names++) {
        int number = seccomp_syscall_resolve_name(*names);
        if (number != __NR_SCMP_ERROR)
            failed = seccomp_rule_add(filter, action, number, 0);
    }
    return failed;
}

/* libseccomp writes a program into a descriptor only. */
static cb_error export(scmp_filter_ctx filter, cb_sandbox_filter *out)
{
    cb_error error = CB_E_INTERNAL;
    int file = memfd_create("filter", MFD_CLOEXEC);
    if (file >= 0 && seccomp_export_bpf(filter, file) == 0) {
        ssize_t size = pread(file, out->code, sizeof out->code, 0);
        off_t whole = lseek(file, 0, SEEK_END);
        if (size > 0 && size == whole) {
            out->count = (unsigned short)((size_t)size / sizeof *out->code);
            error = CB_OK;
        }
    }
    if (file >= 0)
        close(file);
    return error;
}

cb_error cb_sandbox_compile(const char *const *allowed, const char *const *refused,
                            cb_sandbox_filter *out)
{
    out->count = 0;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return CB_E_INTERNAL;
    /* A tree of comparisons: the kernel goes through it for each call when it takes the filter. */
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!failed)
        failed = add_rules(filter, SCMP_ACT_ALLOW, allowed);
    if (!failed)
        failed = add_rules(filter, SCMP_ACT_ERRNO(EACCES), refused);
    cb_error error = failed ? CB_E_INTERNAL : export(filter, out);
    seccomp_release(filter);
    return error;
}

cb_error cb_sandbox_enter(const cb_sandbox_filter *filter)
{
    struct sock_fprog program = {filter->count, (struct sock_filter *)(uintptr_t)filter->code};
    if (filter->count == 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        return CB_E_INTERNAL;
    return CB_OK;
}

cb_error cb_sandbox_allow(const char *const *allowed, const char *const *refused)
{
    cb_sandbox_filter filter;
    cb_error error = cb_sandbox_compile(allowed, refused, &filter);
    return error ? error : cb_sandbox_enter(&filter);
}
