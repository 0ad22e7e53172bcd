/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the two sides of a stream share: the handler's thread (stream.c) and the thread that polls
 * the connection (stream_server.c). Everything after "under the call's lock" is.
 */
#ifndef CB_BROKER_HTTP_STREAM_PARTS_H
#define CB_BROKER_HTTP_STREAM_PARTS_H

#include "broker/http/call.h"

enum { CB_RING = 64 * 1024, CB_STREAM_HEADER_COUNT = 128 };

typedef struct cb_ring {
    uint8_t data[CB_RING];
    size_t at, len;
} cb_ring;

/* Both return how much went in or came out. */
size_t cb_ring_put(cb_ring *ring, const uint8_t *data, size_t len);
size_t cb_ring_take(cb_ring *ring, uint8_t *out, size_t size);

struct cb_stream {
    cb_call *call;
    cb_stream *previous, *next; /* the server's list, under its lock */
    pthread_cond_t changed;
    char host[256];
    cb_buf headers; /* with a final zero */
    cb_buf texts;   /* the same as names and values, each with a zero */
    struct {
        size_t name, value; /* where they are in texts */
    } header_list[CB_STREAM_HEADER_COUNT];
    size_t header_count;
    int64_t body_length;
    /* under the call's lock: */
    cb_ring up, down;
    bool up_ended; /* the request's body is complete */
    bool headed;   /* the answer's head is known */
    bool bodyless;
    bool ended; /* the handler has returned */
    bool gone;  /* the client */
    unsigned status;
    int64_t length;
    cb_buf answer_headers;
};

#endif
