/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card_key.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "cardlink/x509/der.h"

enum { P384_HALF = 48, P384_POINT = 97, MODULUS = 256, EXPONENT_MIN = 65537 };

const char *cb_card_key_kind_name(uint8_t kind)
{
    static const char *const names[] = {[CB_CARD_KEY_P256] = "ec-p256",
                                        [CB_CARD_KEY_P384] = "ec-p384",
                                        [CB_CARD_KEY_RSA_2048] = "rsa-2048"};
    return kind < sizeof names / sizeof *names ? names[kind] : NULL;
}

static void set(cb_card_key *key, uint8_t kind, cb_bytes data)
{
    *key = (cb_card_key){.kind = kind, .len = data.len};
    memcpy(key->data, data.data, data.len);
}

cb_card_key cb_card_key_of_point(const uint8_t point[CB_P256_POINT])
{
    cb_card_key key;
    set(&key, CB_CARD_KEY_P256, cb_bytes_make(point, CB_P256_POINT));
    return key;
}

/* ---- Keys as certificates have them ---- */

/* The algorithm's identifiers with their parameters, whole. */
static uint8_t kind_of(cb_bytes algorithm)
{
    static const uint8_t p256[] = {0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
                                   0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
    static const uint8_t p384[] = {0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02,
                                   0x01, 0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22};
    static const uint8_t rsa[] = {0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7,
                                  0x0D, 0x01, 0x01, 0x01, 0x05, 0x00};
    if (cb_bytes_same(algorithm, CB_BYTES_OF(p256)))
        return CB_CARD_KEY_P256;
    if (cb_bytes_same(algorithm, CB_BYTES_OF(p384)))
        return CB_CARD_KEY_P384;
    return cb_bytes_same(algorithm, CB_BYTES_OF(rsa)) ? CB_CARD_KEY_RSA_2048 : 0;
}

cb_error cb_card_key_of_spki(cb_bytes spki, cb_card_key *out)
{
    cb_cursor inner = cb_der_open(spki, CB_DER_SEQUENCE);
    uint8_t kind = kind_of(cb_der_expect(&inner, CB_DER_SEQUENCE));
    cb_bytes data = cb_der_bits(&inner);
    *out = (cb_card_key){0};
    if (!cb_cursor_done(&inner) || kind == 0 || data.len > CB_CARD_KEY_MAX)
        return CB_E_FORMAT;
    set(out, kind, data);
    if (cb_card_key_ok(out))
        return CB_OK;
    *out = (cb_card_key){0};
    return CB_E_FORMAT;
}

/* ---- Keys ---- */

static bool rsa_ok(cb_bytes data)
{
    uint32_t e = 0;
    cb_cursor inner = cb_der_open(data, CB_DER_SEQUENCE);
    cb_bytes modulus = cb_der_unsigned(&inner, MODULUS);
    cb_bytes exponent = cb_der_unsigned(&inner, sizeof e);
    if (!cb_cursor_done(&inner))
        return false;
    for (size_t i = 0; i < exponent.len; i++)
        e = e << 8 | exponent.data[i];
    return modulus.len == MODULUS && modulus.data[0] & 0x80 && modulus.data[MODULUS - 1] & 1 &&
           e >= EXPONENT_MIN && e & 1;
}

/* As wolfCrypt does: 0 when it went well. */
static int import_point(const cb_card_key *key, ecc_key *ecc)
{
    bool p256 = key->kind == CB_CARD_KEY_P256;
    if (key->len != (size_t)(p256 ? CB_P256_POINT : P384_POINT) || key->data[0] != 0x04)
        return BAD_FUNC_ARG;
    return wc_ecc_import_x963_ex(key->data, (word32)key->len, ecc,
                                 p256 ? ECC_SECP256R1 : ECC_SECP384R1);
}

bool cb_card_key_ok(const cb_card_key *key)
{
    ecc_key ecc;
    if (key->len > CB_CARD_KEY_MAX)
        return false;
    if (key->kind == CB_CARD_KEY_RSA_2048)
        return rsa_ok(cb_bytes_make(key->data, key->len));
    if (!cb_card_key_kind_name(key->kind) || wc_ecc_init(&ecc) != 0)
        return false;
    bool good = import_point(key, &ecc) == 0 && wc_ecc_check_key(&ecc) == 0;
    wc_ecc_free(&ecc);
    return good;
}

const cb_card_key *cb_card_keys_find(const cb_card_keys *keys, uint8_t use)
{
    for (size_t i = 0; i < keys->count && i < CB_CARD_KEYS_MAX; i++) {
        if (keys->key[i].use == use)
            return &keys->key[i];
    }
    return NULL;
}

/* ---- Signatures ---- */

void cb_digest_info(const uint8_t digest[CB_SHA256_SIZE], uint8_t out[CB_DIGEST_INFO])
{
    static const uint8_t head[CB_DIGEST_INFO - CB_SHA256_SIZE] = {
        0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
        0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, digest, CB_SHA256_SIZE);
}

cb_error cb_card_digest(uint8_t kind, cb_bytes message, cb_card_signature *out)
{
    if (!cb_card_key_kind_name(kind))
        return CB_E_ARGUMENT;
    if (kind != CB_CARD_KEY_P384) {
        cb_digest digest = cb_sha256(message);
        out->digest_len = sizeof digest.bytes;
        memcpy(out->digest, digest.bytes, sizeof digest.bytes);
        return CB_OK;
    }
    out->digest_len = CB_CARD_DIGEST_MAX;
    return wc_Sha384Hash(message.data, (word32)message.len, out->digest) == 0 ? CB_OK : CB_E_CRYPTO;
}

cb_error cb_card_signature_ecdsa(cb_bytes der, cb_card_signature *out)
{
    size_t half = out->digest_len;
    cb_cursor inner = cb_der_open(der, CB_DER_SEQUENCE);
    cb_bytes r = cb_der_unsigned(&inner, half);
    cb_bytes s = cb_der_unsigned(&inner, half);
    if (!cb_cursor_done(&inner))
        return CB_E_FORMAT;
    out->len = 2 * half;
    memset(out->bytes, 0, out->len);
    memcpy(out->bytes + half - r.len, r.data, r.len);
    memcpy(out->bytes + 2 * half - s.len, s.data, s.len);
    return CB_OK;
}

cb_error cb_card_signature_rsa(cb_bytes signature, cb_card_signature *out)
{
    if (signature.len != MODULUS)
        return CB_E_CARD_ANSWER;
    memcpy(out->bytes, signature.data, MODULUS);
    out->len = MODULUS;
    return CB_OK;
}

/* A card whose signature could not be looked at has not signed wrongly. */
static cb_error judged(int status, bool good)
{
    if (status == MEMORY_E || status == MP_MEM)
        return CB_E_MEMORY;
    return status >= 0 && good ? CB_OK : CB_E_CARD_PROOF;
}

static cb_error ecdsa_check(const cb_card_key *key, const cb_card_signature *s)
{
    ecc_key ecc;
    int good = 0;
    size_t half = key->kind == CB_CARD_KEY_P256 ? CB_P256_SCALAR : P384_HALF;
    if (s->len != 2 * half || s->digest_len != half)
        return CB_E_CARD_PROOF;
    int status = wc_ecc_init(&ecc);
    if (status != 0)
        return judged(status, false);
    cb_buf der = CB_BUF(160);
    cb_ecdsa_to_der(cb_bytes_make(s->bytes, s->len), &der);
    if (cb_buf_error(&der))
        status = cb_buf_error(&der) == CB_E_MEMORY ? MEMORY_E : BAD_FUNC_ARG;
    if (status == 0)
        status = import_point(key, &ecc);
    if (status == 0)
        status = wc_ecc_verify_hash(der.data, (word32)der.len, s->digest, (word32)s->digest_len,
                                    &good, &ecc);
    cb_buf_free(&der);
    wc_ecc_free(&ecc);
    return judged(status, good == 1);
}

/* What was signed is made anew and compared whole, so that nothing is parsed that a forger may have
 * arranged. */
static cb_error rsa_check(const cb_card_key *key, const cb_card_signature *s)
{
    uint8_t plain[MODULUS], wanted[CB_DIGEST_INFO];
    RsaKey rsa;
    word32 at = 0;
    if (s->len != MODULUS || s->digest_len != CB_SHA256_SIZE)
        return CB_E_CARD_PROOF;
    int status = wc_InitRsaKey(&rsa, NULL);
    if (status != 0)
        return judged(status, false);
    cb_digest_info(s->digest, wanted);
    status = wc_RsaPublicKeyDecode(key->data, &at, &rsa, (word32)key->len);
    if (status == 0)
        status = wc_RsaSSL_Verify(s->bytes, (word32)s->len, plain, (word32)sizeof plain, &rsa);
    wc_FreeRsaKey(&rsa);
    return judged(status, status == CB_DIGEST_INFO && memcmp(plain, wanted, sizeof wanted) == 0);
}

cb_error cb_card_key_check(const cb_card_key *key, const cb_card_signature *signature)
{
    if (key->use != signature->use || !cb_card_key_kind_name(key->kind))
        return CB_E_CARD_PROOF;
    return key->kind == CB_CARD_KEY_RSA_2048 ? rsa_check(key, signature)
                                             : ecdsa_check(key, signature);
}

bool cb_card_key_verify(const cb_card_key *key, const cb_card_signature *signature)
{
    return cb_card_key_check(key, signature) == CB_OK;
}
