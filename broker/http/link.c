/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include "base/clock.h"
#include "base/secret.h"
#include "broker/http/hello.h"
#include "broker/http/tls.h"

enum { PIECES_A_STEP = 8, STOP_IDLE = 1000000, CLOSING_BYTES = 1024 * 1024 };

static bool would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK; }

/* Waits without spinning for a ClientHello that came in part: the socket becomes readable only when
 * there is more. */
static void wait_for_more_than(cb_link *link, int bytes)
{
    int low = bytes + 1;
    setsockopt(link->socket, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

static void step_hello(cb_link *link, uint8_t *scratch)
{
    char name[CB_SERVER_NAME];
    ssize_t got = recv(link->socket, scratch, CB_LINK_PIECE, MSG_PEEK);
    if (got < 0 && (would_block() || errno == EINTR))
        return;
    if (got <= 0) {
        link->state = CB_LINK_DEAD;
        return;
    }
    cb_hello hello = cb_hello_name(cb_bytes_make(scratch, (size_t)got), name);
    if (hello == CB_HELLO_INCOMPLETE && got < CB_LINK_PIECE) {
        wait_for_more_than(link, (int)got);
        return;
    }
    wait_for_more_than(link, 0);
    link->session = cb_tls_session(link->tls, link->socket, name);
    link->state = link->session ? CB_LINK_HANDSHAKE : CB_LINK_DEAD;
}

static void step_handshake(cb_link *link)
{
    int result = wolfSSL_accept(link->session);
    if (result == WOLFSSL_SUCCESS) {
        link->peer.has_key = cb_tls_peer_key(link->session, &link->peer.key);
        link->active = cb_clock_monotonic_us();
        link->wants_write = false;
        link->state = CB_LINK_OPEN;
        return;
    }
    int error = wolfSSL_get_error(link->session, result);
    link->wants_write = error == WOLFSSL_ERROR_WANT_WRITE;
    if (error != WOLFSSL_ERROR_WANT_READ && error != WOLFSSL_ERROR_WANT_WRITE)
        link->state = CB_LINK_DEAD;
}

/* Keeps what the receiver had no room for. */
static void keep(cb_link *link, cb_link_way *way, const uint8_t *from, size_t len)
{
    way->piece = malloc(len);
    if (!way->piece) {
        link->state = CB_LINK_DEAD;
        return;
    }
    memcpy(way->piece, from, len);
    way->at = 0;
    way->len = len;
}

static void drop(cb_link_way *way)
{
    if (way->piece)
        cb_wipe(way->piece, way->len);
    free(way->piece);
    way->piece = NULL;
    way->at = way->len = 0;
}

/* Bytes taken by the HTTP server; 0: no room. */
static size_t write_inner(cb_link *link, const uint8_t *data, size_t len)
{
    ssize_t done = send(link->inner, data, len, MSG_NOSIGNAL);
    if (done >= 0)
        return (size_t)done;
    if (!would_block() && errno != EINTR)
        link->up.ended = true; /* the server has closed: what the client still sends is nobody's */
    return would_block() || errno == EINTR ? 0 : len;
}

/* All or nothing, as the TLS library has it: a refused piece is offered again unchanged. */
static size_t write_session(cb_link *link, const uint8_t *data, size_t len)
{
    int done = wolfSSL_write(link->session, data, (int)len);
    if (done > 0) {
        link->turn_bytes = 0;
        link->active = cb_clock_monotonic_us();
        return (size_t)done;
    }
    int error = wolfSSL_get_error(link->session, done);
    if (error != WOLFSSL_ERROR_WANT_WRITE && error != WOLFSSL_ERROR_WANT_READ)
        link->state = CB_LINK_DEAD;
    return 0;
}

typedef size_t (*writer)(cb_link *link, const uint8_t *data, size_t len);

/* Whether nothing waits any more. */
static bool flush(cb_link *link, cb_link_way *way, writer write)
{
    while (way->piece && link->state == CB_LINK_OPEN) {
        size_t done = write(link, way->piece + way->at, way->len - way->at);
        if (done == 0)
            return false;
        way->at += done;
        if (way->at == way->len)
            drop(way);
    }
    return !way->piece;
}

static void pass(cb_link *link, cb_link_way *way, writer write, const uint8_t *data, size_t len)
{
    while (len > 0 && link->state == CB_LINK_OPEN) {
        size_t done = write(link, data, len);
        if (done == 0) {
            keep(link, way, data, len);
            return;
        }
        data += done;
        len -= done;
    }
}

static void count_turn(cb_link *link, size_t bytes)
{
    link->active = cb_clock_monotonic_us();
    if (link->turn_bytes == 0)
        link->turn_began = link->active;
    link->turn_bytes += bytes;
}

/* Bytes from the client; 0: none now, or its end. */
static size_t read_session(cb_link *link, uint8_t *scratch)
{
    int got = wolfSSL_read(link->session, scratch, CB_LINK_PIECE);
    if (got > 0) {
        count_turn(link, (size_t)got);
        return (size_t)got;
    }
    int error = wolfSSL_get_error(link->session, got);
    if (error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE)
        return 0;
    link->up.ended = true;
    if (error != WOLFSSL_ERROR_ZERO_RETURN && error != SOCKET_PEER_CLOSED_E &&
        error != WOLFSSL_ERROR_SYSCALL)
        link->state = CB_LINK_DEAD; /* a forged record or a broken connection, not an end */
    return 0;
}

static void step_up(cb_link *link, uint8_t *scratch)
{
    for (int i = 0; link->state == CB_LINK_OPEN; i++) {
        if (!flush(link, &link->up, write_inner))
            return;
        if (link->up.ended || i == PIECES_A_STEP)
            break;
        size_t got = read_session(link, scratch);
        if (got == 0 && !link->up.ended)
            return;
        pass(link, &link->up, write_inner, scratch, got);
    }
    link->again |= !link->up.ended;
    if (link->up.ended && !link->up.shut && !link->up.piece) {
        shutdown(link->inner, SHUT_WR);
        link->up.shut = true;
    }
}

static size_t read_inner(cb_link *link, uint8_t *scratch)
{
    ssize_t got = recv(link->inner, scratch, CB_LINK_PIECE, 0);
    if (got > 0)
        return (size_t)got;
    if (got == 0 || (!would_block() && errno != EINTR))
        link->down.ended = true;
    return 0;
}

/* The HTTP server has closed and everything is sent: says so, and waits for the client's own end so
 * that the kernel does not take the last bytes back by a reset. */
static void begin_closing(cb_link *link)
{
    wolfSSL_shutdown(link->session);
    shutdown(link->socket, SHUT_WR);
    link->began = cb_clock_monotonic_us();
    link->turn_bytes = 0;
    link->state = CB_LINK_CLOSING;
}

static void step_down(cb_link *link, uint8_t *scratch)
{
    for (int i = 0; link->state == CB_LINK_OPEN; i++) {
        if (!flush(link, &link->down, write_session))
            return;
        if (link->down.ended) {
            begin_closing(link);
            return;
        }
        if (i == PIECES_A_STEP) {
            link->again = true;
            return;
        }
        size_t got = read_inner(link, scratch);
        if (got == 0 && !link->down.ended)
            return;
        pass(link, &link->down, write_session, scratch, got);
    }
}

static void step_closing(cb_link *link, uint8_t *scratch)
{
    for (int i = 0; i < PIECES_A_STEP; i++) {
        ssize_t got = recv(link->socket, scratch, CB_LINK_PIECE, 0);
        if (got == 0 || (got < 0 && !would_block() && errno != EINTR))
            link->state = CB_LINK_DEAD;
        if (got <= 0)
            return;
        link->turn_bytes += (uint64_t)got;
        if (link->turn_bytes > CLOSING_BYTES)
            link->state = CB_LINK_DEAD; /* it does not listen: it only sends */
    }
}

void cb_link_step(cb_link *link, uint8_t *scratch)
{
    link->again = false;
    if (link->state == CB_LINK_HELLO)
        step_hello(link, scratch);
    if (link->state == CB_LINK_HANDSHAKE)
        step_handshake(link);
    if (link->state == CB_LINK_OPEN && link->handed) {
        step_up(link, scratch);
        step_down(link, scratch);
    }
    if (link->state == CB_LINK_CLOSING)
        step_closing(link, scratch);
}

uint32_t cb_link_socket_events(const cb_link *link)
{
    if (link->state == CB_LINK_OPEN)
        return (!link->up.ended && !link->up.piece ? EPOLLIN : 0u) |
               (link->down.piece ? EPOLLOUT : 0u);
    return EPOLLIN | (link->wants_write ? EPOLLOUT : 0u);
}

uint32_t cb_link_inner_events(const cb_link *link)
{
    if (link->state != CB_LINK_OPEN)
        return 0;
    return (!link->down.ended && !link->down.piece ? EPOLLIN : 0u) |
           (link->up.piece ? EPOLLOUT : 0u);
}

void cb_link_check_time(cb_link *link, const cb_limits *limits, bool stopping, int64_t now)
{
    bool over = false;
    switch (link->state) {
    case CB_LINK_HELLO:
    case CB_LINK_HANDSHAKE:
        over = now - link->began > limits->handshake_time;
        break;
    case CB_LINK_OPEN:
        over = now - link->active > limits->idle_time ||
               /* Nothing more comes from a client that has ended its side, not even the rest of a request. */
               (link->up.shut && now - link->active > limits->request_grace) ||
               (link->turn_bytes > 0 && !link->up.ended &&
                cb_limits_too_slow(limits, link->turn_began, link->turn_bytes, link->active)) ||
               (stopping && link->turn_bytes == 0 && now - link->active > STOP_IDLE);
        break;
    case CB_LINK_CLOSING:
        over = now - link->began > limits->close_time;
        break;
    case CB_LINK_DEAD:
        break;
    }
    if (over)
        link->state = CB_LINK_DEAD;
}

void cb_link_release(cb_link *link)
{
    drop(&link->up);
    drop(&link->down);
    if (link->session)
        wolfSSL_free(link->session);
    if (link->inner >= 0)
        close(link->inner);
    if (link->socket >= 0)
        close(link->socket);
    link->session = NULL;
    link->inner = link->socket = -1;
}
