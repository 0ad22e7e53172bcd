/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the JPKI application remembers: two credentials, each with a key, a certificate, that of its
 * authority, and a PIN.
 *
 *   u8 version (01), and for user authentication, then for signatures: u32 length and
 * RSAPrivateKey, u32 length and certificate, u32 length and the authority's certificate, u8 length
 * of the PIN and 16 bytes, u8 tries left
 */
#ifndef CB_CARDLINK_CARD_JPKI_STATE_H
#define CB_CARDLINK_CARD_JPKI_STATE_H

#include "cardlink/card/key.h"

enum { CB_VJPKI_CERTIFICATE_MAX = 4096, CB_VJPKI_PIN_MAX = 16 };

typedef enum cb_vjpki_use {
    CB_VJPKI_AUTHENTICATION,
    CB_VJPKI_SIGNATURE,
    CB_VJPKI_USES
} cb_vjpki_use;

/* Characters of a PIN: four digits, three tries; for signatures 6 to 16 digits and capital letters,
 * five tries. */
typedef struct cb_vjpki_pin_rule {
    uint8_t least, most;
    bool letters;
    uint8_t tries;
} cb_vjpki_pin_rule;

extern const cb_vjpki_pin_rule cb_vjpki_pin_rules[CB_VJPKI_USES];
bool cb_vjpki_pin_ok(cb_vjpki_use use, cb_bytes pin);

typedef struct cb_vjpki_blob {
    uint8_t bytes[CB_VJPKI_CERTIFICATE_MAX];
    size_t len;
} cb_vjpki_blob;

static inline cb_bytes cb_vjpki_blob_bytes(const cb_vjpki_blob *blob)
{
    return cb_bytes_make(blob->bytes, blob->len);
}

typedef struct cb_vjpki_credential {
    cb_vcard_key key; /* RSA-2048 */
    cb_vjpki_blob certificate;
    cb_vjpki_blob authority;
    uint8_t pin[CB_VJPKI_PIN_MAX]; /* then zeros */
    uint8_t pin_len;
    uint8_t tries;
} cb_vjpki_credential;

typedef struct cb_vjpki_state {
    cb_vjpki_credential of[CB_VJPKI_USES];
} cb_vjpki_state;

/* False: it is too long. */
bool cb_vjpki_blob_set(cb_vjpki_blob *blob, cb_bytes bytes);
void cb_vjpki_pin_set(cb_vjpki_credential *credential, cb_bytes pin);

/* Appends the state; reads it. CB_E_FORMAT for anything but what was written; CB_E_MEMORY. */
void cb_vjpki_state_put(cb_buf *buf, const cb_vjpki_state *state);
cb_error cb_vjpki_state_parse(cb_bytes content, cb_vjpki_state *out);

#endif
