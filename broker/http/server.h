/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The HTTP server: libmicrohttpd reads and writes HTTP on the plain connections that the acceptor
 * hands over, in the acceptor's own threads; handlers are plain functions that block, run by
 * bounded pools of workers, one for each crew (route.h). What finds its pool's queue full is
 * answered 503 at once.
 *
 * Every request gets an identifier (in the log, in the Request-Id header and in problems) and a
 * line in the log: method, pattern of the route, status, microseconds from the complete request to
 * its answer. Never a path, query or body.
 *
 * Requests for a host name under the stream domain do not go through the route table: each goes to
 * the stream handler, in a thread of its own, as two streams (stream.h).
 */
#ifndef CB_BROKER_HTTP_SERVER_H
#define CB_BROKER_HTTP_SERVER_H

#include "broker/http/acceptor.h"
#include "broker/http/request.h"
#include "broker/http/stream.h"

typedef struct cb_server cb_server;

typedef struct cb_server_config {
    const cb_route *routes; /* kept, not copied */
    size_t route_count;
    void *context; /* the requests' */

    /* Looks up who sends a request, for the route's role; called by the worker before the handler.
     * An error ends the request. NULL: only routes for anybody. */
    cb_error (*identify)(cb_request *request, cb_reply *reply);

    const char *stream_domain; /* e.g. "relay.example.org"; NULL: no streams. Kept. */
    cb_stream_handler stream;
    void *stream_context;

    unsigned threads;        /* of the acceptor, which read and write HTTP; 0: 2 */
    unsigned workers;        /* 0: 16 */
    unsigned queue;          /* requests that may wait in each crew; 0: 256 */
    unsigned administrators; /* workers for CB_CREW_ADMINISTRATORS; 0: 4 */
    unsigned reserved;       /* workers for CB_CREW_RESERVED; 0: 2 */
    unsigned streams;        /* at a time; 0: 256 */
    unsigned connections;    /* handed over at a time; 0: 8192 */
} cb_server_config;

cb_error cb_server_open(const cb_server_config *config, cb_server **out);

/* What an acceptor calls. It is closed before the server is. */
cb_acceptor_sink cb_server_sink(cb_server *server);

/* From now on every answer says that its connection closes. */
void cb_server_drain(cb_server *server);

/* Requests under way: read in part, waiting, in a handler, or being answered. */
unsigned cb_server_busy(cb_server *server);

/* Cuts streams, finishes the handlers that run, closes all connections. */
void cb_server_close(cb_server **server);

/* Appends the server's metrics: requests by route and status class, durations by route, queue,
 * streams. */
void cb_server_metrics(cb_server *server, cb_buf *out);

#endif
