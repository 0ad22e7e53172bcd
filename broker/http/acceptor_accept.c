/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/acceptor_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/msg.h"

enum { BATCH = 32 };
#define SAY_AGAIN (10 * CB_SECOND)

static bool user_allowed(const cb_listener *listener, uint32_t uid)
{
    bool allowed = uid == 0 || uid == (uint32_t)geteuid();
    for (size_t i = 0; i < listener->user_count && !allowed; i++)
        allowed = listener->users[i] == uid;
    return allowed;
}

static void name_address(const struct sockaddr_storage *from, char out[CB_PEER_ADDRESS])
{
    const void *at = &((const struct sockaddr_in *)(const void *)from)->sin_addr;
    if (from->ss_family == AF_INET6)
        at = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    if (!inet_ntop(from->ss_family, at, out, CB_PEER_ADDRESS))
        out[0] = 0;
}

/* Counts the connection in; false when one of the limits is reached. */
static bool admit(cb_acceptor *acceptor, const cb_address *address)
{
    cb_limits limits = cb_acceptor_limits(acceptor);
    if (atomic_fetch_add(&acceptor->connections, 1) >= limits.connections)
        goto full;
    if (atomic_fetch_add(&acceptor->handshakes, 1) >= limits.handshakes)
        goto busy;
    if (!cb_addresses_take(acceptor->shaking, address, cb_limits_handshakes_per_address(&limits)))
        goto busy;
    if (cb_addresses_take(acceptor->addresses, address, limits.per_address))
        return true;
    cb_addresses_put(acceptor->shaking, address);
busy:
    atomic_fetch_sub(&acceptor->handshakes, 1);
full:
    atomic_fetch_sub(&acceptor->connections, 1);
    return false;
}

static void abandon(cb_acceptor *acceptor, const cb_address *address)
{
    cb_addresses_put(acceptor->addresses, address);
    cb_addresses_put(acceptor->shaking, address);
    atomic_fetch_sub(&acceptor->handshakes, 1);
    atomic_fetch_sub(&acceptor->connections, 1);
}

/* Takes the descriptor over. NULL: no memory. */
static cb_link *new_link(cb_loop *loop, int fd)
{
    cb_link *link = calloc(1, sizeof *link);
    if (!link) {
        close(fd);
        return NULL;
    }
    link->socket = fd;
    link->inner = -1;
    link->low_mark = 1;
    link->began = link->active = cb_clock_monotonic_us();
    link->peer.connection = atomic_fetch_add(&loop->acceptor->next_connection, 1) + 1;
    return link;
}

static void take_local(cb_loop *loop, const cb_listener *listener, int fd)
{
    cb_acceptor *acceptor = loop->acceptor;
    int pid = 0;
    unsigned gid = 0;
    unsigned uid = 0;
    if (cb_msg_peer(fd, &pid, &uid, &gid) != CB_OK || !user_allowed(listener, uid)) {
        cb_log(CB_LOG_WARNING, "local.refused",
               "A user who is not an administrator tried the administration socket", NULL);
        atomic_fetch_add(&acceptor->refused, 1);
        close(fd);
        return;
    }
    cb_link *link = new_link(loop, fd);
    if (!link)
        return;
    link->state = CB_LINK_OPEN;
    link->peer.kind = CB_PEER_LOCAL;
    link->peer.uid = uid;
    snprintf(link->peer.address, sizeof link->peer.address, "local");
    cb_loop_place(loop, link);
}

static void take_network(cb_loop *loop, const cb_listener *listener, int fd,
                         const struct sockaddr_storage *from)
{
    cb_acceptor *acceptor = loop->acceptor;
    cb_address address = cb_address_of(from);
    if (!admit(acceptor, &address)) {
        atomic_fetch_add(&acceptor->refused, 1);
        close(fd);
        return;
    }
    cb_link *link = new_link(loop, fd);
    if (!link) {
        abandon(acceptor, &address);
        return;
    }
    link->tls = listener->tls;
    link->address = address;
    link->peer.kind = CB_PEER_NETWORK;
    name_address(from, link->peer.address);
    cb_loop_place(loop, link);
}

/* Without descriptors the socket stays ready: waiting a moment is better than spinning. */
static void pause_listening(cb_loop *loop, int why)
{
    int64_t now = cb_clock_monotonic_us();
    loop->paused = true;
    if (loop->starved_said && now - loop->starved_said < SAY_AGAIN)
        return;
    loop->starved_said = now;
    cb_log(
        CB_LOG_ERROR, "connections.starved",
        "No connection can be taken: raise the limit of descriptors (LimitNOFILE) or free memory",
        "reason", strerror(why), NULL);
}

bool cb_loop_accept(cb_loop *loop, cb_listener *listener)
{
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_storage from = {0};
        socklen_t length = sizeof from;
        int fd = accept4(listener->socket, (struct sockaddr *)(void *)&from, &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                pause_listening(loop, errno);
            return false;
        }
        atomic_fetch_add(&loop->acceptor->accepted, 1);
        if (listener->tls)
            take_network(loop, listener, fd, &from);
        else
            take_local(loop, listener, fd);
    }
    return true;
}
