/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The PIN on its way from the terminal to the card.
 *
 * The terminal encrypts it to the key that the card made for this session (5F49 in the answer to
 * MUTUAL AUTHENTICATE), the broker passes the ciphertext on inside its channel, and the card alone
 * can open it. If somebody between terminal and card put another key in place of the card's, the
 * channel fails before the ciphertext has left the broker.
 *
 *   ciphertext (113 bytes) = terminal's ephemeral point (65) ‖ AES-128-CBC, zero IV, of a block
 * (32) ‖ AES-CMAC of that (16) keys       (32 bytes)  = X9.63 KDF over ECDH, info "cardbroker pin
 * 1" 00 ‖ terminal's point ‖ card's point block      (32 bytes)  = form ‖ length ‖ digits, FF to 12
 * ‖ length ‖ digits, FF to 12 ‖ five times 00
 */
#ifndef CB_CARDLINK_NATIVE_PIN_H
#define CB_CARDLINK_NATIVE_PIN_H

#include "cardlink/profile.h"

enum {
    CB_PIN_MIN = 4,
    CB_PIN_MAX = 12,
    CB_UNBLOCK_CODE_LEN = 8,
    CB_PIN_BLOCK = 32,
    CB_PIN_CIPHERTEXT = CB_P256_POINT + CB_PIN_BLOCK + CB_AES_BLOCK
};

typedef enum cb_pin_form {
    CB_PIN_FORM_NONE = 0,
    CB_PIN_FORM_VERIFY = 1,  /* the PIN */
    CB_PIN_FORM_CHANGE = 2,  /* the PIN, and the new one */
    CB_PIN_FORM_UNBLOCK = 3, /* the unblocking code, and a new PIN */
    CB_PIN_FORM_RESET = 4    /* a new PIN alone, which the broker's signature allows (proof.h) */
} cb_pin_form;

/* Whether these are 4 to 12 digits, or the 8 digits of an unblocking code. */
bool cb_pin_ok(cb_bytes digits);
bool cb_unblock_code_ok(cb_bytes digits);

/* The form that goes with a purpose (context.h); CB_PIN_FORM_NONE for an unknown one. */
cb_pin_form cb_pin_form_for(uint8_t purpose);

/* ---- The terminal's half ---- */

/* The card's session key, from the answers to the first script (of the native profile).
 * CB_E_CARD_ANSWER when there is none; then it is not the time to ask for a PIN: send the answers
 * on, and the broker says what is wrong. */
cb_error cb_pin_card_key(const cb_script *answers, uint8_t point[CB_P256_POINT]);

/* Appends the ciphertext, 113 bytes. fresh is empty for VERIFY, secret for RESET. The caller wipes
 * the digits. CB_E_PIN_FORMAT, CB_E_CARD_ANSWER (no such point), CB_E_CRYPTO. */
cb_error cb_pin_encrypt(cb_pin_form form, cb_bytes secret, cb_bytes fresh,
                        const uint8_t card_point[CB_P256_POINT], cb_buf *ciphertext);

/* ---- The card's half ---- */

/* What came in; wiped by the caller. */
typedef struct cb_pin_block {
    uint8_t form;
    uint8_t secret_len;
    uint8_t secret[CB_PIN_MAX]; /* padded with FF, so that it can be compared at full length */
    uint8_t fresh_len;
    uint8_t fresh[CB_PIN_MAX];
} cb_pin_block;

/* CB_E_CARD_ANSWER when it was not made for this key; CB_E_PIN_FORMAT when what it holds is not
 * well formed. */
cb_error cb_pin_decrypt(cb_bytes ciphertext, const uint8_t scalar[CB_P256_SCALAR],
                        const uint8_t point[CB_P256_POINT], cb_pin_block *out);

/* Digits, FF to 12 bytes: how a PIN is stored and compared. digits is at most 12 long. */
void cb_pin_pad(cb_bytes digits, uint8_t out[CB_PIN_MAX]);

#endif
