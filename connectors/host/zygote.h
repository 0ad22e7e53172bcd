/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The process of one connector: it has the plug-in and the libraries loaded and makes a copy of
 * itself for every operation. It reads nothing that comes from outside: only the dispatcher's
 * messages, whose bodies it does not look into.
 *
 * It keeps a duplicate of each operation's socket: when the broker closes its end, however busy the
 * copy is, the zygote ends the copy; when the copy dies, the duplicate is closed, which the broker
 * sees.
 */
#ifndef CB_CONNECTORS_HOST_ZYGOTE_H
#define CB_CONNECTORS_HOST_ZYGOTE_H

#include <stdbool.h>

#include "connectors/host/sandbox.h"

typedef struct cb_zygote {
    const char *name;
    const char *path;
    const char *user;  /* to become, when started as root; NULL: stay */
    int orders;        /* packet socket on which the dispatcher sends operations */
    int registrations; /* to the opener */
    unsigned sessions; /* most operations at once */
    cb_login_limits limits;
} cb_zygote;

/* Returns an exit status. */
int cb_zygote_main(const cb_zygote *zygote);

/* Loads and describes the plug-in, in a process of its own, to find mistakes at start. True if it
 * can be used. */
bool cb_zygote_try(const cb_zygote *zygote);

#endif
