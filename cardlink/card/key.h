/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Private keys of applications that others have specified: RSA-2048, P-256 and P-384, done by
 * wolfCrypt. A key's secret is what a card's file keeps of it. Whoever holds one wipes it.
 *
 * Algorithms have the numbers of NIST SP 800-78-4, table 6-2.
 */
#ifndef CB_CARDLINK_CARD_VCARD_KEY_H
#define CB_CARDLINK_CARD_VCARD_KEY_H

#include "base/buf.h"

typedef enum cb_vcard_algorithm {
    CB_VCARD_NO_KEY = 0,
    CB_VCARD_RSA_2048 = 0x07,
    CB_VCARD_EC_P256 = 0x11,
    CB_VCARD_EC_P384 = 0x14
} cb_vcard_algorithm;

enum {
    CB_VCARD_SECRET_MAX = 1280, /* RSAPrivateKey of 2048 bits */
    CB_VCARD_RSA_SIZE = 256,
    CB_VCARD_SPKI_MAX = 320
};

typedef struct cb_vcard_key {
    uint8_t algorithm; /* cb_vcard_algorithm */
    uint16_t len;
    uint8_t secret[CB_VCARD_SECRET_MAX]; /* RSA: RSAPrivateKey (PKCS#1), else the scalar */
} cb_vcard_key;

typedef struct cb_vcard_public {
    uint8_t key[CB_VCARD_RSA_SIZE]; /* modulus, or the uncompressed point */
    size_t len;
    uint8_t exponent[8]; /* RSA */
    size_t exponent_len;
} cb_vcard_public;

/* Bytes of a coordinate, or of the modulus; 0: there is no such algorithm. */
size_t cb_vcard_key_size(uint8_t algorithm);

/* A fresh key: CB_E_ARGUMENT for an algorithm there is not, CB_E_CRYPTO. A key with this secret:
 * CB_E_FORMAT unless it is one. */
cb_error cb_vcard_key_generate(uint8_t algorithm, cb_vcard_key *out);
cb_error cb_vcard_key_of(uint8_t algorithm, cb_bytes secret, cb_vcard_key *out);

/* A private key in DER: PKCS #8, SEC 1 or PKCS #1. CB_E_FORMAT for any other than of these
 * algorithms. */
cb_error cb_vcard_key_import(cb_bytes der, cb_vcard_key *out);

cb_error cb_vcard_key_public(const cb_vcard_key *key, cb_vcard_public *out);

/* Appends SubjectPublicKeyInfo. */
cb_error cb_vcard_key_spki(const cb_vcard_key *key, cb_buf *der);

/* Appends an ECDSA signature (DER) over a digest of 1 byte up to a coordinate's size: CB_E_ARGUMENT
 * otherwise, and for an RSA key. */
cb_error cb_vcard_key_sign(const cb_vcard_key *key, cb_bytes digest, cb_buf *out);

/* Appends the result of RSA's private operation on 256 bytes, a number below the modulus:
 * CB_E_ARGUMENT otherwise. Padding is the caller's. */
cb_error cb_vcard_key_rsa(const cb_vcard_key *key, cb_bytes in, cb_buf *out);

/* Appends the X coordinate that an ECDH with a peer's uncompressed point gives: CB_E_ARGUMENT for
 * what is no point of the key's curve. */
cb_error cb_vcard_key_agree(const cb_vcard_key *key, cb_bytes peer, cb_buf *out);

#endif
