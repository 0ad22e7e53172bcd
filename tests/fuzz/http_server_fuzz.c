/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bytes from a client, through the acceptor's link, libmicrohttpd and the server, as they come from
 * the administration socket. Whatever comes: what goes back is HTTP with a status that the server
 * means, and no request outlives its connection.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "broker/http/acceptor.h"
#include "broker/http/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/cardbroker-fuzz-XXXXXX";
static struct sockaddr_un at = {.sun_family = AF_UNIX};
static cb_server *server;
static cb_acceptor *acceptor;

static cb_error live(cb_request *request, cb_reply *reply)
{
    (void)request;
    return cb_reply_json(reply, 200, json_pack("{sb}", "live", 1));
}

static cb_error echo(cb_request *request, cb_reply *reply)
{
    const char *text = NULL;
    const cb_field fields[] = {{"text", CB_FIELD_TEXT, true, 100, &text}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    return error ? error : cb_reply_json(reply, 201, json_pack("{ss}", "text", text));
}

static cb_error mirror(void *context, cb_stream *stream)
{
    uint8_t block[1000];
    size_t got = 1;
    (void)context;
    cb_error error = cb_stream_head(stream, 200, "X-Kind: stream\r\n", -1);
    while (!error && got > 0) {
        error = cb_stream_read(stream, block, sizeof block, &got);
        if (!error)
            error = cb_stream_write(stream, cb_bytes_make(block, got));
    }
    return error;
}

static const cb_route routes[] = {
    {"GET", "/v1/live", CB_ROLE_ANYBODY, live, 0, CB_CREW_NONE},
    {"POST", "/v1/echo", CB_ROLE_ANYBODY, echo, 0, CB_CREW_COMMON},
    {"GET", "/v1/things/{id}", CB_ROLE_ANYBODY, live, 0, CB_CREW_ENTRY},
    {"GET", "/v1/terminal", CB_ROLE_TERMINAL, live, 0, CB_CREW_COMMON},
};

static void clean_up(void)
{
    cb_acceptor_close(&acceptor);
    cb_server_close(&server);
    char held[sizeof at.sun_path + 8];
    snprintf(held, sizeof held, "%s-lock", at.sun_path);
    unlink(held);
    unlink(at.sun_path);
    rmdir(folder);
}

static void prepare(void)
{
    static const cb_server_config config = {.routes = routes,
                                            .route_count = sizeof routes / sizeof *routes,
                                            .stream_domain = "relay.test",
                                            .stream = mirror,
                                            .threads = 1,
                                            .workers = 1};
    cb_limits limits = cb_limits_default();
    cb_buf why = CB_BUF(1024);
    if (server)
        return;
    cb_log_init("fuzz", CB_LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(folder) || cb_server_open(&config, &server))
        abort();
    snprintf(at.sun_path, sizeof at.sun_path, "%s/s", folder);
    if (cb_acceptor_open(&limits, &acceptor) ||
        cb_acceptor_listen_local(acceptor, at.sun_path, 0600, NULL, 0, &why) ||
        cb_acceptor_start(acceptor, cb_server_sink(server)))
        abort();
    cb_buf_free(&why);
    atexit(clean_up);
}

/* Statuses that somebody here decided on; and 100, which libmicrohttpd sends. */
static void check_start(const char *answer, size_t len)
{
    static const char *const known[] = {"100", "200", "201", "400", "401", "403", "404",
                                        "405", "413", "414", "431", "501", "503", "505"};
    if (len < 13)
        return;
    if (memcmp(answer, "HTTP/1.", 7) != 0)
        abort();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (memcmp(answer + 9, known[i], 3) == 0)
            return;
    abort();
}

/* As long as answers come; then the client leaves, perhaps in the middle of a request. */
static void read_answers(int fd, bool quoted)
{
    static char answer[256 * 1024];
    size_t len = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t got = 1;
    while (got > 0 && len < sizeof answer && poll(&p, 1, 3) > 0) {
        got = recv(fd, answer + len, sizeof answer - len, 0);
        len += got > 0 ? (size_t)got : 0;
    }
    check_start(answer, len);
    /* The words are ours, never libmicrohttpd's; but what was sent may be quoted. */
    if (!quoted && memmem(answer, len, "<html", 5))
        abort();
}

/* It is let go of by another thread, soon. */
static void wait_for_end(void)
{
    for (int i = 0; cb_server_busy(server) > 0; i++) {
        if (i == 20000)
            abort();
        usleep(i < 100 ? 50 : 1000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)(const void *)&at, sizeof at) != 0)
        abort();
    for (size_t sent = 0; sent < size;) {
        ssize_t done = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (done <= 0)
            break;
        sent += (size_t)done;
    }
    read_answers(fd, memmem(data, size, "<html", 5) != NULL);
    close(fd);
    wait_for_end();
    return 0;
}
