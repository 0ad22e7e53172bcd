/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the process of one login gives up before the plug-in's code runs in it.
 */
#ifndef CB_CONNECTORS_HOST_SANDBOX_H
#define CB_CONNECTORS_HOST_SANDBOX_H

#include "base/sandbox.h"

enum { CB_LOGIN_DESCRIPTORS = 32 };

typedef struct cb_login_limits {
    unsigned memory_mb;   /* address space; not under sanitizers, which map terabytes */
    unsigned cpu_seconds; /* of its whole life, relaying included */
} cb_login_limits;

/* Closes every descriptor from 3 on but those kept, and lets 0, 1 and 2 lead nowhere. */
cb_error cb_login_close_others(const int *keep, unsigned count);

/* The system calls of a login's process: computing, talking over descriptors it has, ending.
 * Compiled by the process that the logins' processes come from. */
cb_error cb_login_sandbox(cb_sandbox_filter *out);

/* Resource limits, then system calls: any other ends the process (SIGSYS). */
cb_error cb_login_confine(const cb_login_limits *limits, const cb_sandbox_filter *calls);

#endif
