/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/secret.h"
#include "broker/http/stream_parts.h"

enum { BLOCK = 32 * 1024, STACK = 1024 * 1024 };

/* ---- Beginning and end ---- */

static size_t keep_text(cb_stream *stream, const char *text)
{
    size_t at = stream->texts.len;
    cb_buf_put(&stream->texts, cb_bytes_make(text, strlen(text) + 1));
    return at;
}

/* Everything is copied: libmicrohttpd frees what it has when the client goes, and the handler's
 * thread may look at a header later. */
static enum MHD_Result add_header(void *context, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    cb_stream *stream = context;
    (void)kind;
    if (stream->header_count == CB_STREAM_HEADER_COUNT) {
        stream->headers.error = CB_E_TOO_LARGE;
        return MHD_NO;
    }
    stream->header_list[stream->header_count].name = keep_text(stream, name);
    stream->header_list[stream->header_count++].value = keep_text(stream, value ? value : "");
    cb_buf_printf(&stream->headers, "%s: %s\r\n", name, value ? value : "");
    return MHD_YES;
}

static cb_error read_head(cb_stream *stream)
{
    struct MHD_Connection *connection = stream->call->connection;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, add_header, stream);
    cb_buf_cstr(&stream->headers);
    if (cb_buf_error(&stream->headers) || cb_buf_error(&stream->texts))
        return cb_buf_error(&stream->headers) ? cb_buf_error(&stream->headers)
                                              : cb_buf_error(&stream->texts);
    const char *length = cb_stream_header(stream, "Content-Length");
    if (cb_stream_header(stream, "Transfer-Encoding"))
        stream->body_length = -1;
    else if (length)
        stream->body_length = strtoll(length, NULL, 10);
    if (stream->call->target[0] != '/' || stream->body_length < -1)
        return CB_E_FORMAT;
    return CB_OK;
}

static void list(cb_stream *stream)
{
    cb_server *server = stream->call->server;
    stream->next = server->streams;
    if (server->streams)
        server->streams->previous = stream;
    server->streams = stream;
    server->stream_count++;
}

static void unlist(cb_stream *stream)
{
    cb_server *server = stream->call->server;
    pthread_mutex_lock(&server->lock);
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        server->streams = stream->next;
    if (stream->next)
        stream->next->previous = stream->previous;
    pthread_mutex_unlock(&server->lock);
}

/* Whoever closes the server waits for this and frees it next: nothing of it is touched afterwards.
 */
static void count_out(cb_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stream_count--;
    pthread_cond_broadcast(&server->stream_ended);
    pthread_mutex_unlock(&server->lock);
}

static void *run(void *context)
{
    cb_stream *stream = context;
    cb_call *call = stream->call;
    cb_server *server = call->server;
    cb_log_set_request(&call->request.id);
    cb_error error = server->config.stream(server->config.stream_context, stream);
    unlist(stream);
    pthread_mutex_lock(&call->lock);
    call->error = error ? error : stream->headed ? CB_OK : CB_E_INTERNAL;
    stream->ended = true;
    cb_call_wake(call);
    pthread_mutex_unlock(&call->lock);
    cb_call_release(call);
    count_out(server);
    return NULL;
}

/* Whether the client has ended its side. Asked once the stream is listed: who leaves later is cut,
 * and who left before, perhaps when nobody had read the request yet, has shut this socket by then.
 */
static bool has_left(const cb_call *call)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd p = {.fd = info ? info->connect_fd : -1, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static cb_error start(cb_stream *stream)
{
    cb_server *server = stream->call->server;
    pthread_t thread;
    pthread_attr_t attributes;
    cb_error error = CB_OK;
    pthread_mutex_lock(&server->lock);
    if (server->closed)
        error = CB_E_STOPPING;
    else if (server->stream_count >= server->config.streams)
        error = CB_E_BUSY;
    else
        list(stream);
    pthread_mutex_unlock(&server->lock);
    if (error)
        return error;
    if (has_left(stream->call)) {
        unlist(stream);
        count_out(server);
        return CB_E_CLOSED;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    atomic_fetch_add(&stream->call->references, 1);
    if (pthread_create(&thread, &attributes, run, stream) != 0) {
        atomic_fetch_sub(&stream->call->references, 1);
        unlist(stream);
        count_out(server);
        error = CB_E_BUSY;
    }
    pthread_attr_destroy(&attributes);
    return error;
}

cb_error cb_stream_begin(cb_call *call, const char *host)
{
    cb_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return CB_E_MEMORY;
    stream->call = call;
    pthread_cond_init(&stream->changed, NULL);
    cb_buf_init(&stream->headers, CB_STREAM_HEADERS_MAX);
    cb_buf_init(&stream->texts, CB_STREAM_HEADERS_MAX);
    cb_buf_init(&stream->answer_headers, CB_STREAM_HEADERS_MAX);
    snprintf(stream->host, sizeof stream->host, "%s", host);
    call->stream = stream;
    cb_error error = read_head(stream);
    if (!error)
        error = start(stream);
    if (error)
        cb_stream_free(&call->stream);
    return error;
}

void cb_stream_free(cb_stream **stream)
{
    if (!*stream)
        return;
    cb_buf_free(&(*stream)->headers);
    cb_buf_free(&(*stream)->texts);
    cb_buf_free(&(*stream)->answer_headers);
    pthread_cond_destroy(&(*stream)->changed);
    cb_wipe(&(*stream)->up, sizeof(*stream)->up);
    cb_wipe(&(*stream)->down, sizeof(*stream)->down);
    free(*stream);
    *stream = NULL;
}

void cb_stream_cut(cb_stream *stream)
{
    pthread_mutex_lock(&stream->call->lock);
    stream->gone = true;
    pthread_cond_broadcast(&stream->changed);
    cb_call_wake(stream->call);
    pthread_mutex_unlock(&stream->call->lock);
}

void cb_streams_cut(cb_server *server, uint64_t connection)
{
    pthread_mutex_lock(&server->lock);
    for (cb_stream *stream = server->streams; stream; stream = stream->next)
        if (connection == 0 || stream->call->request.peer.connection == connection)
            cb_stream_cut(stream);
    pthread_mutex_unlock(&server->lock);
}

/* ---- The side of the connection's loop ---- */

enum MHD_Result cb_stream_data(cb_call *call, const char *data, size_t *size)
{
    cb_stream *stream = call->stream;
    pthread_mutex_lock(&call->lock);
    if (stream->headed || stream->ended || stream->gone) {
        *size = 0; /* nobody reads it any more */
    } else {
        *size -= cb_ring_put(&stream->up, (const uint8_t *)data, *size);
        pthread_cond_broadcast(&stream->changed);
        if (*size > 0)
            cb_call_suspend(call);
    }
    bool gone = stream->gone;
    pthread_mutex_unlock(&call->lock);
    return gone ? MHD_NO : MHD_YES;
}

static ssize_t read_answer(void *context, uint64_t position, char *out, size_t size)
{
    cb_call *call = context;
    cb_stream *stream = call->stream;
    (void)position;
    pthread_mutex_lock(&call->lock);
    ssize_t result = (ssize_t)cb_ring_take(&stream->down, (uint8_t *)out, size);
    if (result > 0)
        pthread_cond_broadcast(&stream->changed);
    else if (stream->gone || (stream->ended && call->error))
        result = MHD_CONTENT_READER_END_WITH_ERROR;
    else if (stream->ended)
        result = MHD_CONTENT_READER_END_OF_STREAM;
    else
        cb_call_suspend(call);
    pthread_mutex_unlock(&call->lock);
    return result;
}

static void release(void *context) { cb_call_release(context); }

static bool is_ours_to_say(const char *name)
{
    static const char *const ours[] = {"Connection", "Keep-Alive",      "Transfer-Encoding",
                                       "Trailer",    "Upgrade",         "Content-Length",
                                       "Date",       "Proxy-Connection"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    return false;
}

/* libmicrohttpd takes no empty values, which is no fault; without memory it takes none at all, and
 * an answer that lacks a header of the service's is another one. */
static bool add_header_line(struct MHD_Response *response, const char *name, const char *value)
{
    errno = 0;
    return is_ours_to_say(name) || MHD_add_response_header(response, name, value) == MHD_YES ||
           errno != ENOMEM;
}

/* Headers were checked by cb_stream_head: each line has a colon and an end. */
static bool add_headers(struct MHD_Response *response, char *headers)
{
    bool all = true;
    for (char *at = headers, *end; (end = strstr(at, "\r\n")); at = end + 2) {
        char *value = strchr(at, ':');
        *end = 0;
        *value++ = 0;
        value += strspn(value, " \t");
        for (char *tail = end; tail > value && (tail[-1] == ' ' || tail[-1] == '\t');)
            *--tail = 0;
        all = all && add_header_line(response, at, value);
    }
    return all;
}

static enum MHD_Result answer_head(cb_call *call)
{
    cb_stream *stream = call->stream;
    uint64_t length = stream->length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)stream->length;
    atomic_fetch_add(&call->references, 1);
    struct MHD_Response *response =
        MHD_create_response_from_callback(length, BLOCK, read_answer, call, release);
    if (!response) {
        cb_call_release(call);
        return cb_call_give_up(call, NULL);
    }
    if (!add_headers(response, (char *)stream->answer_headers.data))
        return cb_call_give_up(call, response); /* it lets go of the call */
    return cb_call_queue(call, stream->status, response);
}

enum MHD_Result cb_stream_go_on(cb_call *call)
{
    cb_stream *stream = call->stream;
    pthread_mutex_lock(&call->lock);
    stream->up_ended = true;
    pthread_cond_broadcast(&stream->changed);
    bool headed = stream->headed;
    bool ready = headed || stream->ended;
    bool gone = stream->gone;
    if (!ready && !gone)
        cb_call_suspend(call);
    pthread_mutex_unlock(&call->lock);
    if (gone)
        return MHD_NO;
    if (!ready)
        return MHD_YES;
    return headed ? answer_head(call) : cb_call_answer(call);
}
