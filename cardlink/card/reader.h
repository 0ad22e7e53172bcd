/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Places where a virtual card can lie: what it looks like to the other end that a card is put down
 * and taken away.
 *
 * On both kinds of place the messages are those of the virtual reader's driver (vsmartcard-vpcd): a
 * 16-bit length and the payload. Towards the card: one byte 00 (off), 01 (on), 02 (reset), none of
 * which is answered, 04 (send the ATR), or a command of more bytes. The connection is the card's
 * presence.
 *
 *   vpcd     the card connects to the driver's TCP port, again and again until somebody listens
 *   socket   a Unix stream socket, on which the other end connects; it exists while a card lies
 * there
 */
#ifndef CB_CARDLINK_CARD_READER_H
#define CB_CARDLINK_CARD_READER_H

#include "cardlink/card/card.h"

#include <poll.h>

typedef struct cb_vcard_reader {
    const char *place; /* HOST:PORT or a path; borrowed */
    bool vpcd;
    int listener;     /* of a socket while a card lies there; -1 */
    int fd;           /* the connection; -1 */
    int64_t retry_at; /* vpcd: when to connect again */
    cb_vcard *card;   /* what lies there; NULL: nothing. Borrowed. */
    cb_buf in;        /* what has come of the next message */
} cb_vcard_reader;

/* A place with nothing on it. */
void cb_vcard_reader_init(cb_vcard_reader *reader, const char *place, bool vpcd);

/* Puts a card there; CB_E_STATE if one lies there. CB_E_CONFIG, CB_E_IO for a socket that cannot be
 * made, CB_E_EXISTS where something else is in its place. */
cb_error cb_vcard_reader_insert(cb_vcard_reader *reader, cb_vcard *card);

/* Takes it away: the card loses its power, the other end its connection. */
void cb_vcard_reader_remove(cb_vcard_reader *reader);

/* Two entries for poll(2) (fd -1 where there is nothing to wait for), and what came of them. */
void cb_vcard_reader_wait(cb_vcard_reader *reader, struct pollfd at[2]);
void cb_vcard_reader_serve(cb_vcard_reader *reader, const struct pollfd at[2]);

/* Sends all of it; false: the other end is gone, or did not take it in time. */
bool cb_vcard_send(int fd, cb_bytes bytes);

/* Removes a socket that a program that was killed left behind; false: something else is there. */
bool cb_vcard_make_way(const char *path);

#endif
