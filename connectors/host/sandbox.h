/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the process of one login gives up before the plug-in's code runs in it.
 */
#ifndef CB_CONNECTORS_HOST_SANDBOX_H
#define CB_CONNECTORS_HOST_SANDBOX_H

#include "base/error.h"

enum { CB_LOGIN_DESCRIPTORS = 32 };

typedef struct cb_login_limits {
    unsigned memory_mb;   /* address space; not under sanitizers, which map terabytes */
    unsigned cpu_seconds; /* of its whole life, relaying included */
} cb_login_limits;

/* Closes every descriptor from 3 on but those kept, and lets 0, 1 and 2 lead nowhere. */
cb_error cb_login_close_others(const int *keep, unsigned count);

/* Resource limits, then system calls: computing, talking over descriptors it has, ending. Any other
 * ends the process (SIGSYS). */
cb_error cb_login_confine(const cb_login_limits *limits);

#endif
