/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that others issued and that know nothing of a broker: who they are here, and what they
 * sign.
 *
 * Such a card signs whatever it is given once it is there, or has the PIN. So what it signs for a
 * tap says what it is for, to the last detail, and begins as nothing else does that anybody asks
 * cards to sign; and what it signs elsewhere is no proof here.
 */
#ifndef CB_CARDLINK_FOREIGN_H
#define CB_CARDLINK_FOREIGN_H

#include "cardlink/profile.h"

enum { CB_FOREIGN_NONCE = 32, CB_FOREIGN_STATEMENT = 27 + 1 + 32 + 32 + 32 + 16 + 1 };

/* The identifier of a card, from what distinguishes it among all of its profile: the first 16 bytes
 * of SHA-256("cardbroker foreign card 1" 00 ‖ u8 profile ‖ that), marked as a UUID of version 8
 * (RFC 9562, 5.8). The same card always has the same. */
cb_id cb_foreign_card_id(uint8_t profile, cb_bytes distinguishing);

/* What is to be signed: "cardbroker foreign proof 1" 00 ‖ u8 profile ‖ SHA-256 of the broker's
 * certificate of usage 8201 ‖ nonce ‖ digest of the tap's context (context.h) ‖ card ‖ u8 use of
 * the key. */
void cb_foreign_statement(const cb_profile_host *host, const cb_tap_context *context,
                          const cb_id *card, uint8_t use, const uint8_t nonce[CB_FOREIGN_NONCE],
                          uint8_t out[CB_FOREIGN_STATEMENT]);

/* ---- What their profiles have in common ---- */

/* A tap with such a card: the state of its profile. */
typedef struct cb_foreign_tap {
    uint8_t step;
    uint8_t kind;  /* of the key that is asked to sign: cb_card_key_kind */
    bool with_pin; /* the card is given the PIN first */
    size_t parts;  /* commands that carry what is to be signed */
    cb_card_claim claim;
} cb_foreign_tap;

/* What distinguishes them. */
typedef struct cb_foreign_kind {
    uint8_t profile; /* cb_profile_id */

    /* Appends the commands of the first script. */
    cb_error (*first)(cb_foreign_tap *tap, cb_buf *script);
    cb_error (*recognise)(const cb_script *answers, cb_id *card);

    /* The key of a known card that is to sign, and whether with the PIN; NULL: none that reaches
     * what is asked for. */
    const cb_card_key *(*choose)(const cb_known_card *known, uint8_t level, bool *with_pin);

    /* Appends the second script, in which the digest of tap->claim is signed; answers are those to
     * the first. Then reads its answers into tap->claim. Errors as of cb_card_profile's challenge
     * and finish. */
    cb_error (*ask)(cb_foreign_tap *tap, const cb_script *answers, const cb_known_card *known,
                    cb_buf *script);
    cb_error (*read)(cb_foreign_tap *tap, const cb_script *answers);
} cb_foreign_kind;

/* The calls of cb_card_profile. */
cb_error cb_foreign_begin(const cb_foreign_kind *kind, cb_foreign_tap *tap, cb_buf *script);
cb_error cb_foreign_challenge(const cb_foreign_kind *kind, cb_foreign_tap *tap,
                              const cb_profile_host *host, const cb_script *answers,
                              const cb_tap_context *context, const cb_known_card *known,
                              cb_bytes pin, cb_buf *script);
cb_error cb_foreign_finish(const cb_foreign_kind *kind, cb_foreign_tap *tap,
                           const cb_script *answers, cb_card_claim *claim);
void cb_foreign_end(void *state);

/* Checks the answers to the first script of such a card, count of them: CB_OK when all are 9000;
 * otherwise CB_E_CARD_FOREIGN when the first was refused, CB_E_CARD_STATUS, CB_E_CARD_ANSWER,
 * CB_E_CARD_REMOVED. No failure is authentic: this chooses words. */
cb_error cb_foreign_answers(const cb_script *answers, size_t count);

/* The same of the second script, in which the command at place pin is VERIFY (count: there is
 * none): its refusal is CB_E_PIN_WRONG or CB_E_PIN_BLOCKED, with the tries left in the claim, or
 * CB_E_CARD_STATUS. */
cb_error cb_foreign_second(const cb_script *answers, size_t count, size_t pin,
                           cb_card_claim *claim);

#endif
