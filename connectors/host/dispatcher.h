/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Takes the broker's connections and hands each, with its first message, to the zygote of the
 * connector that it names.
 */
#ifndef CB_CONNECTORS_HOST_DISPATCHER_H
#define CB_CONNECTORS_HOST_DISPATCHER_H

#include <stddef.h>
#include <sys/types.h>

enum { CB_DISPATCHER_MOST = 32 }; /* connectors */

typedef struct cb_dispatcher {
    int listener;
    const char *user;     /* to become, when started as root; NULL: stay */
    const uid_t *clients; /* who may connect, besides root and the own user */
    size_t client_count;
    const char *const *names; /* of the connectors */
    const int *orders;        /* their zygotes' sockets */
    size_t count;             /* CB_DISPATCHER_MOST at most */
} cb_dispatcher;

/* Returns an exit status. */
int cb_dispatcher_main(const cb_dispatcher *dispatcher);

#endif
