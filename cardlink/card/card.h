/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The card application, in software: what a chip with docs/card-application.md in it does. For
 * tests, benchmarks, demonstrations, and as an example for whoever writes it for a chip.
 *
 * A card has a state that lasts (state.h) and a session that ends with the power. It takes one
 * command and gives one answer; there is no command that it does not answer, and none that ends the
 * program.
 */
#ifndef CB_CARDLINK_CARD_CARD_H
#define CB_CARDLINK_CARD_CARD_H

#include "cardlink/card/state.h"

typedef struct cb_vcard cb_vcard;

/* What a card says when it gets power: T=1, contactless convention, issuer's data "CBCARD1". */
extern const uint8_t cb_vcard_atr[14];

/* Where the state is kept. save returns when the state is durable; after an error the card is mute
 * until it is reset. */
typedef struct cb_vcard_store {
    void *context;
    cb_error (*save)(void *context, const cb_vcard_state *state);
} cb_vcard_store;

/* A card whose state is in a file. No two programs can hold the same one: path.lock is locked
 * meanwhile (CB_E_BUSY). Otherwise as cb_vcard_state_read. */
cb_error cb_vcard_open(const char *path, cb_vcard **out);

/* A card with a copy of a state. Without a store (NULL), nothing outlives the card. */
cb_error cb_vcard_make(const cb_vcard_state *state, const cb_vcard_store *store, cb_vcard **out);

/* Wipes and frees. */
void cb_vcard_close(cb_vcard **card);

/* Takes the power away and gives it back: the session is forgotten. */
void cb_vcard_reset(cb_vcard *card);

/* Carries out one command and appends its answer (data, SW1 SW2; at most 258 bytes) to an empty
 * buffer. */
void cb_vcard_process(cb_vcard *card, cb_bytes command, cb_buf *answer);

/* The state as it is now. Borrowed; for tests and for the program that shows it. */
const cb_vcard_state *cb_vcard_state_of(const cb_vcard *card);

#endif
