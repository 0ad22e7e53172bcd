/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The system calls that a worker of hsmd may make once it has logged in.
 */
#ifndef CB_HSM_SANDBOX_H
#define CB_HSM_SANDBOX_H

#include "base/error.h"

/* From now on: files (a software token keeps its objects in some), connections that were accepted
 * on the socket it already has, memory, time, randomness. No new sockets, no other programs, no
 * other processes. */
cb_error cb_hsmd_sandbox(void);

#endif
