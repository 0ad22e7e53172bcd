/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A virtual PIV card in process, and a reader's side of it: long commands go as chains, long
 * answers are fetched.
 */
#ifndef CB_TESTS_CARDLINK_VPIV_H
#define CB_TESTS_CARDLINK_VPIV_H

#include "cardlink/apdu.h"
#include "cardlink/card/piv/application.h"
#include "cardlink/issuer/piv.h"

#define VPIV_CARD_PIN "123456"
#define VPIV_CARD_PUK "87654321"

enum { VPIV_GET = 0xCB, VPIV_PUT = 0xDB, VPIV_USE = 0x87, VPIV_GENERATE = 0x47 };

/* Memory of the card: what is durable, and when writing fails. */
typedef struct vpiv_memory {
    cb_buf durable;
    int writes;
    int fails_at; /* this write, counted from 1; 0: none */
    bool after;   /* it is durable nevertheless */
} vpiv_memory;

typedef struct vpiv_card {
    cb_vpiv_state first; /* as it was made */
    cb_id guid;
    vpiv_memory memory;
    cb_vcard *card;
} vpiv_card;

/* A card with keys of these algorithms in 9A, 9C, 9D, 9E, and a management key of 11 12 13 … */
void vpiv_card_make(vpiv_card *p, const uint8_t algorithm[CB_VPIV_SLOTS], uint8_t management);

/* The same with a secure messaging key that a content signer has signed. */
void vpiv_card_make_with(vpiv_card *p, const uint8_t algorithm[CB_VPIV_SLOTS], uint8_t management,
                         const cb_issue_signer *content_signer);
void vpiv_card_free(vpiv_card *p);

/* Power goes; the card wakes up with what is durable. */
void vpiv_card_wake(vpiv_card *p);

/* One command, as it is; the answer's data is appended to out, if that is not NULL. */
uint16_t vpiv_raw(cb_vcard *card, cb_bytes command, cb_buf *out);

/* A command with data of any length, and all of its answer. */
uint16_t vpiv_send(cb_vcard *card, uint8_t ins, uint8_t p1, uint8_t p2, cb_bytes data, cb_buf *out);

uint16_t vpiv_select(cb_vcard *card);
uint16_t vpiv_verify(cb_vcard *card, const char *pin);

/* Signs with a slot: 7C{82 00, 81 message}. out: the signature alone. */
uint16_t vpiv_sign(cb_vcard *card, uint8_t algorithm, uint8_t slot, cb_bytes message, cb_buf *out);

/* Encrypts a block with the management key, as the other side does. */
void vpiv_encrypt(const cb_vpiv_state *state, const uint8_t *in, uint8_t *out);

/* Authenticates with it, alone. */
uint16_t vpiv_manage(cb_vcard *card, const cb_vpiv_state *state);

#endif
