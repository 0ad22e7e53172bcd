/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A whole world for card tests: an issuer, a broker whose keys are in memory, and a card in
 * process.
 */
#ifndef CB_TESTS_CARDLINK_WORLD_H
#define CB_TESTS_CARDLINK_WORLD_H

#include "cardlink/card/card.h"
#include "cardlink/issuer/issue.h"

#define WORLD_PIN "1234"
#define WORLD_CODE "87654321"

typedef struct world {
    cb_issue_authority cards;   /* CA-KLCC */
    cb_issue_authority brokers; /* CA-KLOC */
    cb_issue_batch batch;
    uint8_t agreement[CB_P256_SCALAR];
    uint8_t signer[CB_P256_SCALAR];
    cb_buf agreement_certificate;
    cb_buf signer_certificate;
    cb_vcard_kloc kloc;
    cb_profile_host host;
    cb_vcard_state first; /* the card as it was made */
    cb_vcard *card;
    cb_buf certificate; /* the card's own */
    uint8_t point[CB_P256_POINT];
    cb_tap_context context;
} world;

void world_make(world *w, bool in_transit);
void world_free(world *w);

/* Dates the batch's certificate anew, and lays a card of it on the reader that is good for as long,
 * and knows this date. */
void world_redate(world *w, cb_issue_days batch, uint32_t today);

/* What a broker is under the next key of the authority above brokers. */
typedef struct world_next {
    world keys;
    cb_host_older older;
    cb_buf link;
} world_next;

/* From now on the world's broker is that as well, and moves cards to it. */
void world_next_make(world_next *next, world *w);
void world_next_free(world_next *next);

/* Plays a script to a card as a terminal does; answers is emptied first. */
void world_play(cb_vcard *card, const cb_buf *script, cb_buf *answers);

/* What a terminal types, for the tap's purpose; NULL secret: no PIN. */
typedef struct typed {
    const char *secret;
    const char *fresh;
} typed;

/* One whole tap. On CB_OK the claim was also verified with the card's own key, unless that fails:
 * CB_E_CARD_PROOF. */
cb_error world_tap(world *w, typed pin, cb_card_claim *claim);

/* The parts of a tap. For the purposes that name a card it is the one that was made. */
cb_error world_begin(world *w, void *state, cb_buf *script);
cb_error world_challenge(world *w, void *state, const cb_buf *answers, typed pin, cb_buf *script);
cb_error world_finish(world *w, void *state, const cb_buf *answers, cb_card_claim *claim);
void *world_state(void);

/* The file of a card with the native application alone. */
cb_error world_state_read(const char *path, cb_vcard_state *out);
cb_error world_state_write(const char *path, const cb_vcard_state *state);

#endif
