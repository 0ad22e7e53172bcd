/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/acceptor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "broker/http/acceptor_loop.h"

enum { BACKLOG = 1024 };

cb_limits cb_acceptor_limits(cb_acceptor *acceptor)
{
    pthread_mutex_lock(&acceptor->limits_lock);
    cb_limits limits = acceptor->limits;
    pthread_mutex_unlock(&acceptor->limits_lock);
    return limits;
}

void cb_acceptor_set_limits(cb_acceptor *acceptor, const cb_limits *limits)
{
    pthread_mutex_lock(&acceptor->limits_lock);
    acceptor->limits = *limits;
    pthread_mutex_unlock(&acceptor->limits_lock);
}

static cb_error make_loops(cb_acceptor *acceptor, unsigned count)
{
    acceptor->loops = calloc(count, sizeof(cb_loop *));
    if (!acceptor->loops)
        return CB_E_MEMORY;
    for (; acceptor->loop_count < count; acceptor->loop_count++) {
        cb_loop *loop = calloc(1, sizeof *loop);
        if (!loop)
            return CB_E_MEMORY;
        loop->acceptor = acceptor;
        loop->number = acceptor->loop_count;
        pthread_mutex_init(&loop->lock, NULL);
        loop->epoll = loop->wake = -1;
        acceptor->loops[acceptor->loop_count] = loop;
    }
    return CB_OK;
}

cb_error cb_acceptor_open(const cb_limits *limits, cb_acceptor **out)
{
    cb_acceptor *acceptor = calloc(1, sizeof *acceptor);
    *out = NULL;
    if (!acceptor)
        return CB_E_MEMORY;
    acceptor->limits = *limits;
    pthread_mutex_init(&acceptor->limits_lock, NULL);
    cb_error error = cb_addresses_open(&acceptor->addresses);
    if (!error)
        error = cb_addresses_open(&acceptor->shaking);
    if (error)
        cb_acceptor_close(&acceptor);
    *out = acceptor;
    return error;
}

static cb_listener *new_listener(cb_acceptor *acceptor, cb_buf *why)
{
    if (acceptor->listener_count == CB_LISTENERS_MAX) {
        cb_buf_printf(why, "at most %d listeners are possible", CB_LISTENERS_MAX);
        return NULL;
    }
    cb_listener *listener = &acceptor->listeners[acceptor->listener_count];
    *listener = (cb_listener){.socket = -1, .held = -1};
    return listener;
}

static int bind_network(const struct addrinfo *at)
{
    int on = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* and so for each connection */
    if (at->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static cb_error open_network(const char *address, uint16_t port, int *out, cb_buf *why)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *at = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(address, service, &hints, &at) != 0) {
        cb_buf_printf(why, "%s: is not a numeric address", address);
        return CB_E_CONFIG;
    }
    *out = bind_network(at);
    if (*out < 0)
        cb_buf_printf(why, "%s port %u: cannot listen: %s", address, port, strerror(errno));
    freeaddrinfo(at);
    return *out < 0 ? CB_E_CONFIG : CB_OK;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof at;
    getsockname(fd, (struct sockaddr *)(void *)&at, &length);
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&at)->sin6_port
                                          : ((struct sockaddr_in *)(void *)&at)->sin_port);
}

cb_error cb_acceptor_listen(cb_acceptor *acceptor, const char *address, uint16_t port,
                            const cb_tls_entry *entries, size_t count, uint16_t *bound, cb_buf *why)
{
    cb_listener *listener = new_listener(acceptor, why);
    if (!listener)
        return CB_E_CONFIG;
    cb_error error = cb_tls_open(entries, count, &listener->tls, why);
    if (!error)
        error = open_network(address, port, &listener->socket, why);
    if (error) {
        cb_tls_close(&listener->tls);
        return error;
    }
    if (bound)
        *bound = port_of(listener->socket);
    acceptor->listener_count++;
    return CB_OK;
}

/* Whether a socket file is left over from a program that is gone. */
static bool nobody_listens(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool nobody = fd >= 0 &&
                  connect(fd, (const struct sockaddr *)(const void *)at, sizeof *at) != 0 &&
                  errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return nobody;
}

static int bind_local(const struct sockaddr_un *at, unsigned mode)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (nobody_listens(at))
        unlink(at->sun_path);
    mode_t mask = umask(0177 & ~(mode_t)mode);
    bool bound = bind(fd, (const struct sockaddr *)(const void *)at, sizeof *at) == 0;
    umask(mask);
    if (bound && chmod(at->sun_path, (mode_t)mode) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static cb_error open_local(cb_listener *listener, const struct sockaddr_un *at, unsigned mode,
                           cb_buf *why)
{
    const char *path = at->sun_path;
    cb_error error = cb_msg_hold(path, cb_deadline_in(CB_MSG_HOLD_TIME), &listener->held);
    if (error == CB_E_IO)
        cb_buf_printf(why, "%s-lock: cannot be locked: %s", path, strerror(errno));
    if (!error) {
        listener->socket = bind_local(at, mode);
        if (listener->socket >= 0)
            return CB_OK;
        error = errno == EADDRINUSE ? CB_E_RUNNING : CB_E_CONFIG;
        if (error == CB_E_CONFIG)
            cb_buf_printf(why, "%s: cannot listen: %s", path, strerror(errno));
        close(listener->held);
    }
    if (error == CB_E_RUNNING)
        cb_buf_printf(why, "%s: another program serves it", path);
    return error == CB_E_RUNNING ? error : CB_E_CONFIG;
}

cb_error cb_acceptor_listen_local(cb_acceptor *acceptor, const char *path, unsigned mode,
                                  const uint32_t *users, size_t count, cb_buf *why)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    cb_listener *listener = new_listener(acceptor, why);
    if (!listener)
        return CB_E_CONFIG;
    if (strlen(path) >= sizeof at.sun_path || count > CB_LOCAL_USERS_MAX) {
        cb_buf_printf(why, "%s: is too long for a socket, or more than %d users are named", path,
                      CB_LOCAL_USERS_MAX);
        return CB_E_CONFIG;
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    if (count > 0)
        memcpy(listener->users, users, count * sizeof *users);
    listener->user_count = count;
    cb_error error = open_local(listener, &at, mode, why);
    if (!error)
        acceptor->listener_count++;
    return error;
}

cb_error cb_acceptor_start(cb_acceptor *acceptor, cb_acceptor_sink sink)
{
    acceptor->sink = sink;
    cb_error error = make_loops(acceptor, sink.loops);
    atomic_store(&acceptor->undrained, acceptor->loop_count);
    for (unsigned i = 0; i < acceptor->loop_count && !error; i++)
        error = cb_loop_prepare(acceptor->loops[i]);
    for (unsigned i = 0; i < acceptor->loop_count && !error; i++) {
        cb_loop *loop = acceptor->loops[i];
        if (pthread_create(&loop->thread, NULL, cb_loop_run, loop) != 0)
            error = CB_E_MEMORY;
        loop->started = !error;
    }
    return error;
}

cb_error cb_acceptor_prepare(cb_acceptor *acceptor, size_t index, const cb_tls_entry *entries,
                             size_t count, cb_buf *why)
{
    if (index >= acceptor->listener_count || !acceptor->listeners[index].tls)
        return CB_E_ARGUMENT;
    return cb_tls_prepare(acceptor->listeners[index].tls, entries, count, why);
}

void cb_acceptor_settle(cb_acceptor *acceptor, bool use)
{
    for (size_t i = 0; i < acceptor->listener_count; i++)
        if (acceptor->listeners[i].tls)
            cb_tls_settle(acceptor->listeners[i].tls, use);
}

void cb_acceptor_status(cb_acceptor *acceptor, cb_acceptor_state *out)
{
    out->connections = atomic_load(&acceptor->connections);
    out->handshakes = atomic_load(&acceptor->handshakes);
    out->accepted = atomic_load(&acceptor->accepted);
    out->refused = atomic_load(&acceptor->refused);
    out->handshakes_done = atomic_load(&acceptor->handshakes_done);
    out->handshakes_failed = atomic_load(&acceptor->handshakes_failed);
}

static void wake_all(cb_acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->loop_count; i++)
        if (acceptor->loops[i]->started)
            eventfd_write(acceptor->loops[i]->wake, 1);
}

static void close_listeners(cb_acceptor *acceptor)
{
    for (size_t i = 0; i < acceptor->listener_count; i++) {
        if (acceptor->listeners[i].socket >= 0)
            close(acceptor->listeners[i].socket);
        if (acceptor->listeners[i].held >= 0)
            close(acceptor->listeners[i].held);
        acceptor->listeners[i].socket = acceptor->listeners[i].held = -1;
    }
}

void cb_acceptor_drain(cb_acceptor *acceptor)
{
    if (atomic_exchange(&acceptor->draining, true))
        return;
    wake_all(acceptor);
    int64_t deadline = cb_deadline_in(CB_SECOND);
    while (atomic_load(&acceptor->undrained) > 0 && cb_deadline_left_ms(deadline) > 0)
        usleep(1000);
    if (atomic_load(&acceptor->undrained) == 0)
        close_listeners(acceptor);
}

void cb_acceptor_close(cb_acceptor **out)
{
    cb_acceptor *acceptor = *out;
    if (!acceptor)
        return;
    atomic_store(&acceptor->ending, true);
    wake_all(acceptor);
    for (unsigned i = 0; i < acceptor->loop_count; i++)
        if (acceptor->loops[i]->started)
            pthread_join(acceptor->loops[i]->thread, NULL);
    for (unsigned i = 0; i < acceptor->loop_count; i++)
        cb_loop_close(acceptor->loops[i]);
    close_listeners(acceptor);
    for (size_t i = 0; i < acceptor->listener_count; i++)
        cb_tls_close(&acceptor->listeners[i].tls);
    cb_addresses_close(&acceptor->addresses);
    cb_addresses_close(&acceptor->shaking);
    pthread_mutex_destroy(&acceptor->limits_lock);
    free(acceptor->loops);
    free(acceptor);
    *out = NULL;
}
