/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What was read from a client's socket ahead of what TLS asked for. The library asks for the five
 * bytes of a record's header and then for the rest; one call of the system brings both, and says by
 * a short count that there is nothing more. Nothing is deciphered here.
 *
 * The library reads until it has something for us, and there are records that never are (new keys,
 * empty ones): so after some calls the socket is taken to have no more, and others have their turn
 * before it says again that it has.
 */
#ifndef CB_BROKER_HTTP_READ_AHEAD_H
#define CB_BROKER_HTTP_READ_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CB_AHEAD = 1024,
    CB_AHEAD_CALLS = 16 /* as many as eight whole records take */
};

struct WOLFSSL;

typedef struct cb_ahead {
    int socket;
    size_t at, len;
    bool dry;       /* the socket had no more: it is not asked until it says that there is */
    unsigned calls; /* since it said so */
    uint8_t bytes[CB_AHEAD];
} cb_ahead;

/* The session reads from the socket through it, as long as it lives. */
void cb_ahead_attach(cb_ahead *ahead, int socket, struct WOLFSSL *session);

/* At most size bytes, or what the session's own reader would say instead: WOLFSSL_CBIO_ERR_... */
int cb_ahead_read(cb_ahead *ahead, void *out, size_t size);

/* The socket is readable. */
static inline void cb_ahead_again(cb_ahead *ahead)
{
    ahead->dry = false;
    ahead->calls = 0;
}

/* Whether there are bytes that the socket does not tell of any more. */
static inline bool cb_ahead_left(const cb_ahead *ahead) { return ahead->at < ahead->len; }

#endif
