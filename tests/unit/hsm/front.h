/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A front end for tests: takes taps to hsmd through its client, with a card in process, and keeps
 * the log that intents go to.
 */
#ifndef CB_TESTS_HSM_FRONT_H
#define CB_TESTS_HSM_FRONT_H

#include "hsm/client.h"
#include "world.h"

typedef struct front {
    world *w;
    cb_hsm *hsm;
    cb_id holder;
    cb_id terminal;
    cb_buf binding;
    cb_merkle_frontier log;
    cb_feed_head feed;
} front;

typedef struct front_key {
    cb_sealed_info info;
    cb_buf sealed;
    cb_buf public_key;
} front_key;

/* What a tap asks for. pin may be NULL. */
typedef struct front_wish {
    const char *service;
    const char *pin;
    uint8_t level;
    uint8_t purpose; /* 0: authenticate */
} front_wish;

typedef struct front_tap {
    cb_tap_context context;
    cb_card_claim claim;
    cb_activation activation;
} front_tap;

/* Connects, binds the world's card to a new holder. */
cb_error front_make(front *f, world *w, const char *run);
void front_free(front *f);

cb_error front_key_make(front *f, const cb_id *holder, const char *service, uint8_t algorithm,
                        uint8_t level, uint8_t uses, front_key *out);
void front_key_free(front_key *key);

/* The steps of a tap, each including those before it. */
cb_error front_begin(front *f, front_tap *tap, cb_buf *script);
cb_error front_challenge(front *f, front_wish wish, front_tap *tap, cb_buf *script);
cb_error front_finish(front *f, front_wish wish, front_tap *tap);
cb_error front_activate(front *f, front_wish wish, front_tap *tap);
cb_error front_open(front *f, front_wish wish, const front_key *key, front_tap *tap);

cb_intent front_intent(const front_tap *tap, const cb_id *key);

/* Puts an intent into the log, has the head signed, and makes the proof. */
cb_error front_record(front *f, const cb_intent *intent, cb_intent_proof *proof);

/* Uses the key for a P-256 signature over some digest, and verifies it with the key's public half
 * if that is known. */
cb_error front_sign(front *f, const front_tap *tap, const front_key *key, cb_buf *receipt);

/* One more revocation, told to hsmd. */
cb_error front_revoke(front *f, uint8_t kind, const cb_id *subject);

#endif
