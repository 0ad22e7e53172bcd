/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The system calls that a worker of hsmd may make once it has logged in.
 */
#ifndef CB_HSM_SANDBOX_H
#define CB_HSM_SANDBOX_H

#include <stddef.h>

#include "base/error.h"

enum { CB_SANDBOX_EXTRA_MAX = 64 };

/* From now on: files (a software token keeps its objects in some), connections accepted on the
 * socket it already has, memory, time, randomness; and what extra names, for a token's module that
 * needs more. No new sockets, no other programs, no other processes. Any other call ends the
 * process. CB_E_INTERNAL, CB_E_TOO_LARGE. */
cb_error cb_hsmd_sandbox(const char *const *extra, size_t count);

#endif
