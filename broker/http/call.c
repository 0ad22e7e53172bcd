/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/call.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/http/framing.h"

enum { DISCARD_MAX = 1024 * 1024, HOST_MAX = 256 };

cb_call *cb_call_new(cb_server *server, const char *target)
{
    cb_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->server = server;
    call->references = 1;
    call->target = strdup(target);
    call->path = strdup(target);
    if (!call->target || !call->path) {
        free(call->target);
        free(call->path);
        free(call);
        return NULL;
    }
    pthread_mutex_init(&call->lock, NULL);
    char *query = strchr(call->path, '?');
    if (query)
        *query++ = 0;
    call->request.query = query ? query : "";
    call->request.path = call->path;
    call->request.context = server->config.context;
    call->request.id = cb_id_new();
    cb_buf_init(&call->reply.body, CB_REPLY_MAX);
    cb_buf_init(&call->reply.detail, 1024);
    atomic_fetch_add(&server->busy, 1);
    return call;
}

void cb_call_release(cb_call *call)
{
    if (atomic_fetch_sub(&call->references, 1) != 1)
        return;
    cb_stream_free(&call->stream);
    cb_request_free(&call->request);
    cb_reply_free(&call->reply);
    pthread_mutex_destroy(&call->lock);
    free(call->target);
    free(call->path);
    free(call);
}

void cb_call_suspend(cb_call *call)
{
    call->suspended = true;
    MHD_suspend_connection(call->connection);
}

void cb_call_wake(cb_call *call)
{
    if (call->suspended) {
        MHD_resume_connection(call->connection);
        eventfd_write(call->poller->resumed, 1);
    }
    call->suspended = false;
}

static const char *header(const cb_call *call, const char *name)
{
    return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

static void read_carrier(cb_call *call)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    cb_carrier carrier;
    memcpy(&carrier, info->client_addr, sizeof carrier);
    call->request.peer = carrier.peer;
    call->poller = carrier.poller;
    call->turn = carrier.turn;
}

static void read_host(const cb_call *call, char host[HOST_MAX])
{
    const char *text = header(call, "Host");
    size_t length = text ? strcspn(text, ":") : 0;
    if (length >= HOST_MAX)
        length = 0;
    for (size_t i = 0; i < length; i++)
        host[i] = (char)tolower((unsigned char)text[i]);
    host[length] = 0;
}

static bool is_stream_host(const cb_server *server, const char *host)
{
    const char *domain = server->config.stream_domain;
    size_t all = strlen(host);
    size_t end = domain ? strlen(domain) : 0;
    return domain && all > end + 1 && host[all - end - 1] == '.' &&
           strcmp(host + all - end, domain) == 0;
}

/* The kinds that a browser sends to other sites without asking: nobody else has a reason to use
 * them here. */
static bool is_form(const char *type)
{
    static const char *const kinds[] = {"application/x-www-form-urlencoded", "multipart/form-data",
                                        "text/plain"};
    for (size_t i = 0; type && i < sizeof kinds / sizeof *kinds; i++)
        if (strncasecmp(type, kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

static bool has_body(const cb_call *call)
{
    const char *length = header(call, "Content-Length");
    return header(call, "Transfer-Encoding") || (length && strcmp(length, "0") != 0);
}

static cb_error check_body(cb_call *call)
{
    const cb_route *route = call->request.match.route;
    bool takes = strcmp(route->method, "POST") == 0 || strcmp(route->method, "PUT") == 0;
    call->body_limit = route->body_limit ? route->body_limit : takes ? CB_BODY_DEFAULT : 0;
    cb_buf_init(&call->request.body, call->body_limit);
    if (!has_body(call))
        return CB_OK;
    const char *length = header(call, "Content-Length");
    if (length && strtoull(length, NULL, 10) > call->body_limit)
        return cb_reply_fail(&call->reply, CB_E_TOO_LARGE,
                             "The body is larger than the %zu bytes that are read here: send less.",
                             call->body_limit);
    if (is_form(header(call, "Content-Type")))
        return cb_reply_fail(&call->reply, CB_E_ARGUMENT,
                             "Send the body as Content-Type: application/json.");
    return CB_OK;
}

static cb_error find_route(cb_call *call)
{
    const cb_server_config *config = &call->server->config;
    cb_match *match = &call->request.match;
    cb_route_match(config->routes, config->route_count, call->method, call->path,
                   &call->request.peer, match);
    call->series = match->route ? (size_t)(match->route - config->routes) : config->route_count;
    if (match->error == CB_E_ARGUMENT)
        return cb_reply_fail(&call->reply, match->error, "%.*s in the path is not well formed.",
                             (int)strcspn(match->bad_parameter, "}"), match->bad_parameter);
    return match->error ? match->error : check_body(call);
}

static bool asks_to_close(const cb_call *call, const char *version)
{
    const char *wish = header(call, "Connection");
    return strcmp(version, MHD_HTTP_VERSION_1_1) != 0 || (wish && strcasestr(wish, "close"));
}

enum MHD_Result cb_call_begin(cb_call *call, struct MHD_Connection *connection, const char *method,
                              const char *version)
{
    char host[HOST_MAX];
    call->connection = connection;
    snprintf(call->method, sizeof call->method, "%s", method);
    call->last = asks_to_close(call, version);
    call->request.method = call->method;
    read_carrier(call);
    read_host(call, host);
    bool stream = is_stream_host(call->server, host);
    call->series = call->server->config.route_count + (stream ? 1 : 0);
    cb_error error;
    if (!cb_framing_ok(connection)) {
        call->last = true;
        error = cb_reply_fail(&call->reply, CB_E_FORMAT,
                              "The headers do not say in one way where the request ends and for "
                              "whom it is.");
    } else {
        error = stream ? cb_stream_begin(call, host) : find_route(call);
    }
    if (!error && stream)
        cb_turn_serve(call->turn); /* who is slow to take the body may be the service */
    if (!error)
        return MHD_YES; /* a stream's thread may have ended by now and said how it went */
    call->error = error;
    call->complete = cb_clock_monotonic_us();
    return cb_call_answer(call);
}

enum MHD_Result cb_call_data(cb_call *call, const char *data, size_t *size)
{
    if (call->stream)
        return cb_stream_data(call, data, size);
    size_t length = *size;
    *size = 0;
    if (!call->error)
        cb_buf_put(&call->request.body, cb_bytes_make(data, length));
    if (!call->error && cb_buf_error(&call->request.body)) {
        call->error = cb_buf_error(&call->request.body);
        cb_buf_free(&call->request.body);
    }
    /* The answer can be given at the body's end only: somebody who never ends it gets none. */
    if (call->error)
        call->discarded += length;
    return call->discarded > DISCARD_MAX ? MHD_NO : MHD_YES;
}

static cb_error serve(cb_call *call)
{
    cb_request *request = &call->request;
    cb_reply *reply = &call->reply;
    const cb_server_config *config = &call->server->config;
    cb_error error = CB_OK;
    if (config->identify)
        error = config->identify(request, reply);
    if (!error && request->body.len > 0)
        error = cb_json_read(cb_buf_bytes(&request->body), &request->json, &reply->detail);
    if (!error)
        error = request->match.route->handler(request, reply);
    return error;
}

/* The log's own request id is the thread's. */
static void handle(cb_call *call)
{
    cb_log_set_request(&call->request.id);
    call->error = serve(call);
    if (call->error && cb_error_class_of(call->error) == CB_CLASS_INTERNAL)
        cb_log_failure("request.failed", call->error, call->request.match.route->pattern);
    cb_log_set_request(NULL);
}

static void work(void *context)
{
    cb_call *call = context;
    handle(call);
    pthread_mutex_lock(&call->lock);
    call->done = true;
    cb_call_wake(call);
    pthread_mutex_unlock(&call->lock);
}

static enum MHD_Result dispatch(cb_call *call)
{
    cb_server *server = call->server;
    cb_crew crew = call->request.match.route->crew;
    bool enters = crew == CB_CREW_ENTRY;
    call->dispatched = true;
    pthread_mutex_lock(&call->lock);
    bool accepted =
        cb_workers_submit(server->crews[enters ? CB_CREW_COMMON : crew], work, call, enters);
    if (accepted)
        cb_call_suspend(call); /* the worker cannot wake it before the lock is free */
    pthread_mutex_unlock(&call->lock);
    if (accepted)
        return MHD_YES;
    atomic_fetch_add(&server->refused_busy, 1);
    call->error = atomic_load(&server->draining) ? CB_E_STOPPING : CB_E_BUSY;
    return cb_call_answer(call);
}

enum MHD_Result cb_call_go_on(cb_call *call)
{
    call->whole = true;
    if (!call->complete) {
        call->complete = cb_clock_monotonic_us();
        cb_turn_serve(call->turn);
    }
    if (call->stream)
        return cb_stream_go_on(call);
    if (call->error || call->dispatched)
        return cb_call_answer(call);
    if (call->request.match.route->crew != CB_CREW_NONE)
        return dispatch(call);
    handle(call);
    return cb_call_answer(call);
}

static void count(const cb_call *call, int64_t us)
{
    cb_series *series = &call->server->series[call->series];
    unsigned digit = call->status / 100;
    atomic_fetch_add(&series->requests[digit < CB_STATUS_CLASSES ? digit : 0], 1);
    cb_histogram_add(&series->durations, us);
}

static void log_access(const cb_call *call, cb_error error, int64_t us)
{
    char status[12];
    char duration[24];
    const cb_route *route = call->request.match.route;
    snprintf(status, sizeof status, "%u", call->status);
    snprintf(duration, sizeof duration, "%lld", (long long)us);
    cb_log_set_request(&call->request.id);
    cb_log(CB_LOG_INFO, "http.request", "A request was answered", "method", call->method, "route",
           call->stream ? "stream"
           : route      ? route->pattern
                        : "none",
           "status", status, "us", duration, "error", error ? cb_error_code(error) : NULL,
           "address", call->request.peer.address, NULL);
    cb_log_set_request(NULL);
}

void cb_call_completed(cb_call *call, bool in_order)
{
    if (call->turn)
        cb_turn_end_answer(call->turn, in_order && call->whole && !call->last);
    if (call->stream)
        cb_stream_cut(call->stream);
    pthread_mutex_lock(&call->lock); /* a stream's thread may still be about to say how it went */
    cb_error error = call->error;
    pthread_mutex_unlock(&call->lock);
    if (call->connection && call->status) {
        int64_t us = cb_clock_monotonic_us() - call->complete;
        count(call, us);
        log_access(call, error, us);
    }
    atomic_fetch_sub(&call->server->busy, 1);
    cb_call_release(call);
}
