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

enum { CB_JPKI_CERTIFICATE_MAX = 4096, CB_JPKI_PIN_MAX = 16 };

typedef enum cb_jpki_use { CB_JPKI_AUTHENTICATION, CB_JPKI_SIGNATURE, CB_JPKI_USES } cb_jpki_use;

/* Characters of a PIN: four digits, three tries; for signatures 6 to 16 digits and capital letters,
 * five tries. */
typedef struct cb_jpki_pin_rule {
    uint8_t least, most;
    bool letters;
    uint8_t tries;
} cb_jpki_pin_rule;

extern const cb_jpki_pin_rule cb_jpki_pin_rules[CB_JPKI_USES];
bool cb_jpki_pin_ok(cb_jpki_use use, cb_bytes pin);

typedef struct cb_jpki_blob {
    uint8_t bytes[CB_JPKI_CERTIFICATE_MAX];
    size_t len;
} cb_jpki_blob;

static inline cb_bytes cb_jpki_blob_bytes(const cb_jpki_blob *blob)
{
    return cb_bytes_make(blob->bytes, blob->len);
}

typedef struct cb_jpki_credential {
    cb_vcard_key key; /* RSA-2048 */
    cb_jpki_blob certificate;
    cb_jpki_blob authority;
    uint8_t pin[CB_JPKI_PIN_MAX]; /* then zeros */
    uint8_t pin_len;
    uint8_t tries;
} cb_jpki_credential;

typedef struct cb_jpki_state {
    cb_jpki_credential of[CB_JPKI_USES];
} cb_jpki_state;

/* False: it is too long. */
bool cb_jpki_blob_set(cb_jpki_blob *blob, cb_bytes bytes);
void cb_jpki_pin_set(cb_jpki_credential *credential, cb_bytes pin);

/* Appends the state; reads it. CB_E_FORMAT for anything but what was written. */
void cb_jpki_state_put(cb_buf *buf, const cb_jpki_state *state);
cb_error cb_jpki_state_parse(cb_bytes content, cb_jpki_state *out);

#endif
