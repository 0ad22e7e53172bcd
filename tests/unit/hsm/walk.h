/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One key's life, message by message, over lanes in this process: what is sent next is always the
 * right message, so that a test can send something else in its place.
 */
#ifndef CB_TESTS_HSM_WALK_H
#define CB_TESTS_HSM_WALK_H

#include "fake.h"
#include "hsm/protocol.h"

extern world w;
extern fake f;
extern cb_lane use, log_lane, manage;
extern cb_merkle_frontier evidence; /* the log; emptied by walk_setup */

/* For cmocka: makes world and lanes. */
int walk_setup(void **state);
int walk_teardown(void **state);

/* Asks a lane; *kept says whether the connection would go on. answer may be NULL. */
cb_error walk_ask_len(cb_lane *lane, uint16_t type, cb_bytes body, cb_buf *answer, bool *kept);

/* The same; body may be NULL. */
cb_error walk_ask(cb_lane *lane, uint16_t type, const cb_buf *body, cb_buf *answer);

/* One more entry of the feed, of which the use worker is told. */
void walk_tell(uint8_t kind, const cb_id *subject);

/* The body of each step of one tap, made as the tap goes. */
typedef struct walk {
    cb_tap_context context;
    cb_id holder;
    cb_buf binding, sealed;
    cb_buf body, answer, answers;
    cb_activation activation;
} walk;

void walk_make(walk *t);
void walk_free(walk *t);

/* A tap request that was not the next one: a body that fits, for the tap. */
void walk_body_for(walk *t, uint16_t type);

typedef void (*between)(cb_lane *lane, uint16_t type, const cb_buf *body);
void walk_nothing(cb_lane *lane, uint16_t type, const cb_buf *body);

/* Makes a walk and takes it up to the state wanted, where body is the next message (CB_TAP_FREE: to
 * the end), doing something before each message. */
void walk_go(walk *t, unsigned until, between before);

#endif
