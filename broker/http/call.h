/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One request on its way through the server; for server.c, call*.c and stream*.c only.
 *
 * A call is shared by the thread of its connection's loop and the worker (or the stream's thread)
 * that serves it. While a worker has it, the connection is suspended: libmicrohttpd does not touch
 * it until the worker wakes it.
 */
#ifndef CB_BROKER_HTTP_CALL_H
#define CB_BROKER_HTTP_CALL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "broker/http/metrics.h"
#include "broker/http/server.h"
#include "broker/http/turn.h"
#include "broker/http/workers.h"

enum { CB_STATUS_CLASSES = 6 };

typedef struct cb_series {
    _Atomic uint64_t requests[CB_STATUS_CLASSES]; /* by the status's first digit */
    cb_histogram durations;
} cb_series;

/* The connections of one of the acceptor's loops. libmicrohttpd, when it has no thread of its own,
 * tells nobody that a connection was resumed. */
typedef struct cb_poller {
    struct MHD_Daemon *daemon;
    int resumed; /* eventfd; -1: none */
} cb_poller;

struct cb_server {
    cb_server_config config;
    cb_poller pollers[CB_LOOPS_MAX];
    cb_workers *crews[CB_CREW_HEALTH + 1]; /* none for CB_CREW_ENTRY */
    cb_series *series;                     /* one a route, then those without one, then streams */
    atomic_bool draining;
    atomic_uint busy;
    _Atomic uint64_t refused_busy;
    pthread_mutex_t lock;
    pthread_cond_t stream_ended;
    cb_stream *streams;    /* under lock */
    unsigned stream_count; /* likewise */
    bool closed;           /* to streams; likewise */
};

typedef struct cb_call {
    cb_server *server;
    struct MHD_Connection *connection; /* NULL until its headers are there */
    cb_turn *turn;                     /* of the connection; for its loop's thread */
    cb_poller *poller;
    atomic_uint references;
    pthread_mutex_t lock; /* over suspended, done and the stream's fields */
    bool suspended;
    bool done;       /* the reply is ready */
    bool dispatched; /* to a worker */
    bool last;       /* nothing more is read from this connection */
    bool whole;      /* all of the request was read */
    char *target;    /* as sent */
    char *path;      /* the same, cut at the query */
    char method[16];
    cb_request request;
    cb_reply reply;
    cb_error error; /* found before a handler was called, or the handler's */
    size_t body_limit;
    uint64_t discarded; /* bytes of a body that is over the limit */
    size_t series;
    unsigned status;  /* of the answer that was queued */
    int64_t complete; /* when the request was, monotonic */
    cb_stream *stream;
} cb_call;

/* What travels with a descriptor into libmicrohttpd, in the place of an address, and comes back
 * with each request. */
typedef struct cb_carrier {
    sa_family_t family;
    cb_peer peer;
    cb_poller *poller;
    cb_turn *turn; /* a reference, until libmicrohttpd says that the connection ended */
} cb_carrier;

/* A call for a request line; NULL: no memory. */
cb_call *cb_call_new(cb_server *server, const char *target);
void cb_call_release(cb_call *call);

/* The headers are there: finds the route or begins a stream. */
enum MHD_Result cb_call_begin(cb_call *call, struct MHD_Connection *connection, const char *method,
                              const char *version);

/* Bytes of the body; the end of the request, and each time the connection was woken. */
enum MHD_Result cb_call_data(cb_call *call, const char *data, size_t *size);
enum MHD_Result cb_call_go_on(cb_call *call);

/* The connection is done with it; in order: its answer was written to the end. */
void cb_call_completed(cb_call *call, bool in_order);

/* Under the call's lock, by the loop's thread; and by anybody else. */
void cb_call_suspend(cb_call *call);
void cb_call_wake(cb_call *call);

/* Queues a reply, or a response that is complete but for the headers that all have. Consumes the
 * response. */
enum MHD_Result cb_call_answer(cb_call *call);
enum MHD_Result cb_call_queue(cb_call *call, unsigned status, struct MHD_Response *response);

/* There is no memory for an answer: the connection ends, and the link says that it was not the
 * client's fault. Consumes the response, which may be NULL. */
enum MHD_Result cb_call_give_up(cb_call *call, struct MHD_Response *response);

/* The stream's side of the above. */
cb_error cb_stream_begin(cb_call *call, const char *host);
enum MHD_Result cb_stream_data(cb_call *call, const char *data, size_t *size);
enum MHD_Result cb_stream_go_on(cb_call *call);
void cb_stream_cut(cb_stream *stream);
void cb_stream_free(cb_stream **stream);

/* Cuts the streams of one connection; 0: of all. */
void cb_streams_cut(cb_server *server, uint64_t connection);

#endif
