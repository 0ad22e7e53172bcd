/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/crypto.h"

#include <pthread.h>
#include <stdlib.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/cmac.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/random.h>

#include "base/secret.h"

cb_digest cb_sha256_parts(const cb_bytes *parts, size_t count)
{
    cb_digest digest;
    wc_Sha256 sha;
    int status = wc_InitSha256(&sha);
    for (size_t i = 0; i < count && status == 0; i++) {
        if (parts[i].len > 0)
            status = wc_Sha256Update(&sha, parts[i].data, (word32)parts[i].len);
    }
    if (status == 0)
        status = wc_Sha256Final(&sha, digest.bytes);
    wc_Sha256Free(&sha);
    if (status != 0)
        abort(); /* a hash in software has no way to fail but a broken build */
    return digest;
}

cb_digest cb_sha256(cb_bytes data)
{
    return cb_sha256_parts(&data, 1);
}

cb_error cb_hmac_sha256(cb_bytes key, cb_bytes data, cb_digest *out)
{
    Hmac hmac;
    if (wc_HmacInit(&hmac, NULL, INVALID_DEVID) != 0)
        return CB_E_CRYPTO;
    int status = wc_HmacSetKey(&hmac, WC_SHA256, key.data, (word32)key.len);
    if (status == 0 && data.len > 0)
        status = wc_HmacUpdate(&hmac, data.data, (word32)data.len);
    if (status == 0)
        status = wc_HmacFinal(&hmac, out->bytes);
    wc_HmacFree(&hmac);
    return status == 0 ? CB_OK : CB_E_CRYPTO;
}

static pthread_key_t generator_key;

static void generator_end(void *rng)
{
    wc_FreeRng(rng);
}

static void generator_key_make(void)
{
    if (pthread_key_create(&generator_key, generator_end) != 0)
        abort();
}

/* One generator a thread: seeding one costs more than a signature. It is seeded again after fork, so that
 * two processes never draw the same numbers, and ends with its thread. */
static WC_RNG *generator(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Thread_local WC_RNG rng;
    static _Thread_local pid_t owner;
    pid_t self = getpid();
    if (owner == self)
        return &rng;
    if (owner != 0)
        wc_FreeRng(&rng);
    owner = wc_InitRng(&rng) == 0 ? self : 0;
    pthread_once(&once, generator_key_make);
    pthread_setspecific(generator_key, owner ? &rng : NULL);
    return owner ? &rng : NULL;
}

static cb_error export_point(ecc_key *key, uint8_t point[CB_P256_POINT])
{
    word32 len = CB_P256_POINT;
    if (wc_ecc_export_x963(key, point, &len) != 0 || len != CB_P256_POINT)
        return CB_E_CRYPTO;
    return CB_OK;
}

cb_error cb_p256_generate(uint8_t scalar[CB_P256_SCALAR], uint8_t point[CB_P256_POINT])
{
    ecc_key key;
    WC_RNG *rng = generator();
    word32 len = CB_P256_SCALAR;
    cb_error error = CB_E_CRYPTO;
    if (!rng || wc_ecc_init(&key) != 0)
        return CB_E_CRYPTO;
    if (wc_ecc_make_key_ex(rng, CB_P256_SCALAR, &key, ECC_SECP256R1) == 0 &&
        wc_ecc_export_private_only(&key, scalar, &len) == 0 && len == CB_P256_SCALAR)
        error = export_point(&key, point);
    wc_ecc_free(&key);
    return error;
}

static bool load_private(ecc_key *key, const uint8_t scalar[CB_P256_SCALAR])
{
    return wc_ecc_import_private_key_ex(scalar, CB_P256_SCALAR, NULL, 0, key, ECC_SECP256R1) == 0;
}

static bool load_public(ecc_key *key, cb_bytes point)
{
    return point.len == CB_P256_POINT && point.data[0] == 0x04 &&
           wc_ecc_import_x963_ex(point.data, (word32)point.len, key, ECC_SECP256R1) == 0;
}

bool cb_p256_is_private(const uint8_t scalar[CB_P256_SCALAR])
{
    static const uint8_t zero[CB_P256_SCALAR],
        n[CB_P256_SCALAR] = {0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF,
                             0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17,
                             0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51};
    return memcmp(scalar, n, sizeof n) < 0 && memcmp(scalar, zero, sizeof zero) != 0;
}

cb_error cb_p256_public(const uint8_t scalar[CB_P256_SCALAR], uint8_t point[CB_P256_POINT])
{
    ecc_key key;
    cb_error error = CB_E_CRYPTO;
    if (wc_ecc_init(&key) != 0)
        return error;
    if (load_private(&key, scalar) && wc_ecc_make_pub(&key, NULL) == 0)
        error = export_point(&key, point);
    wc_ecc_free(&key);
    return error;
}

bool cb_p256_is_point(cb_bytes point)
{
    ecc_key key;
    if (wc_ecc_init(&key) != 0)
        return false;
    bool good = load_public(&key, point) && wc_ecc_check_key(&key) == 0;
    wc_ecc_free(&key);
    return good;
}

cb_error cb_p256_agree(const uint8_t scalar[CB_P256_SCALAR], cb_bytes peer,
                       uint8_t shared[CB_P256_SCALAR])
{
    ecc_key own, other;
    word32 len = CB_P256_SCALAR;
    cb_error error = CB_E_CRYPTO;
    if (wc_ecc_init(&own) != 0)
        return error;
    if (wc_ecc_init(&other) != 0) {
        wc_ecc_free(&own);
        return error;
    }
    if (load_private(&own, scalar) && load_public(&other, peer) &&
        wc_ecc_check_key(&other) == 0 && generator() &&
        wc_ecc_set_rng(&own, generator()) == 0 &&
        wc_ecc_shared_secret(&own, &other, shared, &len) == 0 && len == CB_P256_SCALAR)
        error = CB_OK;
    wc_ecc_free(&own);
    wc_ecc_free(&other);
    return error;
}

void cb_ecdsa_to_der(cb_bytes raw, cb_buf *der)
{
    enum { DER_MAX = 160 };
    word32 half = (word32)(raw.len / 2);
    word32 len = DER_MAX;
    uint8_t *at = cb_buf_extend(der, DER_MAX);
    if (!at)
        return;
    if (wc_ecc_rs_raw_to_sig(raw.data, half, raw.data + half, half, at, &len) != 0) {
        der->error = CB_E_CRYPTO;
        len = 0;
    }
    der->len -= DER_MAX - len;
}

cb_error cb_ecdsa_from_der(cb_bytes der, uint8_t *raw, size_t half)
{
    uint8_t r[MAX_ECC_BYTES], s[MAX_ECC_BYTES];
    word32 r_len = sizeof r, s_len = sizeof s;
    if (wc_ecc_sig_to_rs(der.data, (word32)der.len, r, &r_len, s, &s_len) != 0 || r_len > half ||
        s_len > half)
        return CB_E_FORMAT;
    memset(raw, 0, 2 * half);
    memcpy(raw + half - r_len, r, r_len);
    memcpy(raw + 2 * half - s_len, s, s_len);
    return CB_OK;
}

cb_error cb_p256_sign(const uint8_t scalar[CB_P256_SCALAR], const cb_digest *digest,
                      uint8_t signature[CB_P256_SIGNATURE])
{
    ecc_key key;
    uint8_t der[ECC_MAX_SIG_SIZE];
    word32 len = sizeof der;
    WC_RNG *rng = generator();
    cb_error error = CB_E_CRYPTO;
    if (!rng || wc_ecc_init(&key) != 0)
        return error;
    if (load_private(&key, scalar) &&
        wc_ecc_sign_hash(digest->bytes, CB_SHA256_SIZE, der, &len, rng, &key) == 0)
        error = cb_ecdsa_from_der(cb_bytes_make(der, len), signature, CB_P256_SCALAR);
    wc_ecc_free(&key);
    return error;
}

static bool no_memory(int status) { return status == MEMORY_E || status == MP_MEM; }

cb_error cb_p256_check(cb_bytes point, const cb_digest *digest, cb_bytes signature)
{
    ecc_key key;
    int good = 0;
    if (signature.len != CB_P256_SIGNATURE || point.len != CB_P256_POINT || point.data[0] != 0x04)
        return CB_E_CRYPTO;
    int status = wc_ecc_init(&key);
    if (status != 0)
        return no_memory(status) ? CB_E_MEMORY : CB_E_CRYPTO;
    cb_buf der = CB_BUF(160);
    cb_ecdsa_to_der(signature, &der);
    cb_error error = cb_buf_error(&der);
    if (!error)
        status = wc_ecc_import_x963_ex(point.data, (word32)point.len, &key, ECC_SECP256R1);
    if (!error && status == 0)
        status = wc_ecc_verify_hash(der.data, (word32)der.len, digest->bytes, CB_SHA256_SIZE, &good,
                                    &key);
    if (!error && (status != 0 || good != 1))
        error = no_memory(status) ? CB_E_MEMORY : CB_E_CRYPTO;
    cb_buf_free(&der);
    wc_ecc_free(&key);
    return error;
}

bool cb_p256_verify(cb_bytes point, const cb_digest *digest, cb_bytes signature)
{
    return cb_p256_check(point, digest, signature) == CB_OK;
}

cb_error cb_kdf_x963(cb_bytes shared, cb_bytes info, uint8_t *out, size_t len)
{
    for (uint32_t counter = 1; len > 0; counter++) {
        uint8_t number[4] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16),
                             (uint8_t)(counter >> 8), (uint8_t)counter};
        cb_digest block = cb_sha256_parts((cb_bytes[]){shared, CB_BYTES_OF(number), info}, 3);
        size_t take = len < CB_SHA256_SIZE ? len : CB_SHA256_SIZE;
        memcpy(out, block.bytes, take);
        cb_wipe(&block, sizeof block);
        out += take;
        len -= take;
    }
    return CB_OK;
}

cb_error cb_aes_cmac(cb_bytes key, const cb_bytes *parts, size_t count, uint8_t out[CB_AES_BLOCK])
{
    Cmac cmac;
    word32 len = CB_AES_BLOCK;
    int status = wc_InitCmac(&cmac, key.data, (word32)key.len, WC_CMAC_AES, NULL);
    for (size_t i = 0; i < count && status == 0; i++) {
        if (parts[i].len > 0)
            status = wc_CmacUpdate(&cmac, parts[i].data, (word32)parts[i].len);
    }
    if (status == 0)
        status = wc_CmacFinal(&cmac, out, &len);
    cb_wipe(&cmac, sizeof cmac);
    return status == 0 ? CB_OK : CB_E_CRYPTO;
}

static cb_error aes_cbc(cb_bytes key, const uint8_t *iv, cb_bytes in, uint8_t *out, int direction)
{
    Aes aes;
    if (in.len % CB_AES_BLOCK != 0 || wc_AesInit(&aes, NULL, INVALID_DEVID) != 0)
        return CB_E_CRYPTO;
    int status = wc_AesSetKey(&aes, key.data, (word32)key.len, iv, direction);
    if (status == 0)
        status = direction == AES_ENCRYPTION
                     ? wc_AesCbcEncrypt(&aes, out, in.data, (word32)in.len)
                     : wc_AesCbcDecrypt(&aes, out, in.data, (word32)in.len);
    wc_AesFree(&aes);
    cb_wipe(&aes, sizeof aes);
    return status == 0 ? CB_OK : CB_E_CRYPTO;
}

cb_error cb_aes_cbc_encrypt(cb_bytes key, const uint8_t iv[CB_AES_BLOCK], cb_bytes in, uint8_t *out)
{
    return aes_cbc(key, iv, in, out, AES_ENCRYPTION);
}

cb_error cb_aes_cbc_decrypt(cb_bytes key, const uint8_t iv[CB_AES_BLOCK], cb_bytes in, uint8_t *out)
{
    return aes_cbc(key, iv, in, out, AES_DECRYPTION);
}

/* One block of CBC under a zero vector is the block cipher itself. */
cb_error cb_aes_block(cb_bytes key, const uint8_t in[CB_AES_BLOCK], uint8_t out[CB_AES_BLOCK])
{
    static const uint8_t zero[CB_AES_BLOCK];
    return aes_cbc(key, zero, cb_bytes_make(in, CB_AES_BLOCK), out, AES_ENCRYPTION);
}
