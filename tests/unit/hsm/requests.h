/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Every request that hsmd knows, well formed and made when it is due, so that a test can send it
 * whole, in another state or to another lane, cut, or changed.
 */
#ifndef CB_TESTS_HSM_REQUESTS_H
#define CB_TESTS_HSM_REQUESTS_H

#include "walk.h"

enum { USE = CB_LANE_USE, LOG = CB_LANE_LOG, MANAGE = CB_LANE_MANAGE };

typedef struct request_row {
    uint16_t type;
    uint8_t lanes;
    uint8_t state;   /* of the tap it is about; 0: of none */
    bool open_ended; /* the body ends where it ends: cut, it is another one */
} request_row;

extern const request_row requests[];
extern const size_t requests_count;

/* For cmocka: a walk's, and an agency of cards that hsmd trusts. */
int requests_setup(void **state);
int requests_teardown(void **state);

/* Makes a walk whose next message is this one. */
void request_make(walk *t, const request_row *r);

/* ---- The parts of that (requests.c, requests_cards.c): each appends to t->body ---- */

void request_receipt(cb_buf *body); /* of a whole tap */
void request_binding(walk *t);
void request_foreign_binding(walk *t); /* of a new card of an agency that hsmd trusts */
void request_renewal(walk *t);         /* of one that is bound, with another certificate */
void request_password(walk *t);
void request_new_code(walk *t);
void request_allowed_code(walk *t);

/* Of a tap that is to bind a new card: its second message, or the fourth. */
void request_registering(walk *t, bool to_its_end);

/* The second message of a tap that renews what its card is bound with, and the last of one in which
 * a password is changed. */
void request_renewing(walk *t);
void request_password_change(walk *t);

#endif
