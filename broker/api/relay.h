/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Relayed sessions as a browser sees them: a host name of its own that shows the service.
 *
 * The stream handler of the relay domain. "/.cardbroker/enter?code=…" exchanges the one-time code for the cookie; everything else
 * goes to the session's process and from there to the service, byte by byte, while the session lives.
 */
#ifndef CB_BROKER_API_RELAY_H
#define CB_BROKER_API_RELAY_H

#include "broker/core/session.h"
#include "broker/http/stream.h"

typedef struct cb_relay_context {
    cb_sessions *sessions;
    const char *relay_domain;
    int64_t exchange_deadline; /* microseconds for one exchange; 0: 10 minutes */
} cb_relay_context;

/* A cb_stream_handler; context is a cb_relay_context. Errors that a person meets are answered as a page. */
cb_error cb_relay_serve(void *context, cb_stream *stream);

#endif
