/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An ID and a password, for services that ask for no more (S3-⑦).
 *
 * There is no card, so the terminal plays one. From the password it derives a key pair, with
 * Argon2id and a salt that hsmd gives; with it, it signs what the tap is for. The password never
 * leaves the terminal, what leaves it is of use for this one tap, and guessing costs the guesser an
 * Argon2id for each guess, and hsmd none.
 *
 *   script 1   SELECT F0 43 42 50 57 01          →
 *              80 CA 00 00 00                    → identifier of the name (16)
 *   script 2   80 88 00 00 61 question 00        → public key (65) ‖ signature r ‖ s (64)
 *              of CB_TAP_PASSWORD_CHANGE      → public key (65) ‖ that of the new password (65) ‖ r
 * ‖ s question   salt (16) ‖ terminal (16) ‖ u8 level ‖ SHA-256 of the broker's certificate of
 * usage 8201 (32) ‖ nonce (32)
 *
 * The terminal makes the context that it signs from what it itself has asked for (context.h): for
 * another service or text it signs nothing.
 *
 *   key        d = Argon2id(password, salt, associated data "cardbroker password 1" 00 ‖
 * identifier); while d is no private key on P-256: d = SHA-256(d) signature  ECDSA over
 * SHA-256("cardbroker password proof 1" 00 ‖ SHA-256 of the certificate ‖ nonce ‖ digest of the
 * context ‖ identifier); of a change over SHA-256("cardbroker password change 1" 00 ‖ that digest ‖
 * new public key)
 *
 * A password that is a one-time code in its four groups (base/code.h) is taken for its symbols:
 * such are given on paper, and typed as people do.
 */
#ifndef CB_CARDLINK_PASSWORD_H
#define CB_CARDLINK_PASSWORD_H

#include "cardlink/profile.h"

enum {
    CB_PASSWORD_NAME_MAX = 64,
    CB_PASSWORD_CHARACTERS_MIN =
        15,                /* NIST SP 800-63B-4, 3.1.1.2, where nothing else is asked for */
    CB_PASSWORD_MAX = 256, /* bytes of UTF-8 */
    CB_PASSWORD_NONCE = 32,
    CB_PASSWORD_QUESTION = CB_PASSWORD_SALT + CB_ID_SIZE + 1 + CB_SHA256_SIZE + CB_PASSWORD_NONCE,
    CB_PASSWORD_ANSWER = CB_P256_POINT + CB_P256_SIGNATURE
};

extern const uint8_t cb_password_select[12], cb_password_get_name[5];

/* ---- Names ---- */

/* A login name in the form in which names are compared: ASCII capitals become small letters; 1 to
 * 64 of a-z 0-9 . _ @ + -, the first of them a letter or a digit. CB_E_ARGUMENT for any other. */
cb_error cb_password_name(const char *text, char out[CB_PASSWORD_NAME_MAX + 1]);

/* Under which a name is known; of a name in that form. A marked digest (foreign.h). */
cb_id cb_password_id(const char *name);

/* ---- What is signed ---- */

typedef struct cb_password_question {
    uint8_t salt[CB_PASSWORD_SALT];
    cb_id terminal;
    uint8_t level;
    cb_digest broker; /* SHA-256 of its certificate */
    uint8_t nonce[CB_PASSWORD_NONCE];
} cb_password_question;

/* Appends the command; reads it: CB_E_FORMAT. */
void cb_password_question_put(cb_buf *command, const cb_password_question *question);
cb_error cb_password_question_get(cb_bytes command, cb_password_question *out);

/* The digest that is signed. */
cb_digest cb_password_statement(const cb_password_question *question, const cb_tap_context *context,
                                const cb_id *password);

/* The one that is signed to put another password, of this public key, in the place of the one that
 * signs. */
cb_digest cb_password_change_statement(const cb_digest *statement,
                                       const uint8_t next[CB_P256_POINT]);

/* ---- Where a password is typed (library password) ---- */

/* Whether it may be chosen: UTF-8 of at least 15 characters and at most 256 bytes, none of which
 * acts on a screen, and not one of those that are guessed first: a piece repeated, a run such
 * as 123…, the name over and over. It is taken as it was typed, and never normalised.
 * CB_E_PASSWORD_FORMAT. */
cb_error cb_password_fit(cb_bytes password, const char *name);

/* The private key. CB_E_MEMORY, CB_E_CRYPTO. */
cb_error cb_password_key(cb_bytes password, const uint8_t salt[CB_PASSWORD_SALT], const cb_id *id,
                         uint8_t scalar[CB_P256_SCALAR]);

/* Argon2id, version 1.3 (RFC 9106). out has len bytes. */
typedef struct cb_argon2id_cost {
    uint32_t memory_kib, passes, lanes;
} cb_argon2id_cost;
cb_error cb_argon2id(cb_argon2id_cost cost, cb_bytes password, cb_bytes salt, cb_bytes secret,
                     cb_bytes data, uint8_t *out, size_t len);

/* A password that plays a card. The context is what the terminal asked for; terminal and level are
 * taken from the question. */
typedef struct cb_soft_password {
    cb_id id;
    cb_bytes password; /* borrowed */
    cb_bytes next;     /* the new one, where the context's purpose is to change it; borrowed */
    cb_tap_context context;
} cb_soft_password;

/* One exchange, as cb_card_io.transmit does it. Commands that it does not know are refused with
 * 6D00, a question that is none with 6A80. CB_E_MEMORY, CB_E_CRYPTO. */
cb_error cb_soft_password_transmit(void *soft, cb_bytes command, cb_buf *answer);

#endif
