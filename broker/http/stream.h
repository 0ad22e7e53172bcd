/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A request whose body, and whose answer's body, are read and written as they come, in constant
 * memory: for relayed sessions.
 *
 * The handler runs in a thread of its own and blocks. It reads the request's body (if it wants it),
 * says the head of the answer once, writes its body, and returns. When it returns an error before
 * the head, the client gets a problem; after the head, the connection is cut, so that the client
 * sees that the body is not complete. When the client is gone, reads and writes return CB_E_CLOSED.
 */
#ifndef CB_BROKER_HTTP_STREAM_H
#define CB_BROKER_HTTP_STREAM_H

#include "base/buf.h"
#include "base/id.h"

enum { CB_STREAM_HEADERS_MAX = 32 * 1024 };

typedef struct cb_stream cb_stream;

typedef cb_error (*cb_stream_handler)(void *context, cb_stream *stream);

/* As the client sent them; valid until the handler returns. */
const char *cb_stream_method(const cb_stream *stream);
const char *
cb_stream_target(const cb_stream *stream); /* path and query, not decoded; starts with "/" */
const char *cb_stream_host(const cb_stream *stream);    /* lower case, without port */
const char *cb_stream_headers(const cb_stream *stream); /* "Name: value\r\n"…, all of them */

/* One header's value; NULL: there is none. */
const char *cb_stream_header(const cb_stream *stream, const char *name);

/* One cookie's value, appended; false: there is none. */
bool cb_stream_cookie(const cb_stream *stream, const char *name, cb_buf *value);

/* -1: chunked, not known beforehand; 0: none. */
int64_t cb_stream_body_length(const cb_stream *stream);

/* The next bytes of the request's body; *got 0 at its end. CB_E_CLOSED. */
cb_error cb_stream_read(cb_stream *stream, void *out, size_t size, size_t *got);

/* The answer's status and headers ("Name: value\r\n"…). Connection, Keep-Alive, Transfer-Encoding,
 * Trailer, Upgrade and Content-Length are left out: length says how long the body will be (-1: not
 * known). CB_E_FORMAT for headers that are none, CB_E_STATE for a second head. */
cb_error cb_stream_head(cb_stream *stream, unsigned status, const char *headers, int64_t length);

/* Bytes of the answer's body; blocks while the client is slow. Ignored where the answer has no body
 * (HEAD, 204, 304). CB_E_CLOSED. */
cb_error cb_stream_write(cb_stream *stream, cb_bytes bytes);

/* Whether the client is gone: for handlers that wait for somebody else. */
bool cb_stream_gone(cb_stream *stream);

#endif
