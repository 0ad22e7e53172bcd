/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The few cryptographic operations that more than one part needs, done by wolfCrypt. Keys that
 * matter live in the HSM and never come here; see hsm/token.h.
 *
 * P-256 points are uncompressed (04 ‖ X ‖ Y, 65 bytes), scalars 32 bytes, signatures r ‖ s (64 bytes).
 * Functions that can fail return CB_E_CRYPTO unless they say otherwise.
 */
#ifndef CB_BASE_CRYPTO_H
#define CB_BASE_CRYPTO_H

#include "base/buf.h"

enum {
    CB_SHA256_SIZE = 32,
    CB_P256_POINT = 65,
    CB_P256_SCALAR = 32,
    CB_P256_SIGNATURE = 64,
    CB_AES_BLOCK = 16
};

typedef struct cb_digest {
    uint8_t bytes[CB_SHA256_SIZE];
} cb_digest;

static inline cb_bytes cb_digest_bytes(const cb_digest *digest)
{
    return (cb_bytes){digest->bytes, CB_SHA256_SIZE};
}

/* SHA-256 over the parts, one after the other. Never fails. */
cb_digest cb_sha256(cb_bytes data);
cb_digest cb_sha256_parts(const cb_bytes *parts, size_t count);

cb_error cb_hmac_sha256(cb_bytes key, cb_bytes data, cb_digest *out);

/* A fresh key pair. */
cb_error cb_p256_generate(uint8_t scalar[CB_P256_SCALAR], uint8_t point[CB_P256_POINT]);

/* Whether 0 < d < n, the order of P-256 (SP 800-186, 3.2.1.3): whether it can be a private key. */
bool cb_p256_is_private(const uint8_t scalar[CB_P256_SCALAR]);

/* The point of a scalar. */
cb_error cb_p256_public(const uint8_t scalar[CB_P256_SCALAR], uint8_t point[CB_P256_POINT]);

/* Whether 65 bytes are a point on the curve (not the point at infinity). */
bool cb_p256_is_point(cb_bytes point);

/* ECDH: the X coordinate. The peer's point is checked to be on the curve. */
cb_error cb_p256_agree(const uint8_t scalar[CB_P256_SCALAR], cb_bytes peer,
                       uint8_t shared[CB_P256_SCALAR]);

/* ECDSA over a 32-byte digest. */
cb_error cb_p256_sign(const uint8_t scalar[CB_P256_SCALAR], const cb_digest *digest,
                      uint8_t signature[CB_P256_SIGNATURE]);

/* Whether the signature is by the point's key; check says CB_E_CRYPTO when it is not, and
 * CB_E_MEMORY when that could not be told. */
cb_error cb_p256_check(cb_bytes point, const cb_digest *digest, cb_bytes signature);
bool cb_p256_verify(cb_bytes point, const cb_digest *digest, cb_bytes signature);

/* ANSI X9.63 KDF with SHA-256 (SEC 1, 3.6.1). */
cb_error cb_kdf_x963(cb_bytes shared, cb_bytes info, uint8_t *out, size_t len);

/* AES-CMAC (RFC 4493) over the parts, one after the other; the key is 16, 24 or 32 bytes. */
cb_error cb_aes_cmac(cb_bytes key, const cb_bytes *parts, size_t count,
                     uint8_t out[CB_AES_BLOCK]);

/* AES-CBC without padding; len is a multiple of 16; in and out may be the same. */
cb_error cb_aes_cbc_encrypt(cb_bytes key, const uint8_t iv[CB_AES_BLOCK], cb_bytes in,
                            uint8_t *out);
cb_error cb_aes_cbc_decrypt(cb_bytes key, const uint8_t iv[CB_AES_BLOCK], cb_bytes in,
                            uint8_t *out);

/* One block (AES-ECB), for initialisation vectors. */
cb_error cb_aes_block(cb_bytes key, const uint8_t in[CB_AES_BLOCK], uint8_t out[CB_AES_BLOCK]);

/* r ‖ s to the DER form of X9.62 and back; der->len grows by at most 72 bytes. CB_E_FORMAT. */
void cb_ecdsa_to_der(cb_bytes raw, cb_buf *der);
cb_error cb_ecdsa_from_der(cb_bytes der, uint8_t *raw, size_t half);

#endif
