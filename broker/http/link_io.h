/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Single reads and writes of a link, over TLS or plainly; for link.c only. They never wait; a
 * failure shows in the link's state or in the way's end.
 */
#ifndef CB_BROKER_HTTP_LINK_IO_H
#define CB_BROKER_HTTP_LINK_IO_H

#include "broker/http/link.h"

/* Of the last call of the system: not now, but later. */
bool cb_link_later(void);

/* Bytes from the client, at most CB_LINK_PIECE; 0: none now, or its end (up.ended). */
size_t cb_link_read_client(cb_link *link, uint8_t *out);

/* Whether nothing may be read from the client before the piece for it is gone: TLS would put its
 * answer to a change of keys into the middle of that. */
static inline bool cb_link_puts_off(const cb_link *link)
{
    return link->session && link->down.piece;
}

/* After so many were read: whether there may be more that the socket does not tell of. */
bool cb_link_has_more(const cb_link *link, size_t got);

/* Bytes taken; 0: no room. Over TLS all or nothing, as the library has it: a refused piece is
 * offered again unchanged. */
size_t cb_link_write_client(cb_link *link, const uint8_t *data, size_t len);

/* Bytes from the HTTP server, at most CB_LINK_PIECE, and how many of them, from the first, are of
 * its answers; 0: none now, or its end (down.ended). */
size_t cb_link_read_server(cb_link *link, uint8_t *out, size_t *answers);
size_t cb_link_write_server(cb_link *link, const uint8_t *data, size_t len);

#endif
