/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/stream_parts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- A ring of bytes ---- */

size_t cb_ring_put(cb_ring *ring, const uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len && ring->len < CB_RING) {
        size_t end = (ring->at + ring->len) % CB_RING;
        size_t room = end < ring->at ? ring->at - end : CB_RING - end;
        size_t piece = len - done < room ? len - done : room;
        memcpy(ring->data + end, data + done, piece);
        ring->len += piece;
        done += piece;
    }
    return done;
}

size_t cb_ring_take(cb_ring *ring, uint8_t *out, size_t size)
{
    size_t done = 0;
    while (done < size && ring->len > 0) {
        size_t straight = CB_RING - ring->at < ring->len ? CB_RING - ring->at : ring->len;
        size_t piece = size - done < straight ? size - done : straight;
        memcpy(out + done, ring->data + ring->at, piece);
        ring->at = (ring->at + piece) % CB_RING;
        ring->len -= piece;
        done += piece;
    }
    return done;
}

/* ---- What the handler asks ---- */

const char *cb_stream_method(const cb_stream *stream) { return stream->call->method; }

const char *cb_stream_target(const cb_stream *stream) { return stream->call->target; }

const char *cb_stream_host(const cb_stream *stream) { return stream->host; }

const char *cb_stream_headers(const cb_stream *stream)
{
    return (const char *)stream->headers.data;
}

static const char *text_at(const cb_stream *stream, size_t at)
{
    return (const char *)stream->texts.data + at;
}

const char *cb_stream_header(const cb_stream *stream, const char *name)
{
    for (size_t i = 0; i < stream->header_count; i++)
        if (strcasecmp(text_at(stream, stream->header_list[i].name), name) == 0)
            return text_at(stream, stream->header_list[i].value);
    return NULL;
}

static bool find_cookie(const char *header, const char *name, cb_buf *value)
{
    size_t length = strlen(name);
    for (const char *at = header; *at;) {
        at += strspn(at, "; ");
        size_t pair = strcspn(at, ";");
        if (pair > length && strncmp(at, name, length) == 0 && at[length] == '=') {
            cb_buf_put(value, cb_bytes_make(at + length + 1, pair - length - 1));
            return true;
        }
        at += pair;
    }
    return false;
}

bool cb_stream_cookie(const cb_stream *stream, const char *name, cb_buf *value)
{
    for (size_t i = 0; i < stream->header_count; i++)
        if (strcasecmp(text_at(stream, stream->header_list[i].name), "Cookie") == 0 &&
            find_cookie(text_at(stream, stream->header_list[i].value), name, value))
            return true;
    return false;
}

int64_t cb_stream_body_length(const cb_stream *stream) { return stream->body_length; }

bool cb_stream_gone(cb_stream *stream)
{
    pthread_mutex_lock(&stream->call->lock);
    bool gone = stream->gone;
    pthread_mutex_unlock(&stream->call->lock);
    return gone;
}

/* ---- What the handler does ---- */

cb_error cb_stream_read(cb_stream *stream, void *out, size_t size, size_t *got)
{
    cb_call *call = stream->call;
    cb_error error = CB_OK;
    *got = 0;
    pthread_mutex_lock(&call->lock);
    while (stream->up.len == 0 && !stream->up_ended && !stream->gone && !stream->headed)
        pthread_cond_wait(&stream->changed, &call->lock);
    if (stream->gone)
        error = CB_E_CLOSED;
    else if (stream->headed)
        error = CB_E_STATE;
    else
        *got = cb_ring_take(&stream->up, out, size);
    if (!error && *got > 0 && !stream->up_ended)
        cb_call_wake(call); /* there is room for more */
    pthread_mutex_unlock(&call->lock);
    return error;
}

static bool header_ok(const char *name, size_t name_len, const char *value, size_t value_len)
{
    static const char TOKEN[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (name_len == 0 || strspn(name, TOKEN) != name_len)
        return false;
    for (size_t i = 0; i < value_len; i++)
        if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7F)
            return false;
    return true;
}

static bool headers_ok(const char *headers)
{
    for (const char *at = headers; *at;) {
        const char *end = strstr(at, "\r\n");
        size_t length = end ? (size_t)(end - at) : 0;
        const char *colon = end ? memchr(at, ':', length) : NULL;
        if (!colon || !header_ok(at, (size_t)(colon - at), colon + 1, (size_t)(end - colon - 1)))
            return false;
        at = end + 2;
    }
    return true;
}

static bool has_no_body(const cb_call *call, unsigned status)
{
    return strcmp(call->method, "HEAD") == 0 || status == 204 || status == 304;
}

cb_error cb_stream_head(cb_stream *stream, unsigned status, const char *headers, int64_t length)
{
    cb_call *call = stream->call;
    cb_error error = CB_OK;
    if (status < 200 || status > 599 || !headers_ok(headers))
        return CB_E_FORMAT;
    pthread_mutex_lock(&call->lock);
    if (stream->headed)
        error = CB_E_STATE;
    else if (stream->gone)
        error = CB_E_CLOSED;
    else {
        cb_buf_put_str(&stream->answer_headers, headers);
        cb_buf_cstr(&stream->answer_headers);
        error = cb_buf_error(&stream->answer_headers);
    }
    if (!error) {
        stream->headed = true;
        stream->status = status;
        stream->length = length;
        stream->bodyless = has_no_body(call, status);
        cb_call_wake(call);
    }
    pthread_mutex_unlock(&call->lock);
    return error;
}

cb_error cb_stream_write(cb_stream *stream, cb_bytes bytes)
{
    cb_call *call = stream->call;
    cb_error error = CB_OK;
    size_t done = 0;
    pthread_mutex_lock(&call->lock);
    if (!stream->headed)
        error = CB_E_STATE;
    while (!error && !stream->bodyless && done < bytes.len) {
        while (stream->down.len == CB_RING && !stream->gone)
            pthread_cond_wait(&stream->changed, &call->lock);
        if (stream->gone) {
            error = CB_E_CLOSED;
            break;
        }
        done += cb_ring_put(&stream->down, bytes.data + done, bytes.len - done);
        cb_call_wake(call);
    }
    pthread_mutex_unlock(&call->lock);
    return error;
}
