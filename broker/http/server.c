/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "broker/http/call.h"

enum {
    THREADS_DEFAULT = 2,
    CREWS = CB_CREW_HEALTH + 1,
    WORKERS_DEFAULT = 16,
    QUEUE_DEFAULT = 256,
    ADMINISTRATORS_DEFAULT = 4,
    RESERVED_DEFAULT = 2,
    STREAMS_DEFAULT = 256,
    CONNECTIONS_DEFAULT = 8192,
    CONNECTION_MEMORY = 32 * 1024 /* request line and headers must fit in it */
};

__attribute__((format(printf, 2, 0))) static void on_message(void *context, const char *format,
                                                             va_list args)
{
    char text[256];
    (void)context;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = 0;
    cb_log(CB_LOG_DEBUG, "http.library", text, NULL);
}

/* Where a connection keeps the request that is under way; NULL: there was no memory for that. */
static cb_call **under_way(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static cb_carrier carrier_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    cb_carrier carrier;
    memcpy(&carrier, info->client_addr, sizeof carrier);
    return carrier;
}

static void *on_request_line(void *context, const char *target, struct MHD_Connection *connection)
{
    cb_call **call = under_way(connection);
    if (call)
        *call = cb_call_new(context, target);
    if (!call || !*call)
        cb_turn_starve(carrier_of(connection).turn);
    return call ? *call : NULL;
}

/* Paths are compared as they were sent, and queries decoded by their reader. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *size, void **state)
{
    cb_call *call = *state;
    (void)context;
    (void)url;
    if (!call)
        return MHD_NO;
    if (!call->connection)
        return cb_call_begin(call, connection, method, version);
    if (*size > 0)
        return cb_call_data(call, data, size);
    return cb_call_go_on(call);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    cb_call **call = under_way(connection);
    (void)context;
    if (*state)
        cb_call_completed(*state, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    *state = NULL;
    if (call)
        *call = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    (void)context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *state = calloc(1, sizeof(cb_call *));
        cb_turn_take_up(carrier_of(connection).turn);
    }
    if (what != MHD_CONNECTION_NOTIFY_CLOSED)
        return;
    /* A request that has two faults is given up by libmicrohttpd without a word. */
    cb_call **call = *state;
    if (call && *call)
        cb_call_completed(*call, false);
    free(call);
    *state = NULL;
    cb_carrier carrier = carrier_of(connection);
    cb_turn_leave(carrier.turn);
    cb_turn_release(&carrier.turn);
}

/* Each may get all connections: they are shared among the loops, but not exactly. */
static struct MHD_Daemon *start_daemon(cb_server *server)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, on_access, server, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, server, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_CONNECTION_LIMIT,
        server->config.connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

static unsigned or_default(unsigned value, unsigned otherwise) { return value ? value : otherwise; }

static void fill_in(cb_server_config *config)
{
    config->threads = or_default(config->threads, THREADS_DEFAULT);
    if (config->threads > CB_LOOPS_MAX)
        config->threads = CB_LOOPS_MAX;
    config->workers = or_default(config->workers, WORKERS_DEFAULT);
    config->queue = or_default(config->queue, QUEUE_DEFAULT);
    config->administrators = or_default(config->administrators, ADMINISTRATORS_DEFAULT);
    config->reserved = or_default(config->reserved, RESERVED_DEFAULT);
    config->streams = or_default(config->streams, STREAMS_DEFAULT);
    config->connections = or_default(config->connections, CONNECTIONS_DEFAULT);
}

static cb_error open_poller(cb_server *server, cb_poller *poller)
{
    poller->resumed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poller->resumed < 0)
        return CB_E_IO;
    poller->daemon = start_daemon(server);
    return poller->daemon ? CB_OK : CB_E_INTERNAL;
}

static void close_poller(cb_poller *poller)
{
    if (poller->daemon)
        MHD_stop_daemon(poller->daemon);
    if (poller->resumed >= 0)
        close(poller->resumed);
}

static cb_error open_crews(cb_server *server)
{
    const cb_server_config *config = &server->config;
    cb_error error =
        cb_workers_open(config->workers, config->queue, &server->crews[CB_CREW_COMMON]);
    if (!error)
        error = cb_workers_open(config->administrators, config->queue,
                                &server->crews[CB_CREW_ADMINISTRATORS]);
    if (!error)
        error = cb_workers_open(config->reserved, config->queue, &server->crews[CB_CREW_RESERVED]);
    if (!error)
        error = cb_workers_open(1, config->queue, &server->crews[CB_CREW_HEALTH]);
    return error;
}

cb_error cb_server_open(const cb_server_config *config, cb_server **out)
{
    cb_server *server = calloc(1, sizeof *server);
    *out = NULL;
    if (!server)
        return CB_E_MEMORY;
    server->config = *config;
    fill_in(&server->config);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->stream_ended, NULL);
    for (unsigned i = 0; i < CB_LOOPS_MAX; i++)
        server->pollers[i].resumed = -1;
    server->series = calloc(config->route_count + 2, sizeof *server->series);
    cb_error error = server->series ? CB_OK : CB_E_MEMORY;
    if (!error)
        error = open_crews(server);
    for (unsigned i = 0; i < server->config.threads && !error; i++)
        error = open_poller(server, &server->pollers[i]);
    if (error)
        cb_server_close(&server);
    *out = server;
    return error;
}

static bool take(void *context, unsigned loop, int fd, const cb_peer *peer, cb_turn *turn)
{
    cb_server *server = context;
    cb_poller *poller = &server->pollers[loop];
    cb_carrier carrier = {
        .family = AF_UNIX, .peer = *peer, .poller = poller, .turn = cb_turn_keep(turn)};
    bool taken =
        MHD_add_connection(poller->daemon, fd, (const struct sockaddr *)(const void *)&carrier,
                           sizeof carrier) == MHD_YES;
    /* What was taken up has ended since, as every connection does. */
    if (!taken && cb_turn_starved(turn))
        cb_turn_release(&carrier.turn);
    return taken;
}

static void gone(void *context, uint64_t connection) { cb_streams_cut(context, connection); }

static bool work(void *context, unsigned loop)
{
    cb_server *server = context;
    MHD_UNSIGNED_LONG_LONG wait = 0;
    MHD_run(server->pollers[loop].daemon);
    return MHD_get_timeout(server->pollers[loop].daemon, &wait) == MHD_YES && wait == 0;
}

static void ready(void *context, unsigned loop, int descriptors[2])
{
    const cb_server *server = context;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->pollers[loop].daemon, MHD_DAEMON_INFO_EPOLL_FD);
    descriptors[0] = info ? info->epoll_fd : -1;
    descriptors[1] = server->pollers[loop].resumed;
}

cb_acceptor_sink cb_server_sink(cb_server *server)
{
    return (cb_acceptor_sink){server, server->config.threads, take, gone, work, ready};
}

void cb_server_drain(cb_server *server) { atomic_store(&server->draining, true); }

unsigned cb_server_busy(cb_server *server) { return atomic_load(&server->busy); }

static void end_streams(cb_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->closed = true;
    pthread_mutex_unlock(&server->lock);
    cb_streams_cut(server, 0);
    pthread_mutex_lock(&server->lock);
    while (server->stream_count > 0)
        pthread_cond_wait(&server->stream_ended, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

void cb_server_close(cb_server **out)
{
    cb_server *server = *out;
    if (!server)
        return;
    cb_server_drain(server);
    end_streams(server);
    /* Once no handler runs, no connection is suspended, as libmicrohttpd demands of whoever ends
     * it. */
    for (size_t i = 0; i < CREWS; i++)
        if (server->crews[i])
            cb_workers_stop(server->crews[i]);
    for (unsigned i = 0; i < CB_LOOPS_MAX; i++)
        close_poller(&server->pollers[i]);
    for (size_t i = 0; i < CREWS; i++)
        cb_workers_close(&server->crews[i]);
    pthread_cond_destroy(&server->stream_ended);
    pthread_mutex_destroy(&server->lock);
    free(server->series);
    free(server);
    *out = NULL;
}
