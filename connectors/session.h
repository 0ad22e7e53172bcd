/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inside the broker's end: a session made of the socket of a successful login. See client.h for
 * what the broker sees.
 */
#ifndef CB_CONNECTORS_SESSION_H
#define CB_CONNECTORS_SESSION_H

#include "connectors/protocol.h"

/* Takes over the socket when it succeeds. */
cb_error cb_session_new(int socket, bool relayed, cb_session **out);

/* Writes a connector's LOG message into the log, marked as its. */
void cb_session_log(const cb_msg *msg);

#endif
