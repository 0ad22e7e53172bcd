/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/read_ahead.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <wolfssl/ssl.h>

static int error_of(ssize_t got)
{
    if (got == 0)
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    switch (errno) {
    case EAGAIN:
    case EINTR:
        return WOLFSSL_CBIO_ERR_WANT_READ;
    case ECONNRESET:
        return WOLFSSL_CBIO_ERR_CONN_RST;
    default:
        return WOLFSSL_CBIO_ERR_GENERAL;
    }
}

static ssize_t read_socket(cb_ahead *ahead, void *out, size_t size)
{
    ssize_t got = recv(ahead->socket, out, size, 0);
    ahead->dry = got > 0 && ((size_t)got < size || ++ahead->calls >= CB_AHEAD_CALLS);
    return got;
}

static int take(cb_ahead *ahead, void *out, size_t size)
{
    size_t left = ahead->len - ahead->at;
    size_t taken = left < size ? left : size;
    memcpy(out, ahead->bytes + ahead->at, taken);
    ahead->at += taken;
    return (int)taken;
}

/* What would not fit is read to where it belongs. */
int cb_ahead_read(cb_ahead *ahead, void *out, size_t size)
{
    if (cb_ahead_left(ahead))
        return take(ahead, out, size);
    if (ahead->dry)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    if (size >= CB_AHEAD) {
        ssize_t got = read_socket(ahead, out, size);
        return got > 0 ? (int)got : error_of(got);
    }
    ssize_t got = read_socket(ahead, ahead->bytes, CB_AHEAD);
    if (got <= 0)
        return error_of(got);
    ahead->at = 0;
    ahead->len = (size_t)got;
    return take(ahead, out, size);
}

static int receive(WOLFSSL *session, char *out, int size, void *context)
{
    (void)session;
    return cb_ahead_read(context, out, (size_t)size);
}

void cb_ahead_attach(cb_ahead *ahead, int socket, WOLFSSL *session)
{
    ahead->socket = socket;
    wolfSSL_SSLSetIORecv(session, receive);
    wolfSSL_SetIOReadCtx(session, ahead);
}
