/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card that somebody else issued, as it is read to be registered; and the one-time code with
 * which its holder registers it himself.
 *
 * The code (base/code.h) is a key: where it is typed, a P-256 key is made from its 95 random bits,
 * and what leaves the terminal is that key's point and its signature over what was read of the card
 * in this tap. So nobody between terminal and hsmd has anything that is good for another card or
 * another tap, and to guess the code from what he sees he has 2^95 to try. hsmd knows a code by its
 * point's digest alone, and keeps nothing that opens anything: a code that was never made names
 * none, so that a wrong one is charged to nobody.
 */
#ifndef CB_CARDLINK_REGISTRATION_H
#define CB_CARDLINK_REGISTRATION_H

#include "base/code.h"
#include "base/id.h"
#include "cardlink/card_key.h"

enum {
    CB_FOREIGN_CERTIFICATE_MAX = 4096,
    CB_FOREIGN_CERTIFICATES_LEN = CB_CARD_KEYS_MAX * CB_FOREIGN_CERTIFICATE_MAX
};

/* What a terminal has read from a card that somebody else issued. Borrowed. */
typedef struct cb_foreign_reading {
    uint8_t profile;  /* cb_profile_id */
    cb_bytes answers; /* to the profile's first script, encoded as in cardlink/script.h */
    size_t keys;      /* at most CB_CARD_KEYS_MAX; 0: the profile's cards have no certificates. Those
                         that sign by their numbers, then the one of secure messaging: PIV 9A, 9E, 04 */
    struct {
        uint8_t use;          /* of the key that it certifies, in the profile's numbers */
        cb_bytes certificate; /* DER; for a PIV key 04 that of who signed its own, and then the
                                 intermediate one, if there is one */
    } key[CB_CARD_KEYS_MAX];
} cb_foreign_reading;

/* What a terminal shows of a code. */
typedef struct cb_registration_word {
    uint8_t point[CB_P256_POINT];
    uint8_t signature[CB_P256_SIGNATURE]; /* of cb_registration_statement */
} cb_registration_word;

/* The key of a code: SHA-256("cardbroker registration code 1" 00 ‖ u8 n ‖ symbols), n from 0 on,
 * the first that is a private key. CB_E_CRYPTO. The scalar is wiped by the caller. */
cb_error cb_registration_key(const char symbols[CB_CODE_SYMBOLS], uint8_t scalar[CB_P256_SCALAR],
                             uint8_t point[CB_P256_POINT]);

/* By what a code is known, where it may be seen: the first 16 bytes of SHA-256("cardbroker
 * registration code 1" 00 ‖ point), marked as a UUID of version 8 (RFC 9562, 5.8). */
cb_id cb_registration_id(const uint8_t point[CB_P256_POINT]);

/* What is signed with a code's key, and by the card as the text of its tap: SHA-256("cardbroker
 * registration 1" 00 ‖ code ‖ tap ‖ u8 profile ‖ SHA-256 of the answers ‖ u8 count ‖ for each
 * certificate u8 use ‖ its SHA-256). reading has at most CB_CARD_KEYS_MAX. */
cb_digest cb_registration_statement(const cb_id *code, const cb_id *tap,
                                    const cb_foreign_reading *reading);

/* What a card signs as the text of the tap in which it shows new certificates: as above, with
 * "cardbroker renewal 1" and the card in the place of the code. */
cb_digest cb_renewal_statement(const cb_id *card, const cb_id *tap,
                               const cb_foreign_reading *reading);

/* The word for a card in a tap. CB_E_CRYPTO. */
cb_error cb_registration_say(const char symbols[CB_CODE_SYMBOLS], const cb_id *tap,
                             const cb_foreign_reading *reading, cb_registration_word *out);

#endif
