/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wolfssl/ssl.h>

#include "base/clock.h"
#include "base/secret.h"
#include "broker/http/hello.h"
#include "broker/http/link_io.h"
#include "broker/http/rejection.h"

enum {
    PIECES_A_STEP = 8,
    STOP_IDLE = 1000000,
    LOCAL_IDLE = 300000000,
    CLOSING_BYTES = 1024 * 1024
};

/* Waits without spinning for a ClientHello that came in part: the socket becomes readable only when
 * there is more. */
static void wait_for_more_than(cb_link *link, int bytes)
{
    int low = bytes + 1;
    if (low == link->low_mark)
        return;
    link->low_mark = low;
    setsockopt(link->socket, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

/* The end of what the client says makes the socket readable, however little there is; and so does
 * urgent data, which TLS has not, and behind which nothing can be looked at. */
static bool nothing_follows(const cb_link *link)
{
    struct pollfd end = {.fd = link->socket, .events = POLLRDHUP | POLLPRI};
    return poll(&end, 1, 0) != 0;
}

static void step_hello(cb_link *link, uint8_t *scratch)
{
    char name[CB_SERVER_NAME];
    ssize_t got = recv(link->socket, scratch, CB_LINK_PIECE, MSG_PEEK);
    if (got < 0 && cb_link_later())
        return;
    if (got <= 0) {
        link->state = CB_LINK_DEAD;
        return;
    }
    cb_hello hello = cb_hello_name(cb_bytes_make(scratch, (size_t)got), name);
    if (hello == CB_HELLO_INCOMPLETE && got < CB_LINK_PIECE) {
        if (nothing_follows(link))
            link->state = CB_LINK_DEAD;
        else
            wait_for_more_than(link, (int)got);
        return;
    }
    wait_for_more_than(link, 0);
    link->session = cb_tls_session(link->tls, link->socket, name, &link->shown);
    link->state = link->session ? CB_LINK_HANDSHAKE : CB_LINK_DEAD;
    if (link->session)
        cb_ahead_attach(&link->ahead, link->socket, link->session);
}

static void step_handshake(cb_link *link)
{
    int result = wolfSSL_accept(link->session);
    if (result == WOLFSSL_SUCCESS) {
        link->active = cb_clock_monotonic_us();
        link->wants_write = false;
        link->peer.has_key = link->shown.certificate;
        link->peer.key = link->shown.key;
        /* Who has shown a key that cannot be read now must not be told that it has none. */
        link->state = link->shown.error ? CB_LINK_DEAD : CB_LINK_OPEN;
        return;
    }
    int error = wolfSSL_get_error(link->session, result);
    link->wants_write = error == WOLFSSL_ERROR_WANT_WRITE;
    if (error != WOLFSSL_ERROR_WANT_READ && error != WOLFSSL_ERROR_WANT_WRITE)
        link->state = CB_LINK_DEAD;
}

/* Keeps what the receiver had no room for, after what it has no room for already. */
static void keep(cb_link *link, cb_link_way *way, const uint8_t *from, size_t len)
{
    uint8_t *piece = realloc(way->piece, way->len + len);
    if (!piece) {
        link->state = CB_LINK_DEAD;
        return;
    }
    memcpy(piece + way->len, from, len);
    way->piece = piece;
    way->len += len;
}

static void drop(cb_link_way *way)
{
    if (way->piece)
        cb_wipe(way->piece, way->len);
    free(way->piece);
    way->piece = NULL;
    way->at = way->len = 0;
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
        size_t done = way->piece ? 0 : write(link, data, len);
        if (done == 0) {
            keep(link, way, data, len);
            return;
        }
        data += done;
        len -= done;
    }
}

static void step_up(cb_link *link, uint8_t *scratch)
{
    for (int i = 0; link->state == CB_LINK_OPEN; i++) {
        if (!flush(link, &link->up, cb_link_write_server) || cb_link_puts_off(link))
            return;
        if (link->up.ended || i == PIECES_A_STEP)
            break;
        size_t got = cb_link_read_client(link, scratch);
        if (got == 0 && !link->up.ended)
            return;
        pass(link, &link->up, cb_link_write_server, scratch, got);
        if (!link->up.piece && !link->up.ended && !cb_link_has_more(link, got))
            return; /* the socket says so when there is */
    }
    link->again |= !link->up.ended;
    if (link->up.ended && !link->up.shut && !link->up.piece) {
        shutdown(link->inner, SHUT_WR);
        link->up.shut = link->gave = true;
    }
}

/* The HTTP server has closed and everything is sent: says so, and waits for the client's own end so
 * that the kernel does not take the last bytes back by a reset. */
static void begin_closing(cb_link *link)
{
    if (link->session) {
        wolfSSL_SetIOWriteFlags(link->session, MSG_MORE); /* goes with the connection's end */
        wolfSSL_shutdown(link->session);
    }
    shutdown(link->socket, SHUT_WR);
    link->began = cb_clock_monotonic_us();
    link->turn_bytes = 0;
    link->state = CB_LINK_CLOSING;
}

/* What the server did not answer is refused in the words of all refusals, and nothing more is
 * heard. */
static void refuse(cb_link *link, unsigned status)
{
    cb_buf answer;
    cb_buf_init(&answer, CB_REJECTION_MAX);
    if (cb_rejection_write(status, &link->peer, &answer) == CB_OK)
        pass(link, &link->down, cb_link_write_client, answer.data, answer.len);
    cb_buf_free(&answer);
    link->down.ended = true;
}

/* libmicrohttpd closes without a word when it finds nothing that it could answer. */
static bool owes_an_answer(const cb_link *link)
{
    return link->foreign_len == 0 && !link->up.ended && cb_turn_owes(link->turn);
}

/* Bytes that are of no answer of the server's: see rejection.h. They may come in pieces. */
static void judge_rest(cb_link *link, const uint8_t *data, size_t len)
{
    while (len > 0 && !link->down.ended && link->state == CB_LINK_OPEN) {
        unsigned status;
        uint64_t turn_bytes = link->turn_bytes;
        link->foreign[link->foreign_len++] = *data++;
        len--;
        switch (cb_rejection_look(cb_bytes_make(link->foreign, link->foreign_len), &status)) {
        case CB_REJECTION_INCOMPLETE:
            break;
        case CB_REJECTION_INTERIM:
            pass(link, &link->down, cb_link_write_client, link->foreign, link->foreign_len);
            link->foreign_len = 0;
            link->turn_bytes = turn_bytes; /* the client's turn goes on */
            break;
        case CB_REJECTION_FINAL:
            refuse(link, status);
            break;
        }
    }
}

static void step_down(cb_link *link, uint8_t *scratch)
{
    for (int i = 0; link->state == CB_LINK_OPEN; i++) {
        bool put_off = cb_link_puts_off(link);
        if (!flush(link, &link->down, cb_link_write_client))
            return;
        link->again |= put_off;
        if (link->down.ended) {
            begin_closing(link);
            return;
        }
        if (i == PIECES_A_STEP) {
            link->again = true;
            return;
        }
        size_t answers;
        size_t got = cb_link_read_server(link, scratch, &answers);
        if (got == 0 && !link->down.ended)
            return;
        if (got == 0 && owes_an_answer(link))
            refuse(link, link->stopping || cb_turn_starved(link->turn) ? 503 : 400);
        pass(link, &link->down, cb_link_write_client, scratch, answers);
        if (got > answers)
            judge_rest(link, scratch + answers, got - answers);
        if (got < CB_LINK_PIECE && !link->down.piece && !link->down.ended && !link->inner_closed)
            return; /* the socket says so when there is more, unless nobody asks it any more */
    }
}

static void step_closing(cb_link *link, uint8_t *scratch)
{
    for (int i = 0; i < PIECES_A_STEP; i++) {
        ssize_t got = recv(link->socket, scratch, CB_LINK_PIECE, 0);
        if (got == 0 || (got < 0 && !cb_link_later()))
            link->state = CB_LINK_DEAD;
        if (got <= 0)
            return;
        link->turn_bytes += (uint64_t)got;
        if (link->turn_bytes > CLOSING_BYTES)
            link->state = CB_LINK_DEAD; /* it does not listen: it only sends */
    }
}

void cb_link_step(cb_link *link, unsigned ways, uint8_t *scratch)
{
    link->again = false;
    if (link->state == CB_LINK_HELLO)
        step_hello(link, scratch);
    if (link->state == CB_LINK_HANDSHAKE)
        step_handshake(link);
    if (link->state == CB_LINK_OPEN && link->handed) {
        if (ways & CB_LINK_UP)
            step_up(link, scratch);
        if (ways & CB_LINK_DOWN)
            step_down(link, scratch);
    }
    if (link->state == CB_LINK_CLOSING)
        step_closing(link, scratch);
}

uint32_t cb_link_socket_events(const cb_link *link)
{
    if (link->state == CB_LINK_OPEN)
        return (!link->up.ended && !link->up.piece && !cb_link_puts_off(link) ? EPOLLIN : 0u) |
               (link->down.piece ? EPOLLOUT : 0u);
    return EPOLLIN | (link->wants_write ? EPOLLOUT : 0u);
}

bool cb_link_expects(const cb_link *link)
{
    return link->turn_bytes > 0 || link->up.ended || link->up.piece || link->down.piece ||
           cb_turn_expected(link->turn);
}

uint32_t cb_link_inner_events(const cb_link *link)
{
    if (link->state != CB_LINK_OPEN)
        return 0;
    return (!link->down.ended && !link->down.piece ? EPOLLIN : 0u) |
           (link->up.piece ? EPOLLOUT : 0u);
}

/* Until its request is complete the client is judged by the clock. Afterwards it waits for us: what
 * counts is how fast it was. */
static bool request_too_slow(const cb_link *link, const cb_limits *limits, int64_t now)
{
    if (link->turn_bytes == 0 || link->up.ended)
        return false;
    bool ours = link->up.piece || cb_link_puts_off(link) || cb_turn_serving(link->turn);
    int64_t until = ours ? link->active : now;
    return cb_limits_too_slow(limits, link->turn_began, link->turn_bytes, until);
}

/* Nothing more comes from a client that has ended its side, not even the rest of a request. */
static bool left_within_request(const cb_link *link, const cb_limits *limits, int64_t now)
{
    return link->up.shut && now - link->active > limits->request_grace &&
           !cb_turn_serving(link->turn);
}

static bool open_too_long(const cb_link *link, const cb_limits *limits, int64_t now)
{
    if (left_within_request(link, limits, now))
        return true;
    if (link->peer.kind == CB_PEER_LOCAL)
        return now - link->active > LOCAL_IDLE && !cb_turn_serving(link->turn);
    return now - link->active > limits->idle_time || request_too_slow(link, limits, now);
}

void cb_link_check_time(cb_link *link, const cb_limits *limits, bool stopping, int64_t now)
{
    bool over = false;
    link->stopping = stopping;
    switch (link->state) {
    case CB_LINK_HELLO:
    case CB_LINK_HANDSHAKE:
        over = now - link->began > limits->handshake_time;
        break;
    case CB_LINK_OPEN:
        over = (stopping && !cb_link_expects(link) && now - link->active > STOP_IDLE) ||
               open_too_long(link, limits, now);
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
    if (link->turn)
        cb_turn_close(link->turn);
    cb_turn_release(&link->turn);
    if (link->inner >= 0)
        close(link->inner);
    if (link->socket >= 0)
        close(link->socket);
    link->session = NULL;
    link->inner = link->socket = -1;
}
