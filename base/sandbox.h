/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a process gives up before it touches outside data.
 */
#ifndef CB_BASE_SANDBOX_H
#define CB_BASE_SANDBOX_H

#include <stddef.h>

#include "base/error.h"

/* No core dumps, no tracing by processes of the same user, no new privileges. Every program of the
 * product calls it first. */
cb_error cb_sandbox_no_dumps(void);

/* Becomes a user by name for good (supplementary groups included). CB_E_CONFIG if there is none of
 * that name. Without root, or with user NULL, does nothing and sets *dropped to 0. */
cb_error cb_sandbox_become(const char *user, int *dropped);

/* From now on only these system calls, named as in the kernel, are allowed. Those in refused (NULL: none) fail with EACCES: what a
 * library tries in vain and goes on without. Any other ends the process (SIGSYS). Both lists end with NULL. CB_E_INTERNAL if the kernel
 * refuses the filter. */
cb_error cb_sandbox_allow(const char *const *allowed, const char *const *refused);

#endif
