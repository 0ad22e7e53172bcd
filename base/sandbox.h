/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a process gives up before it touches outside data.
 */
#ifndef CB_BASE_SANDBOX_H
#define CB_BASE_SANDBOX_H

#include <linux/filter.h>
#include <stddef.h>

#include "base/error.h"

/* No core dumps, no tracing by processes of the same user, no new privileges. Every program of the
 * product calls it first. */
cb_error cb_sandbox_no_dumps(void);

/* Becomes a user by name for good (supplementary groups included). CB_E_CONFIG if there is none of
 * that name. Without root, or with user NULL, does nothing and sets *dropped to 0. */
cb_error cb_sandbox_become(const char *user, int *dropped);

enum { CB_SANDBOX_CODE_MAX = 512 };

/* Which system calls a process may make, as the kernel takes it. No pointer in it: who forks children that are all to be
 * confined alike compiles once, for that is what costs. */
typedef struct cb_sandbox_filter {
    unsigned short count; /* 0: nothing; entering it fails */
    struct sock_filter code[CB_SANDBOX_CODE_MAX];
} cb_sandbox_filter;

/* Only these system calls, named as in the kernel, are allowed. Those in refused (NULL: none) fail with EACCES: what a library
 * tries in vain and goes on without. Any other ends the process (SIGSYS). Both lists end with NULL. CB_E_INTERNAL if they are too many. */
cb_error cb_sandbox_compile(const char *const *allowed, const char *const *refused,
                            cb_sandbox_filter *out);

/* From now on, for good. CB_E_INTERNAL if the kernel refuses the filter. */
cb_error cb_sandbox_enter(const cb_sandbox_filter *filter);

/* Both at once. */
cb_error cb_sandbox_allow(const char *const *allowed, const char *const *refused);

#endif
