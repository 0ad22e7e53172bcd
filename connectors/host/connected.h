/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libcurl 7.88 ignores CURL_SOCKOPT_ALREADY_CONNECTED: it calls connect() on a socket that the
 * application has connected. The program is therefore linked with --wrap=connect, and in a login's
 * process, which gets its connections from the opener and has no right to that call, connect() does
 * nothing and succeeds.
 */
#ifndef CB_CONNECTORS_HOST_CONNECTED_H
#define CB_CONNECTORS_HOST_CONNECTED_H

/* From now on, in this process, every socket counts as connected. */
void cb_connected_from_now(void);

#endif
