/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the two ends of a connection's inner socket tell each other: the link, which takes answers
 * from it, and the server, which knows the answers it gave. libmicrohttpd answers by itself what it
 * cannot read; by the positions in the stream where the server's own answers begin and end the link
 * can tell those bytes from all others, however they arrive.
 *
 * Both are of one thread, the loop's that accepted the connection.
 */
#ifndef CB_BROKER_HTTP_TURN_H
#define CB_BROKER_HTTP_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct cb_turn cb_turn;

/* For the link's end of a socket pair, which it keeps. One reference; NULL: no memory. */
cb_turn *cb_turn_new(int socket);
cb_turn *cb_turn_keep(cb_turn *turn);
void cb_turn_release(cb_turn **turn);

/* ---- The server says ---- */

/* The connection is known to the server. libmicrohttpd lets go of one that it has no memory for
 * without telling anybody, so what was not taken up starves. */
void cb_turn_take_up(cb_turn *turn);

/* A handler has the request: the client may have nothing more to send. */
void cb_turn_serve(cb_turn *turn);

/* An answer is about to be written to the socket; as much of it was as ever will be. goes_on: more
 * requests may follow it. */
void cb_turn_begin_answer(cb_turn *turn);
void cb_turn_end_answer(cb_turn *turn, bool goes_on);

/* The server closes its end. */
void cb_turn_leave(cb_turn *turn);

/* There was no memory to take the request up: the connection ends without an answer. */
void cb_turn_starve(cb_turn *turn);

/* ---- The link asks ---- */

bool cb_turn_serving(const cb_turn *turn);

/* There is something to be read: bytes of answers, or the server's end. */
bool cb_turn_spoken(const cb_turn *turn);

/* Something will be, though the server is given nothing more. */
bool cb_turn_expected(const cb_turn *turn);

/* Whether it is the server's turn to speak when the connection ends now: what the client has sent
 * since the last answer was met with silence. */
bool cb_turn_owes(cb_turn *turn);
bool cb_turn_starved(cb_turn *turn);

/* As recv, without waiting. *answers: how many of the bytes, from the first, belong to the server's
 * answers. */
ssize_t cb_turn_read(cb_turn *turn, uint8_t *out, size_t size, size_t *answers);

/* The link is about to close its end. */
void cb_turn_close(cb_turn *turn);

#endif
