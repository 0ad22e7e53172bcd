/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which address an origin had when it was connected to a moment ago, so that not each login asks
 * for the name anew. It is a hint: where it does not lead to a connection, the name is looked up.
 * For all threads.
 */
#ifndef CB_CONNECTORS_HOST_KNOWN_H
#define CB_CONNECTORS_HOST_KNOWN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "connectors/host/fields.h"

/* A name that moves is followed after this at the latest, even while its old address answers. */
#define CB_KNOWN_FOR (5 * CB_SECOND)

typedef struct cb_address {
    struct sockaddr_storage at;
    socklen_t size;
} cb_address;

bool cb_known_find(const cb_origin *origin, cb_address *out);

/* After a connection that was opened by name; how long it is known counts from here. */
void cb_known_keep(const cb_origin *origin, const struct sockaddr *at, socklen_t size);

void cb_known_forget(const cb_origin *origin);

#endif
