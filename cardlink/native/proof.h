/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The two signatures that are made inside the channel: the broker's, which the card checks before
 * it compares a PIN or says who it is, and the card's, made by a key that signs nothing else. Each
 * is ECDSA over SHA-256 of a structure that starts with its own words, and that has fixed lengths,
 * so that no two readings of it are possible.
 *
 *   broker  "cardbroker broker request 1" 00 ‖ transcript (32) ‖ SHA-256 of the signer's
 * certificate (32) ‖ nonce (32) ‖ context (32) card    "cardbroker card proof 1" 00 ‖ the same four
 * ‖ card id (16) ‖ PIN form ‖ PIN state ‖ tries left ‖ failures (2) ‖ counter (4) ‖ life cycle
 *
 * To a card that tells its generation (first.h) the broker's is "cardbroker broker request 2" 00 ‖
 * the same ‖ today's date (4), from which the card learns how late it is. Such a card signs
 * "cardbroker card proof 2" 00 ‖ the same, and at the end the KVN of the newest key it has of the
 * authority above this broker.
 *
 * A third, the broker's, ends one card for good: "cardbroker termination 1" 00 ‖ the same four ‖
 * card id (16).
 *
 * A fourth, the broker's, has one card take a new PIN: "cardbroker pin reset 1" 00 ‖ the same four
 * ‖ card id (16) ‖ SHA-256 of the ciphertext that holds the PIN (pin.h).
 */
#ifndef CB_CARDLINK_NATIVE_PROOF_H
#define CB_CARDLINK_NATIVE_PROOF_H

#include "cardlink/native/channel.h"
#include "cardlink/profile.h"

enum {
    CB_PROOF_REQUEST =
        CB_NATIVE_NONCE + CB_SHA256_SIZE + CB_P256_SIGNATURE, /* data of EXTERNAL AUTHENTICATE */
    CB_PROOF_DATE = 4, /* before the signature, to a card that tells */
    CB_PROOF_TERMINATION = CB_ID_SIZE + CB_P256_SIGNATURE, /* data of TERMINATE DF */
    CB_PROOF_PIN_RESET =
        CB_ID_SIZE + CB_P256_SIGNATURE, /* after the ciphertext in RESET RETRY COUNTER */
    CB_PROOF_FACTS = CB_ID_SIZE + 1 + 1 + 1 + 2 + 4 + 1, /* and 1 of a card that tells */
};

/* What the proof is asked with. */
typedef struct cb_proof_request {
    cb_digest transcript;
    cb_digest signer_certificate; /* SHA-256 of it */
    uint8_t nonce[CB_NATIVE_NONCE];
    cb_digest context;
    uint32_t date; /* digits, as in cvc.h; 0: to a card that takes none */
} cb_proof_request;

/* What the card says of itself. */
typedef struct cb_proof_facts {
    cb_id card;
    uint8_t pin_form;   /* cb_pin_form of pin.h: what was presented */
    uint8_t pin_state;  /* cb_pin_state */
    uint8_t tries_left; /* of what was presented; of the PIN, if nothing was */
    uint16_t failures;  /* wrong PINs and codes since the last proof */
    uint32_t counter;   /* proofs so far, this one included */
    uint8_t life_cycle; /* cb_life_cycle, after this session's commands */
    uint8_t generation; /* KVN, 1 to 7F; 0: of a card that does not tell */
} cb_proof_facts;

typedef enum cb_life_cycle {
    CB_LIFE_PERSONALISED =
        1, /* in transit: nothing but the change of the transport PIN is possible */
    CB_LIFE_ACTIVE = 2,
    CB_LIFE_TERMINATED = 3 /* for good */
} cb_life_cycle;

/* A date as it travels: four bytes of digits. */
void cb_proof_date_put(uint32_t date, uint8_t out[CB_PROOF_DATE]);

cb_digest cb_proof_request_digest(const cb_proof_request *request);
cb_digest cb_proof_termination_digest(const cb_proof_request *request, const cb_id *card);
cb_digest cb_proof_pin_reset_digest(const cb_proof_request *request, const cb_id *card,
                                    cb_bytes pin);
cb_digest cb_proof_digest(const cb_proof_request *request, const cb_proof_facts *facts);

/* The facts as they travel: 26 bytes, 27 of a card that tells its generation. Reading fails with
 * CB_E_CARD_ANSWER for values that do not exist. */
void cb_proof_facts_put(cb_buf *buf, const cb_proof_facts *facts);
cb_error cb_proof_facts_get(cb_cursor *cursor, bool tells, cb_proof_facts *out);

#endif
