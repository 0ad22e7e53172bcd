/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/relay.h"

#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "broker/api/relay_page.h"
#include "broker/api/relay_rules.h"

#define DEFAULT_EXCHANGE (600 * CB_SECOND)

enum { CHUNK = 32 * 1024 };

/* ---- Entering ---- */

/* The one-time code of "/.cardbroker/enter?code=…", or NULL. */
static const char *code_of(const cb_stream *stream)
{
    static const char prefix[] = CB_RELAY_ENTER "?code=";
    const char *target = cb_stream_target(stream);
    /* A program that only looks whether an address is there (HEAD) must not use up the person's code. */
    bool entering = strcmp(cb_stream_method(stream), "GET") == 0 &&
                    strncmp(target, prefix, sizeof prefix - 1) == 0;
    return entering ? target + sizeof prefix - 1 : NULL;
}

/* After this the address bar holds no code, and the code is used up with the next request. */
static cb_error enter(cb_sessions *sessions, const char *label, const char *code, cb_stream *stream)
{
    char secret[CB_SESSION_SECRET];
    cb_buf headers = CB_BUF(1024);
    cb_error error = cb_sessions_enter(sessions, label, code, secret);
    if (!error) {
        cb_buf_printf(&headers,
                      "Location: /\r\nSet-Cookie: " CB_RELAY_COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Lax\r\n"
                      "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n",
                      secret);
        const char *text = cb_buf_cstr(&headers);
        error = text ? cb_stream_head(stream, 303, text, 0) : CB_E_MEMORY;
    }
    cb_wipe(secret, sizeof secret);
    cb_buf_free(&headers);
    return error;
}

/* ---- One exchange ---- */

typedef struct line {
    cb_bytes name;
    cb_bytes value;
} line;

/* The next "Name: value\r\n" of a block that the server has checked. */
static bool next_line(const char **at, line *out)
{
    const char *end = strstr(*at, "\r\n");
    const char *colon = end ? memchr(*at, ':', (size_t)(end - *at)) : NULL;
    if (!colon)
        return false;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    out->name = cb_bytes_make(*at, (size_t)(colon - *at));
    out->value = cb_bytes_make(value, (size_t)(end - value));
    *at = end + 2;
    return true;
}

static void put_line(cb_buf *headers, cb_bytes name, cb_bytes value)
{
    cb_buf_put(headers, name);
    cb_buf_put_str(headers, ": ");
    cb_buf_put(headers, value);
    cb_buf_put_str(headers, "\r\n");
}

static cb_error copy_text(cb_bytes bytes, char *out, size_t size)
{
    if (bytes.len >= size)
        return CB_E_TOO_LARGE;
    memcpy(out, bytes.data, bytes.len);
    out[bytes.len] = 0;
    return CB_OK;
}

/* What goes on to the service, and the secret that opens the session. Several Cookie headers become one (RFC 9113, 8.2.3 allows them). */
static cb_error sort_headers(const cb_stream *stream, cb_buf *headers, char secret[CB_SESSION_SECRET])
{
    const char *connection = cb_stream_header(stream, "Connection");
    const char *at = cb_stream_headers(stream);
    char name[256], cookies[8192];
    char found[CB_SESSION_SECRET];
    cb_buf rest = CB_BUF(CB_RELAY_HEADERS_MAX);
    cb_error error = CB_OK;
    line l;
    secret[0] = 0;
    while (!error && next_line(&at, &l)) {
        error = copy_text(l.name, name, sizeof name);
        if (!error && strcasecmp(name, "Cookie") == 0) {
            error = copy_text(l.value, cookies, sizeof cookies);
            if (!error)
                cb_relay_take_cookie(cookies, found, &rest);
            if (!error && found[0])
                memcpy(secret, found, sizeof found);
        } else if (!error && cb_relay_forwards(name, connection)) {
            put_line(headers, l.name, l.value);
        }
    }
    if (!error && rest.len > 0)
        put_line(headers, cb_bytes_str("Cookie"), cb_buf_bytes(&rest));
    if (!error)
        error = cb_buf_error(&rest) ? cb_buf_error(&rest) : cb_buf_error(headers);
    cb_wipe(found, sizeof found);
    cb_wipe(cookies, sizeof cookies);
    cb_buf_free(&rest);
    return error;
}

static cb_error send_body(cb_stream *stream, cb_relay *relay, uint8_t *chunk)
{
    if (cb_stream_body_length(stream) == 0)
        return CB_OK;
    for (;;) {
        size_t got;
        cb_error error = cb_stream_read(stream, chunk, CHUNK, &got);
        if (error || got == 0)
            return error;
        error = cb_relay_send(relay, cb_bytes_make(chunk, got));
        if (error)
            return error;
    }
}

/* The length that the service said, or -1. */
static int64_t length_of(const char *headers)
{
    char text[32];
    line l;
    while (next_line(&headers, &l)) {
        if (l.name.len == 14 && strncasecmp((const char *)l.name.data, "Content-Length", 14) == 0 &&
            copy_text(l.value, text, sizeof text) == CB_OK) {
            char *end;
            long long length = strtoll(text, &end, 10);
            return *end || length < 0 ? -1 : length;
        }
    }
    return -1;
}

/* The headers that the browser gets. */
static cb_error answer_headers(const char *from_service, cb_buf *out)
{
    line l;
    while (next_line(&from_service, &l)) {
        if (cb_relay_returns(l.name, l.value))
            put_line(out, l.name, l.value);
    }
    return cb_buf_error(out);
}

static cb_error send_head(cb_stream *stream, cb_relay *relay)
{
    unsigned status;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX), kept = CB_BUF(CB_RELAY_HEADERS_MAX);
    cb_error error = cb_relay_head(relay, &status, &headers);
    const char *text = error ? NULL : cb_buf_cstr(&headers);
    if (!error)
        error = text ? answer_headers(text, &kept) : CB_E_MEMORY;
    const char *sent = error ? NULL : cb_buf_cstr(&kept);
    if (!error)
        error = sent ? cb_stream_head(stream, status, sent, length_of(text)) : CB_E_MEMORY;
    /* A status or a header that is none is the service's mistake, and not the person's. */
    if (error == CB_E_FORMAT)
        error = CB_E_SERVICE_ANSWER;
    cb_buf_free(&headers);
    cb_buf_free(&kept);
    return error;
}

static cb_error send_answer(cb_stream *stream, cb_relay *relay, uint8_t *chunk)
{
    cb_error error = send_head(stream, relay);
    while (!error) {
        size_t got;
        error = cb_relay_read(relay, chunk, CHUNK, &got);
        if (error || got == 0)
            break;
        error = cb_stream_write(stream, cb_bytes_make(chunk, got));
    }
    return error;
}

static cb_error exchange(const cb_relay_context *context, cb_session *session, cb_stream *stream,
                         const char *headers)
{
    cb_relay *relay = NULL;
    int64_t limit = context->exchange_deadline ? context->exchange_deadline : DEFAULT_EXCHANGE;
    uint8_t *chunk = malloc(CHUNK);
    if (!chunk)
        return CB_E_MEMORY;
    cb_error error = cb_relay_open(session, cb_stream_method(stream), cb_stream_target(stream),
                                   headers, cb_stream_body_length(stream), cb_deadline_in(limit),
                                   &relay);
    if (!error)
        error = send_body(stream, relay, chunk);
    if (!error)
        error = send_answer(stream, relay, chunk);
    cb_relay_close(&relay);
    cb_wipe(chunk, CHUNK);
    free(chunk);
    return error;
}

static cb_error pass_on(const cb_relay_context *context, const char *label, cb_stream *stream)
{
    char secret[CB_SESSION_SECRET];
    cb_session_use *use = NULL;
    cb_buf headers = CB_BUF(CB_RELAY_HEADERS_MAX);
    cb_error error = sort_headers(stream, &headers, secret);
    if (!error)
        error = cb_sessions_get(context->sessions, label, secret, &use);
    const char *text = error ? NULL : cb_buf_cstr(&headers);
    if (!error)
        error = text ? exchange(context, cb_session_of(use), stream, text) : CB_E_MEMORY;
    cb_session_put(&use);
    cb_wipe(secret, sizeof secret);
    cb_buf_free(&headers);
    return error;
}

cb_error cb_relay_serve(void *argument, cb_stream *stream)
{
    const cb_relay_context *context = argument;
    char label[CB_SESSION_LABEL];
    const char *code = code_of(stream);
    cb_error error = cb_relay_label(cb_stream_host(stream), context->relay_domain, label);
    if (!error)
        error = code ? enter(context->sessions, label, code, stream)
                     : pass_on(context, label, stream);
    if (!error || error == CB_E_CLOSED)
        return error;
    cb_log(CB_LOG_INFO, "relay.refused", cb_error_text(error), "error", cb_error_code(error), NULL);
    /* When the answer has begun, the page is refused and the error cuts the connection, so that nobody takes a part for the whole. */
    return cb_relay_page(stream, error) == CB_OK ? CB_OK : error;
}
