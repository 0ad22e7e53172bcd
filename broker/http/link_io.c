/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/link_io.h"

#include <errno.h>
#include <sys/socket.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include "base/clock.h"

bool cb_link_later(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

static void count_in(cb_link *link, size_t bytes)
{
    link->active = cb_clock_monotonic_us();
    if (link->turn_bytes == 0)
        link->turn_began = link->active;
    link->turn_bytes += bytes;
}

static void count_out(cb_link *link)
{
    link->turn_bytes = 0;
    link->active = cb_clock_monotonic_us();
}

static size_t read_tls(cb_link *link, uint8_t *out)
{
    int got = wolfSSL_read(link->session, out, CB_LINK_PIECE);
    if (got > 0)
        return (size_t)got;
    int error = wolfSSL_get_error(link->session, got);
    if (error == WOLFSSL_ERROR_WANT_READ)
        return 0;
    link->up.ended = true;
    /* A forged record or a broken connection is not an end. Nor can it go on where a change of keys
     * has an answer for which there is no room: the library takes that for a part of what we write
     * next, and leaves out as much of it. */
    if (error != WOLFSSL_ERROR_ZERO_RETURN && error != SOCKET_PEER_CLOSED_E &&
        error != WOLFSSL_ERROR_SYSCALL)
        link->state = CB_LINK_DEAD;
    return 0;
}

static size_t read_plain(cb_link *link, uint8_t *out)
{
    ssize_t got = recv(link->socket, out, CB_LINK_PIECE, 0);
    if (got > 0)
        return (size_t)got;
    if (got == 0 || !cb_link_later())
        link->up.ended = true;
    return 0;
}

size_t cb_link_read_client(cb_link *link, uint8_t *out)
{
    size_t got = link->session ? read_tls(link, out) : read_plain(link, out);
    if (got > 0)
        count_in(link, got);
    return got;
}

bool cb_link_has_more(const cb_link *link, size_t got)
{
    return got == CB_LINK_PIECE || cb_ahead_left(&link->ahead) ||
           (link->session && wolfSSL_has_pending(link->session));
}

static size_t write_tls(cb_link *link, const uint8_t *data, size_t len)
{
    int done = wolfSSL_write(link->session, data, (int)len);
    if (done > 0)
        return (size_t)done;
    int error = wolfSSL_get_error(link->session, done);
    if (error != WOLFSSL_ERROR_WANT_WRITE && error != WOLFSSL_ERROR_WANT_READ)
        link->state = CB_LINK_DEAD;
    return 0;
}

static size_t write_plain(cb_link *link, const uint8_t *data, size_t len)
{
    ssize_t done = send(link->socket, data, len, MSG_NOSIGNAL);
    if (done >= 0)
        return (size_t)done;
    if (!cb_link_later())
        link->state = CB_LINK_DEAD;
    return 0;
}

size_t cb_link_write_client(cb_link *link, const uint8_t *data, size_t len)
{
    size_t done = link->session ? write_tls(link, data, len) : write_plain(link, data, len);
    if (done > 0)
        count_out(link);
    return done;
}

size_t cb_link_read_server(cb_link *link, uint8_t *out, size_t *answers)
{
    ssize_t got = cb_turn_read(link->turn, out, CB_LINK_PIECE, answers);
    if (got > 0)
        return (size_t)got;
    if (got == 0 || !cb_link_later())
        link->down.ended = true;
    return 0;
}

size_t cb_link_write_server(cb_link *link, const uint8_t *data, size_t len)
{
    ssize_t done = send(link->inner, data, len, MSG_NOSIGNAL);
    if (done >= 0) {
        link->gave = true;
        return (size_t)done;
    }
    if (cb_link_later())
        return 0;
    link->up.ended = true; /* the server has closed: what the client still sends is nobody's */
    return len;
}
