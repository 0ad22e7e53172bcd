/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A broker by hand: it can send a card what cb_profile_native never would.
 */
#ifndef CB_TESTS_CARDLINK_HAND_H
#define CB_TESTS_CARDLINK_HAND_H

#include "world.h"

typedef struct hand {
    world *w;
    cb_sm sm;
    cb_sm_mark mark; /* of the command sent last */
    cb_proof_request request;
    uint8_t card_point[CB_P256_POINT];
} hand;

/* Plain commands. answer is emptied first and may be NULL. All of these give the status word. */
uint16_t hand_plain(cb_vcard *card, cb_apdu apdu, cb_buf *answer);
uint16_t hand_select(cb_vcard *card);

/* SELECT, PSO, MUTUAL AUTHENTICATE with w->card; aborts unless all succeed. */
void hand_open(hand *h, world *w);

/* Commands inside the channel. */
uint16_t hand_secure(hand *h, uint8_t ins, uint8_t p1, uint8_t p2, cb_bytes data);
uint16_t hand_signer(hand *h);
uint16_t hand_request(hand *h); /* signs h->request, and sends nonce and context that are zero */
uint16_t hand_pin(hand *h, uint8_t ins, cb_pin_form form, const char *secret, const char *fresh);
uint16_t hand_verify(hand *h, const char *pin);
uint16_t hand_prove(hand *h);

/* hand_open, hand_signer and hand_request: the state in which PIN and proof are legal. */
void hand_authenticate(hand *h, world *w);

#endif
