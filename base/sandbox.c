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
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
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

/* What is to become of a system call. */
typedef struct rule {
    uint32_t number, action;
} rule;

enum { RULES_MAX = CB_SANDBOX_CODE_MAX / 3, LEAF = 3, X32 = 0x40000000 };

typedef struct rules {
    rule rule[RULES_MAX]; /* by number */
    unsigned count;
    bool too_many;
} rules;

/* A call that this architecture does not have needs no rule; of two for one call the first counts. */
static void add_rules(rules *all, uint32_t action, const char *const *names)
{
    for (; names && *names && !all->too_many; names++) {
        int number = seccomp_syscall_resolve_name(*names);
        unsigned at = 0;
        while (at < all->count && (int)all->rule[at].number < number)
            at++;
        if (number < 0 || (at < all->count && (int)all->rule[at].number == number))
            continue;
        all->too_many = all->count == RULES_MAX;
        if (all->too_many)
            continue;
        memmove(&all->rule[at + 1], &all->rule[at], (all->count++ - at) * sizeof *all->rule);
        all->rule[at] = (rule){(uint32_t)number, action};
    }
}

static void put(cb_sandbox_filter *out, uint16_t code, uint32_t value, uint8_t skip_if,
                uint8_t skip_if_not)
{
    if (out->count < CB_SANDBOX_CODE_MAX)
        out->code[out->count++] = (struct sock_filter){code, skip_if, skip_if_not, value};
}

static void put_return(cb_sandbox_filter *out, uint32_t action)
{
    put(out, BPF_RET | BPF_K, action, 0, 0);
}

/* A tree of comparisons: the kernel goes through it for each call when it takes the filter. */
static void put_tree(cb_sandbox_filter *out, const rule *some, unsigned count)
{
    if (count <= LEAF) {
        for (unsigned i = 0; i < count; i++) {
            put(out, BPF_JMP | BPF_JEQ | BPF_K, some[i].number, 0, 1);
            put_return(out, some[i].action);
        }
        put_return(out, SECCOMP_RET_KILL_PROCESS);
        return;
    }
    unsigned half = count / 2;
    put(out, BPF_JMP | BPF_JGE | BPF_K, some[half].number, 0, 1);
    unsigned jump = out->count;
    put(out, BPF_JMP | BPF_JA, 0, 0, 0);
    put_tree(out, some, half);
    if (jump < CB_SANDBOX_CODE_MAX)
        out->code[jump].k = out->count - jump - 1;
    put_tree(out, some + half, count - half);
}

/* Written here: without memory, libseccomp 2.5 may leave out a part of the program, or never come to
 * an end. */
cb_error cb_sandbox_compile(const char *const *allowed, const char *const *refused,
                            cb_sandbox_filter *out)
{
    rules all = {.count = 0};
    add_rules(&all, SECCOMP_RET_ALLOW, allowed);
    add_rules(&all, SECCOMP_RET_ERRNO | EACCES, refused);
    out->count = 0;
    put(out, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    put(out, BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(), 1, 0);
    put_return(out, SECCOMP_RET_KILL_PROCESS);
    put(out, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    /* Another interface of the same architecture has numbers of its own from there on. */
    put(out, BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1);
    put_return(out, SECCOMP_RET_KILL_PROCESS);
    put_tree(out, all.rule, all.count);
    if (!all.too_many && out->count < CB_SANDBOX_CODE_MAX)
        return CB_OK;
    out->count = 0;
    return CB_E_INTERNAL;
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
