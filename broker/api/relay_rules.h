/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What of a browser's request goes on to a service through a relayed session, and what stays here.
 *
 * Stays: whatever concerns one connection only (RFC 9110, 7.6.1), and the broker's own cookie, which is the browser's right to the
 * session and nobody else's business. The Host goes as far as the session's process, which puts the service's own name in its place, in
 * Origin and Referer too. Of the answer, what would reach beyond the session's own host name stays here: all sessions live under one
 * domain, and a service must neither set nor clear what another one's session has.
 */
#ifndef CB_BROKER_API_RELAY_RULES_H
#define CB_BROKER_API_RELAY_RULES_H

#include "broker/core/session.h"

/* The cookie in which the browser keeps its right to the session; __Host- makes browsers bind it to this very host. */
#define CB_RELAY_COOKIE "__Host-cardbroker"

/* Where a browser exchanges its one-time code, and the only path that does not go on to the service. */
#define CB_RELAY_ENTER "/.cardbroker/enter"

/* The label of "<label>.<relay domain>[:port]" (any case), or CB_E_SESSION_UNKNOWN. */
cb_error cb_relay_label(const char *host, const char *relay_domain, char label[CB_SESSION_LABEL]);

/* Whether a header of the request goes on. connection is the value of its Connection header, or NULL: it may name more that stay. */
bool cb_relay_forwards(const char *name, const char *connection);

/* Whether a header of the service's answer goes on to the browser: all but Clear-Site-Data (browsers clear the whole domain's cookies), a
 * Set-Cookie of the broker's own cookie's name, and one with a Domain: the session's process has taken away those that were the
 * service's own, so what is left names somebody else's, and the relay domain would be one that browsers accept. */
bool cb_relay_returns(cb_bytes name, cb_bytes value);

/* Takes the broker's cookie out of a Cookie header's value: its value to secret ("" if it is not there or not 64 hex digits), the
 * other cookies to rest. A second one of the same name is dropped as well. */
void cb_relay_take_cookie(const char *cookies, char secret[CB_SESSION_SECRET], cb_buf *rest);

#endif
