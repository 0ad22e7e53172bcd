/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The acceptor and the HTTP server with routes made for tests; http_test.py drives it from outside.
 *
 *   http_server NAME=VALUE…      certificate, key, relay_certificate, relay_key, admin: paths
 *                                threads, workers, queue, connections, handshakes, per_address,
 *                                streams: numbers; handshake_ms, idle_ms, grace_ms: milliseconds
 *
 * Prints "ready PORT" and serves until SIGTERM, which it obeys as cardbrokerd does; SIGHUP reads
 * the certificates anew.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/http/acceptor.h"
#include "broker/http/server.h"

static const char *option(char **argv, const char *name)
{
    size_t length = strlen(name);
    for (; *argv; argv++)
        if (strncmp(*argv, name, length) == 0 && (*argv)[length] == '=')
            return *argv + length + 1;
    return "";
}

static unsigned number(char **argv, const char *name)
{
    return (unsigned)strtoul(option(argv, name), NULL, 10);
}

/* ---- Routes ---- */

static cb_error get_live(cb_request *request, cb_reply *reply)
{
    (void)request;
    return cb_reply_json(reply, 200, json_pack("{sb}", "live", 1));
}

static cb_error get_who(cb_request *request, cb_reply *reply)
{
    char key[2 * CB_SHA256_SIZE + 1] = "";
    if (request->peer.has_key)
        cb_hex(cb_digest_bytes(&request->peer.key), key);
    return cb_reply_json(reply, 200,
                         json_pack("{ss, ss, si, ss}", "key", key, "address", request->peer.address,
                                   "kind", (int)request->peer.kind, "actor", request->actor));
}

static cb_error post_echo(cb_request *request, cb_reply *reply)
{
    const char *text = "";
    json_t *object = NULL;
    int64_t count = 0;
    cb_buf bytes = CB_BUF(16);
    cb_id id = {{0}};
    const cb_field fields[] = {
        {"text", CB_FIELD_TEXT, true, 60000, &text},
        {"object", CB_FIELD_OBJECT, false, 0, &object},
        {"count", CB_FIELD_NUMBER, false, 10, &count},
        {"bytes", CB_FIELD_HEX, false, 16, &bytes},
        {"id", CB_FIELD_ID, false, 0, &id},
    };
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error)
        error = cb_reply_json(reply, 201,
                              json_pack("{ss, sI, si}", "text", text, "count", (json_int_t)count,
                                        "bytes", (int)bytes.len));
    cb_buf_free(&bytes);
    return error;
}

static cb_error get_slow(cb_request *request, cb_reply *reply)
{
    int64_t ms = 0;
    const cb_field fields[] = {{"ms", CB_FIELD_NUMBER, true, 60000, &ms}};
    cb_error error = cb_request_query(request, reply, fields, 1);
    if (!error)
        usleep((useconds_t)(ms * 1000));
    return error ? error : get_live(request, reply);
}

/* Holds its worker until somebody asks for a release, or for as long as nobody would wait for an
 * answer. */
static atomic_int held;
static atomic_bool released;

static cb_error get_hold(cb_request *request, cb_reply *reply)
{
    atomic_fetch_add(&held, 1);
    for (int i = 0; i < 6000 && !atomic_load(&released); i++)
        usleep(10000);
    return get_live(request, reply);
}

static cb_error get_held(cb_request *request, cb_reply *reply)
{
    (void)request;
    return cb_reply_json(reply, 200, json_pack("{si}", "held", atomic_load(&held)));
}

static cb_error get_release(cb_request *request, cb_reply *reply)
{
    atomic_store(&released, true);
    return get_live(request, reply);
}

static cb_error get_thing(cb_request *request, cb_reply *reply)
{
    char id[CB_ID_TEXT];
    cb_id_text(&request->match.parameters[0].id, id);
    return cb_reply_json(reply, 200, json_pack("{ss}", "id", id));
}

static cb_error get_fault(cb_request *request, cb_reply *reply)
{
    (void)request;
    (void)reply;
    return CB_E_INTERNAL;
}

static const cb_route routes[] = {
    {"GET", "/v1/live", CB_ROLE_ANYBODY, get_live, 0, CB_CREW_NONE},
    {"GET", "/v1/reserved", CB_ROLE_ANYBODY, get_live, 0, CB_CREW_RESERVED},
    {"GET", "/v1/who", CB_ROLE_ANYBODY, get_who, 0, CB_CREW_COMMON},
    {"POST", "/v1/echo", CB_ROLE_ANYBODY, post_echo, 0, CB_CREW_COMMON},
    {"PUT", "/v1/echo", CB_ROLE_TERMINAL, post_echo, 0, CB_CREW_COMMON},
    {"GET", "/v1/slow", CB_ROLE_ANYBODY, get_slow, 0, CB_CREW_COMMON},
    {"GET", "/v1/hold", CB_ROLE_ANYBODY, get_hold, 0, CB_CREW_COMMON},
    {"GET", "/v1/held", CB_ROLE_ANYBODY, get_held, 0, CB_CREW_NONE},
    {"GET", "/v1/release", CB_ROLE_ANYBODY, get_release, 0, CB_CREW_NONE},
    {"GET", "/v1/things/{id}", CB_ROLE_ANYBODY, get_thing, 0, CB_CREW_COMMON},
    {"GET", "/v1/both", CB_ROLE_TERMINAL, get_who, 0, CB_CREW_COMMON},
    {"GET", "/v1/both", CB_ROLE_ADMINISTRATOR, get_live, 0, CB_CREW_COMMON},
    {"GET", "/v1/terminal", CB_ROLE_TERMINAL, get_who, 0, CB_CREW_COMMON},
    {"GET", "/v1/admin", CB_ROLE_ADMINISTRATOR, get_who, 0, CB_CREW_COMMON},
    {"GET", "/v1/fault", CB_ROLE_ANYBODY, get_fault, 0, CB_CREW_COMMON},
};

static cb_error identify(cb_request *request, cb_reply *reply)
{
    (void)reply;
    if (request->match.route->role == CB_ROLE_ADMINISTRATOR)
        snprintf(request->actor, sizeof request->actor, "uid:%u", request->peer.uid);
    return CB_OK;
}

/* ---- Streams ---- */

static atomic_int disconnects;

static cb_error send_big(cb_stream *stream, bool chunked)
{
    static const uint8_t block[40000];
    const char *query = strchr(cb_stream_target(stream), '?');
    int64_t left = query ? strtoll(query + 1, NULL, 10) : 0;
    cb_error error = cb_stream_head(stream, 200, "Content-Type: application/octet-stream\r\n",
                                    chunked ? -1 : left);
    while (!error && left > 0) {
        size_t size = left < (int64_t)sizeof block ? (size_t)left : sizeof block;
        error = cb_stream_write(stream, cb_bytes_make(block, size));
        left -= (int64_t)size;
    }
    if (error == CB_E_CLOSED)
        atomic_fetch_add(&disconnects, 1);
    return error;
}

static cb_error swallow(cb_stream *stream)
{
    uint8_t block[30000];
    char answer[32];
    uint64_t total = 0;
    size_t got = 1;
    cb_error error = CB_OK;
    while (!error && got > 0) {
        error = cb_stream_read(stream, block, sizeof block, &got);
        total += got;
    }
    snprintf(answer, sizeof answer, "%" PRIu64, total);
    if (!error)
        error = cb_stream_head(stream, 200, "X-Total: 1\r\nConnection: upgrade\r\n",
                               (int64_t)strlen(answer));
    return error ? error : cb_stream_write(stream, cb_bytes_str(answer));
}

static cb_error mirror(cb_stream *stream)
{
    uint8_t page[4096];
    size_t total = 0;
    size_t got = 1;
    cb_error error = CB_OK;
    while (!error && got > 0 && total < sizeof page) {
        error = cb_stream_read(stream, page + total, sizeof page - total, &got);
        total += got;
    }
    if (!error)
        error = cb_stream_head(stream, 200, "", -1);
    return error ? error : cb_stream_write(stream, cb_bytes_make(page, total));
}

static cb_error tell(cb_stream *stream)
{
    cb_buf text = CB_BUF(65536);
    cb_buf cookie = CB_BUF(4096);
    cb_stream_cookie(stream, "session", &cookie);
    cb_buf_printf(&text, "%s %s %s\n%s\ncookie=", cb_stream_method(stream), cb_stream_host(stream),
                  cb_stream_target(stream), cb_stream_headers(stream));
    cb_buf_put(&text, cb_buf_bytes(&cookie));
    cb_error error =
        cb_stream_head(stream, 200, "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", (int64_t)text.len);
    if (!error)
        error = cb_stream_write(stream, cb_buf_bytes(&text));
    cb_buf_free(&text);
    cb_buf_free(&cookie);
    return error;
}

static cb_error wait_for_the_end(cb_stream *stream)
{
    for (int i = 0; i < 1000 && !cb_stream_gone(stream); i++)
        usleep(10000);
    if (cb_stream_gone(stream))
        atomic_fetch_add(&disconnects, 1);
    return CB_E_CLOSED;
}

/* A handler may ask for a header when the client has long gone. */
static cb_error ask_late(cb_stream *stream)
{
    cb_buf cookie = CB_BUF(4096);
    for (int i = 0; i < 1000 && !cb_stream_gone(stream); i++)
        usleep(10000);
    usleep(200000);
    const char *found = cb_stream_header(stream, "X-Late");
    bool right = found && strcmp(found, "still here") == 0 &&
                 cb_stream_cookie(stream, "late", &cookie) &&
                 strcmp(cb_buf_cstr(&cookie), "kept") == 0;
    if (right)
        atomic_fetch_add(&disconnects, 1);
    cb_buf_free(&cookie);
    return CB_E_CLOSED;
}

static cb_error fail_in_the_middle(cb_stream *stream)
{
    cb_error error = cb_stream_head(stream, 200, "", -1);
    if (!error)
        error = cb_stream_write(stream, cb_bytes_str("half"));
    return error ? error : CB_E_SERVICE_DOWN;
}

static cb_error count_disconnects(cb_stream *stream)
{
    char text[16];
    snprintf(text, sizeof text, "%d", atomic_load(&disconnects));
    cb_error error = cb_stream_head(stream, 200, "", -1);
    return error ? error : cb_stream_write(stream, cb_bytes_str(text));
}

static bool target_is(const cb_stream *stream, const char *path)
{
    const char *target = cb_stream_target(stream);
    size_t length = strcspn(target, "?");
    return strlen(path) == length && strncmp(target, path, length) == 0;
}

static cb_error on_stream(void *context, cb_stream *stream)
{
    (void)context;
    if (target_is(stream, "/big") || target_is(stream, "/chunked"))
        return send_big(stream, target_is(stream, "/chunked"));
    if (target_is(stream, "/sink"))
        return swallow(stream);
    if (target_is(stream, "/mirror"))
        return mirror(stream);
    if (target_is(stream, "/early"))
        return cb_stream_head(stream, 413, "", 0);
    if (target_is(stream, "/wait"))
        return wait_for_the_end(stream);
    if (target_is(stream, "/late"))
        return ask_late(stream);
    if (target_is(stream, "/half"))
        return fail_in_the_middle(stream);
    if (target_is(stream, "/bad"))
        return cb_stream_head(stream, 200, "Good: 1\r\nBad\nInjected: 2\r\n", 0);
    if (target_is(stream, "/refuse"))
        return CB_E_SESSION_ENDED;
    if (target_is(stream, "/nothing"))
        return cb_stream_head(stream, 204, "", -1);
    if (target_is(stream, "/disconnects"))
        return count_disconnects(stream);
    return tell(stream);
}

/* ---- Beginning and end ---- */

static cb_limits limits_of(char **argv)
{
    cb_limits limits = cb_limits_default();
    if (number(argv, "connections"))
        limits.connections = number(argv, "connections");
    if (number(argv, "handshakes"))
        limits.handshakes = number(argv, "handshakes");
    if (number(argv, "per_address"))
        limits.per_address = number(argv, "per_address");
    if (number(argv, "handshake_ms"))
        limits.handshake_time = number(argv, "handshake_ms") * CB_MILLISECOND;
    if (number(argv, "idle_ms"))
        limits.idle_time = number(argv, "idle_ms") * CB_MILLISECOND;
    if (number(argv, "grace_ms"))
        limits.request_grace = number(argv, "grace_ms") * CB_MILLISECOND;
    return limits;
}

static void fail(const char *what, cb_error error, cb_buf *why)
{
    fprintf(stderr, "http_server: %s: %s (%s)\n", what, cb_error_text(error), cb_buf_cstr(why));
    exit(1);
}

/* Whether no request was left over. */
static bool stop(cb_acceptor *acceptor, cb_server *server)
{
    cb_acceptor_state state;
    int64_t deadline = cb_deadline_in(10 * CB_SECOND);
    cb_server_drain(server);
    cb_acceptor_drain(acceptor);
    do {
        usleep(10000);
        cb_acceptor_status(acceptor, &state);
    } while ((state.connections > 0 || cb_server_busy(server) > 0) &&
             cb_deadline_left_ms(deadline));
    bool clean = cb_server_busy(server) == 0;
    cb_acceptor_close(&acceptor);
    cb_server_close(&server);
    return clean;
}

int main(int argc, char **argv)
{
    sigset_t signals;
    cb_server *server = NULL;
    cb_acceptor *acceptor = NULL;
    uint16_t port = 0;
    int signal_number = 0;
    cb_buf why = CB_BUF(1024);
    (void)argc;
    cb_log_init("http_server", CB_LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    cb_limits limits = limits_of(argv);
    const cb_tls_entry entries[] = {
        {"", option(argv, "certificate"), option(argv, "key"), true},
        {"*.relay.test", option(argv, "relay_certificate"), option(argv, "relay_key"), false},
    };
    cb_server_config config = {.routes = routes,
                               .route_count = sizeof routes / sizeof *routes,
                               .identify = identify,
                               .stream_domain = "relay.test",
                               .stream = on_stream,
                               .threads = number(argv, "threads"),
                               .workers = number(argv, "workers"),
                               .queue = number(argv, "queue"),
                               .streams = number(argv, "streams"),
                               .connections = 2 * limits.connections};
    cb_error error = cb_server_open(&config, &server);
    if (!error)
        error = cb_acceptor_open(&limits, &acceptor);
    if (!error)
        error = cb_acceptor_listen(acceptor, "127.0.0.1", 0, entries, 2, &port, &why);
    if (!error && option(argv, "admin")[0])
        error = cb_acceptor_listen_local(acceptor, option(argv, "admin"), 0600, NULL, 0, &why);
    if (!error)
        error = cb_acceptor_start(acceptor, cb_server_sink(server));
    if (error)
        fail("cannot start", error, &why);
    printf("ready %u\n", port);
    fflush(stdout);
    while (sigwait(&signals, &signal_number) == 0 && signal_number == SIGHUP) {
        error = cb_acceptor_prepare(acceptor, 0, entries, 2, &why);
        cb_acceptor_settle(acceptor, !error);
        cb_log(CB_LOG_INFO, error ? "reload.failed" : "reload.done", cb_buf_cstr(&why), NULL);
        cb_buf_reset(&why);
    }
    bool clean = stop(acceptor, server);
    cb_buf_free(&why);
    return clean ? 0 : 1;
}
