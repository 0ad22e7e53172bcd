/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The public keys of cards, and what cards sign with the private halves.
 *
 * EC points are uncompressed (04 ‖ X ‖ Y); an RSA key is a DER RSAPublicKey (RFC 8017, A.1.1).
 * Signatures are r ‖ s, each as long as the curve's field, or PKCS #1 v1.5 (RFC 8017, 8.2) with
 * SHA-256. P-256 and RSA sign SHA-256 digests, P-384 SHA-384 ones (NIST SP 800-78-4, table 3-2).
 */
#ifndef CB_CARDLINK_CARD_KEY_H
#define CB_CARDLINK_CARD_KEY_H

#include "base/crypto.h"

enum {
    CB_CARD_KEYS_MAX = 3,
    CB_CARD_KEY_MAX = 300,
    CB_CARD_DIGEST_MAX = 48,
    CB_CARD_SIGNATURE_MAX = 256
};

typedef enum cb_card_key_kind {
    CB_CARD_KEY_P256 = 1,
    CB_CARD_KEY_P384 = 2,
    CB_CARD_KEY_RSA_2048 = 3,
    CB_CARD_KEY_PASSWORD = 4 /* no key: a MAC of one, 32 bytes, that only hsmd can make
                                (hsm/password.h). Nothing verifies with it */
} cb_card_key_kind;

typedef struct cb_card_key {
    uint8_t use;  /* which of the card's keys it is, in numbers of the profile; 0: the only one */
    uint8_t kind; /* cb_card_key_kind */
    size_t len;
    uint8_t data[CB_CARD_KEY_MAX];
    cb_digest certificate; /* SHA-256 of the one that it was bound with; zero: it needs none */
} cb_card_key;

typedef struct cb_card_keys {
    size_t count;
    cb_card_key key[CB_CARD_KEYS_MAX];
} cb_card_keys;

typedef struct cb_card_signature {
    uint8_t use; /* by which key */
    size_t digest_len;
    uint8_t digest[CB_CARD_DIGEST_MAX];
    size_t len;
    uint8_t bytes[CB_CARD_SIGNATURE_MAX];
} cb_card_signature;

/* "ec-p256", "ec-p384", "rsa-2048"; NULL for others. */
const char *cb_card_key_kind_name(uint8_t kind);

/* The key of a point on P-256, for use 0. Whether it is on the curve is cb_card_key_ok's to say. */
cb_card_key cb_card_key_of_point(const uint8_t point[CB_P256_POINT]);

/* From DER SubjectPublicKeyInfo (RFC 5280, 4.1.2.7); use stays 0. CB_E_FORMAT for what is none, and
 * for a key of another kind. */
cb_error cb_card_key_of_spki(cb_bytes spki, cb_card_key *out);

/* Whether it is a key that can verify: a point on its curve; a modulus of 2048 bits and an odd
 * exponent above 65536. */
bool cb_card_key_ok(const cb_card_key *key);

/* The key of that use, or NULL. */
const cb_card_key *cb_card_keys_find(const cb_card_keys *keys, uint8_t use);

/* Sets the digest that a key of this kind signs. CB_E_ARGUMENT, CB_E_CRYPTO. */
cb_error cb_card_digest(uint8_t kind, cb_bytes message, cb_card_signature *out);

/* SHA-256's DigestInfo around a digest (RFC 8017, 9.2), as RSA signs it. */
enum { CB_DIGEST_INFO = 51 };
void cb_digest_info(const uint8_t digest[CB_SHA256_SIZE], uint8_t out[CB_DIGEST_INFO]);

/* An ECDSA signature as cards give it (DER, X9.62) beside the digest that stands there already.
 * CB_E_FORMAT for any other encoding than the one there is. */
cb_error cb_card_signature_ecdsa(cb_bytes der, cb_card_signature *out);

/* An RSA signature beside that digest: CB_E_CARD_ANSWER unless it is 256 bytes. */
cb_error cb_card_signature_rsa(cb_bytes signature, cb_card_signature *out);

/* Whether the signature is the key's, over the digest that stands beside it; check says
 * CB_E_CARD_PROOF when it is not, and CB_E_MEMORY when that could not be told. */
cb_error cb_card_key_check(const cb_card_key *key, const cb_card_signature *signature);
bool cb_card_key_verify(const cb_card_key *key, const cb_card_signature *signature);

#endif
