/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "connectors/host/headers.h"

enum { DRAIN_MAX = 4 * 1024 * 1024 };
#define DRAIN_TIME (5 * CB_SECOND)
#define SEND_TIME (10 * CB_SECOND)
/* Kept back from a deadline, so that the answer arrives before the broker gives up. */
#define MARGIN (50 * CB_MILLISECOND)

/* One exchange. The broker's messages are received inside libcurl's callbacks: while the broker is
 * not ready, nothing is read from the service, so that TCP slows it down. */
typedef struct exchange {
    cardbroker_login *login;
    char *method;
    char *target;
    cb_origin origin;
    cb_buf headers; /* towards the service */
    int64_t length; /* of the body */
    int64_t deadline;
    cb_msg msg;   /* the last one received */
    size_t used;  /* of a SEND's bytes */
    bool sending; /* a SEND is in msg */
    bool asked;   /* HEAD came */
    uint32_t head_id;
    bool answered; /* the head was given */
    bool closed;   /* CLOSE came */
    size_t drained;
    cb_error error; /* a reason of our own to break off */
} exchange;

static void reply(exchange *x, uint16_t type, uint32_t id, cb_error error, cb_bytes body)
{
    cb_msg msg;
    cb_msg_init(&msg, type);
    msg.id = id;
    msg.error = error;
    cb_buf_put(&msg.body, error ? cb_buf_bytes(&x->login->reason) : body);
    if (cb_msg_send(x->login->socket, &msg, cb_deadline_in(SEND_TIME)) != CB_OK)
        x->error = CB_E_SESSION_ENDED;
    cb_msg_free(&msg);
}

static bool receive(exchange *x)
{
    cb_error error = cb_msg_receive(x->login->socket, &x->msg, x->deadline);
    x->sending = false;
    if (error)
        x->error = error == CB_E_TIMEOUT ? CB_E_TIMEOUT : CB_E_SESSION_ENDED;
    else if (x->msg.type == CB_CONN_CLOSE)
        x->closed = true;
    return !error;
}

static void note_head(exchange *x)
{
    x->asked = true;
    x->head_id = x->msg.id;
}

/* ---- the request's body ---- */

/* The next bytes for libcurl; 0 at the end. */
static size_t give_body(char *out, size_t size, size_t count, void *context)
{
    exchange *x = context;
    while (!x->sending && !x->asked) {
        if (!receive(x) || x->closed)
            return CURL_READFUNC_ABORT;
        if (x->msg.type == CB_CONN_SEND && x->msg.body.len > 0) {
            x->sending = true;
            x->used = 0;
        } else if (x->msg.type == CB_CONN_HEAD) {
            note_head(x);
        }
    }
    if (!x->sending)
        return 0;
    cb_cursor cursor = cb_msg_cursor(&x->msg);
    cb_cursor_take(&cursor, x->used);
    size_t room = size * count;
    cb_bytes part = cb_cursor_take(&cursor, cursor.rest.len < room ? cursor.rest.len : room);
    memcpy(out, part.data, part.len);
    x->used += part.len;
    x->sending = cursor.rest.len > 0;
    return part.len;
}

/* ---- the answer ---- */

/* Waits until the broker asks for the head; what it still sends of the body is no longer wanted. */
static bool wait_for_question(exchange *x)
{
    while (!x->asked && !x->closed) {
        if (!receive(x))
            return false;
        if (x->msg.type == CB_CONN_HEAD)
            note_head(x);
    }
    return true;
}

static bool give_head(exchange *x)
{
    long status = 0;
    cb_buf headers = CB_BUF(CARDBROKER_HEADERS_MAX + 1024);
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    if (!wait_for_question(x))
        return false;
    x->answered = true;
    if (x->closed)
        return true;
    curl_easy_getinfo(x->login->http->easy, CURLINFO_RESPONSE_CODE, &status);
    cb_error error =
        cb_headers_to_browser(cb_buf_bytes(&x->login->http->headers), &x->origin, &headers);
    if (!error && headers.len > CB_RELAY_HEADERS_MAX)
        error = CB_E_SERVICE_ANSWER;
    cb_buf_put_u16(&body, (uint16_t)status);
    cb_buf_put_var(&body, cb_buf_bytes(&headers));
    if (error)
        x->error = error;
    else
        reply(x, CB_CONN_HEAD, x->head_id, cb_buf_error(&body), cb_buf_bytes(&body));
    x->answered = !error;
    cb_buf_free(&headers);
    cb_buf_free(&body);
    return x->error == CB_OK;
}

/* Whether to go on reading what nobody wants any more. */
static bool drain(exchange *x, size_t len)
{
    if (x->drained == 0)
        x->deadline = cb_deadline_in(DRAIN_TIME);
    x->drained += len;
    if (x->drained <= DRAIN_MAX && cb_deadline_left_ms(x->deadline) > 0)
        return true;
    cb_login_explain(x->login, "a long answer was left unread");
    x->error = CB_E_SESSION_ENDED;
    return false;
}

/* The answer to one READ: the next of these bytes. */
static void give_part(exchange *x, cb_cursor *data)
{
    cb_cursor question = cb_msg_cursor(&x->msg);
    uint32_t most = cb_cursor_u32(&question);
    if (!cb_cursor_done(&question) || most == 0 || most > CB_CONN_CHUNK_MAX)
        most = CB_CONN_CHUNK_MAX;
    cb_bytes part = cb_cursor_take(data, data->rest.len < most ? data->rest.len : most);
    reply(x, CB_CONN_READ, x->msg.id, CB_OK, part);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    exchange *x = context;
    size_t len = size * count;
    cb_cursor data = cb_cursor_over(cb_bytes_make(bytes, len));
    if (!x->answered && !give_head(x))
        return 0;
    while (data.rest.len > 0 && !x->closed && !x->error) {
        if (receive(x) && x->msg.type == CB_CONN_READ)
            give_part(x, &data);
    }
    if (x->closed && data.rest.len > 0)
        return drain(x, data.rest.len) ? len : 0;
    return x->error ? 0 : len;
}

/* ---- the whole ---- */

/* Answers what is still asked, until the broker closes the exchange. */
static void finish(exchange *x, cb_error error)
{
    if (!error && !x->answered && !give_head(x))
        error = x->error;
    if (error && x->asked && !x->answered)
        reply(x, CB_CONN_HEAD, x->head_id, error, (cb_bytes){0});
    x->deadline = INT64_MAX;
    while (!x->closed && x->error != CB_E_SESSION_ENDED) {
        if (!receive(x))
            return;
        /* There is one head, and this is not the answer to whoever asks for it again. */
        if (x->msg.type == CB_CONN_HEAD)
            reply(x, CB_CONN_HEAD, x->msg.id, error ? error : CB_E_PROTOCOL, (cb_bytes){0});
        else if (x->msg.type == CB_CONN_READ)
            reply(x, CB_CONN_READ, x->msg.id, error, (cb_bytes){0});
    }
}

static struct curl_slist *header_list(exchange *x)
{
    cb_http *http = x->login->http;
    struct curl_slist *list = NULL;
    cb_http_add_line(http, &list, "Expect:");
    cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&x->headers));
    cb_bytes ignored;
    char host[CB_HOST_MAX + 32];
    for (cb_header header; cb_header_next(&cursor, &header);) {
        cb_buf line = CB_BUF(2 * CB_RELAY_HEADERS_MAX + 16);
        /* libcurl's way of writing a header without a value ends with a semicolon. */
        cb_buf_printf(&line, "%.*s%s%.*s", (int)header.name.len, (const char *)header.name.data,
                      header.value.len > 0 ? ": " : ";", (int)header.value.len,
                      header.value.len > 0 ? (const char *)header.value.data : "");
        cb_http_add_line(http, &list, cb_buf_cstr(&line));
        cb_buf_free(&line);
    }
    if (!cb_header_find(cb_buf_bytes(&x->headers), "Accept", &ignored))
        cb_http_add_line(http, &list, "Accept:");
    if (x->length < 0)
        cb_http_add_line(http, &list, "Transfer-Encoding: chunked");
    bool v6 = strchr(x->origin.host, ':') != NULL;
    int len =
        snprintf(host, sizeof host, "Host: %s%s%s", v6 ? "[" : "", x->origin.host, v6 ? "]" : "");
    if (x->origin.port != 443)
        snprintf(host + len, sizeof host - (size_t)len, ":%u", x->origin.port);
    cb_http_add_line(http, &list, host);
    return list;
}

static void set_body(exchange *x, cb_http *http)
{
    bool head = strcmp(x->method, "HEAD") == 0;
    bool body = x->length != 0 || strcmp(x->method, "POST") == 0 || strcmp(x->method, "PUT") == 0;
    CB_HTTP_SET(http, CURLOPT_HTTPGET, 1L);
    CB_HTTP_SET(http, CURLOPT_NOBODY, head ? 1L : 0L);
    if (body) {
        CB_HTTP_SET(http, CURLOPT_UPLOAD, 1L);
        CB_HTTP_SET(http, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->length);
        CB_HTTP_SET(http, CURLOPT_READFUNCTION, give_body);
        CB_HTTP_SET(http, CURLOPT_READDATA, x);
    }
    CB_HTTP_SET(http, CURLOPT_CUSTOMREQUEST, x->method);
}

/* The request differs from the login's in what was said above, and so finds the login's connection.
 */
static cb_error perform(exchange *x)
{
    cb_http *http = x->login->http;
    http->lost = false;
    struct curl_slist *headers = header_list(x);
    cb_buf_reset(&http->headers);
    http->error = CB_OK;
    CB_HTTP_SET(http, CURLOPT_HTTPHEADER, headers);
    CB_HTTP_SET(http, CURLOPT_REQUEST_TARGET, x->target);
    CB_HTTP_SET(http, CURLOPT_PATH_AS_IS, 1L);
    CB_HTTP_SET(http, CURLOPT_FRESH_CONNECT, 0L);
    CB_HTTP_SET(http, CURLOPT_COOKIELIST, "ALL");
    CB_HTTP_SET(http, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    CB_HTTP_SET(http, CURLOPT_KEEP_SENDING_ON_ERROR, 1L);
    CB_HTTP_SET(http, CURLOPT_WRITEFUNCTION, take_body);
    CB_HTTP_SET(http, CURLOPT_WRITEDATA, x);
    int left = cb_deadline_left_ms(cb_deadline_before(x->deadline, MARGIN));
    CB_HTTP_SET(http, CURLOPT_TIMEOUT_MS, left > 0 ? (long)left : 1L);
    set_body(x, http);
    cb_error error = cb_http_perform(http);
    curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    return x->error ? x->error : error;
}

static cb_error take_text(cb_cursor *cursor, size_t most, char **out)
{
    cb_bytes text = cb_cursor_var(cursor, most);
    if (text.len == 0 || memchr(text.data, 0, text.len))
        return CB_E_PROTOCOL;
    *out = cb_text_copy(text);
    return *out ? CB_OK : CB_E_MEMORY;
}

static bool is_method(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    return len > 0 && text[len] == 0 && strcmp(text, "CONNECT") != 0;
}

static bool is_target(const char *text)
{
    return (*text == '/' || strcmp(text, "*") == 0) && cb_is_header_text(text) &&
           !strchr(text, ' ');
}

static cb_error read_question(exchange *x, cb_bytes *headers)
{
    cb_cursor cursor = cb_msg_cursor(&x->msg);
    cb_error error = take_text(&cursor, CB_CONN_METHOD_MAX, &x->method);
    if (!error)
        error = take_text(&cursor, CB_CONN_TARGET_MAX, &x->target);
    if (error)
        return error;
    *headers = cb_cursor_var(&cursor, CB_RELAY_HEADERS_MAX);
    x->length = (int64_t)cb_cursor_u64(&cursor);
    x->deadline = (int64_t)cb_cursor_u64(&cursor);
    if (!cb_cursor_done(&cursor))
        return CB_E_PROTOCOL;
    if (!is_method(x->method) || !is_target(x->target) || x->length < -1)
        return CB_E_ARGUMENT;
    return cb_headers_to_service(*headers, &x->origin, cb_buf_bytes(&x->login->relay_headers),
                                 &x->headers);
}

/* Another protocol after the answer is not something that can be cut into exchanges. */
static void refuse_upgrade(exchange *x)
{
    static const char text[] = "This session is relayed: it cannot change to another protocol "
                               "(WebSocket or other upgrade).\n";
    cb_buf body = CB_BUF(1024);
    cb_cursor data = cb_cursor_over(cb_bytes_str(text));
    cb_buf_put_u16(&body, 501);
    cb_buf_put_var(&body, cb_bytes_str("Content-Type: text/plain; charset=utf-8\r\n"));
    if (wait_for_question(x) && !x->closed)
        reply(x, CB_CONN_HEAD, x->head_id, CB_OK, cb_buf_bytes(&body));
    while (data.rest.len > 0 && !x->closed && !x->error) {
        if (receive(x) && x->msg.type == CB_CONN_READ)
            give_part(x, &data);
    }
    x->answered = true;
    finish(x, CB_OK);
    cb_buf_free(&body);
}

/* Takes over the message. False when the broker and this process are no longer in step. */
static bool run_exchange(cardbroker_login *login, cb_msg *msg)
{
    exchange x = {.login = login,
                  .origin = login->fields.origins[login->http->origin],
                  .headers = CB_BUF(2 * CB_RELAY_HEADERS_MAX)};
    cb_bytes headers = {0};
    cb_bytes upgrade;
    cb_msg_init(&x.msg, 0);
    cb_msg swap = x.msg;
    x.msg = *msg;
    *msg = swap;
    cb_buf_reset(&login->reason);
    cb_error error = read_question(&x, &headers);
    if (!error && cb_header_find(headers, "Upgrade", &upgrade))
        refuse_upgrade(&x);
    else
        finish(&x, error ? error : perform(&x));
    free(x.method);
    free(x.target);
    cb_buf_free(&x.headers);
    cb_msg_free(&x.msg);
    return x.error != CB_E_SESSION_ENDED;
}

/* Waits for the broker; false when the service closes the connection first. */
static bool wait_for_broker(cardbroker_login *login)
{
    struct pollfd p[2] = {{.fd = login->socket, .events = POLLIN},
                          {.fd = login->http->connection, .events = POLLRDHUP}};
    while (poll(p, 2, -1) < 0 && errno == EINTR)
        continue;
    if (p[0].revents & POLLIN)
        return true;
    if (p[1].revents)
        cb_login_log(login, CARDBROKER_INFO, "session.closed_by_service",
                     "The service closed the connection; the session has ended.");
    return false;
}

bool cb_login_relay(cardbroker_login *login, uint32_t *id)
{
    cb_msg msg;
    bool log_out = false, goes_on = true;
    login->http->may_connect = false;
    cb_msg_init(&msg, 0);
    while (goes_on && !log_out && login->http->connection >= 0 && wait_for_broker(login) &&
           cb_msg_receive(login->socket, &msg, cb_deadline_in(CB_SECOND)) == CB_OK) {
        log_out = msg.type == CB_CONN_LOGOUT;
        *id = msg.id;
        if (msg.type == CB_CONN_OPEN)
            goes_on = run_exchange(login, &msg);
    }
    cb_msg_free(&msg);
    return log_out;
}
