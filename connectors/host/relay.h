/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A relayed session: the broker's HTTP exchanges over the one connection that the login
 * authenticated.
 *
 * A chunk at a time in either direction, so memory stays constant whatever the length. The
 * connection is never replaced, for another one would need another signature and so another tap:
 * when the service closes it, or an exchange is broken off in the middle, the session ends. A
 * download that the citizen leaves early is read to its end if little is left (4 MiB, 5 s).
 */
#ifndef CB_CONNECTORS_HOST_RELAY_H
#define CB_CONNECTORS_HOST_RELAY_H

#include "connectors/host/login.h"

/* Serves the broker until the session ends; true when it asked to log out (that question's id in
 * *id). */
bool cb_login_relay(cardbroker_login *login, uint32_t *id);

#endif
