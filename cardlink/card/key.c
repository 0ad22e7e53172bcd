/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/key.h"

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/secret.h"
#include "base/tlv.h"

enum { RSA_BITS = 2048, SIGNATURE_MAX = 160, COORDINATE_MAX = 48, PARTS_MAX = 512 };

static int curve_of(uint8_t algorithm)
{
    return algorithm == CB_VCARD_EC_P256 ? ECC_SECP256R1 : ECC_SECP384R1;
}

size_t cb_vcard_key_size(uint8_t algorithm)
{
    switch (algorithm) {
    case CB_VCARD_RSA_2048:
        return CB_VCARD_RSA_SIZE;
    case CB_VCARD_EC_P256:
        return 32;
    case CB_VCARD_EC_P384:
        return 48;
    default:
        return 0;
    }
}

static bool is_ec(const cb_vcard_key *key)
{
    return key->algorithm == CB_VCARD_EC_P256 || key->algorithm == CB_VCARD_EC_P384;
}

static cb_error error_of(int status)
{
    return status == 0 ? CB_OK : status == MEMORY_E ? CB_E_MEMORY : CB_E_CRYPTO;
}

static cb_error generate_ec(WC_RNG *rng, cb_vcard_key *out)
{
    ecc_key key;
    word32 len = sizeof out->secret;
    int size = (int)cb_vcard_key_size(out->algorithm);
    int status = wc_ecc_init(&key);
    if (status != 0)
        return error_of(status);
    status = wc_ecc_make_key_ex(rng, size, &key, curve_of(out->algorithm));
    if (status == 0)
        status = wc_ecc_export_private_only(&key, out->secret, &len);
    out->len = (uint16_t)len;
    wc_ecc_free(&key);
    return error_of(status);
}

static cb_error generate_rsa(WC_RNG *rng, cb_vcard_key *out)
{
    RsaKey key;
    int status = wc_InitRsaKey(&key, NULL);
    if (status != 0)
        return error_of(status);
    status = wc_MakeRsaKey(&key, RSA_BITS, WC_RSA_EXPONENT, rng);
    int len = status == 0 ? wc_RsaKeyToDer(&key, out->secret, sizeof out->secret) : 0;
    out->len = len > 0 ? (uint16_t)len : 0;
    wc_FreeRsaKey(&key);
    return error_of(len < 0 ? len : status);
}

cb_error cb_vcard_key_generate(uint8_t algorithm, cb_vcard_key *out)
{
    WC_RNG rng;
    *out = (cb_vcard_key){.algorithm = algorithm};
    if (cb_vcard_key_size(algorithm) == 0)
        return CB_E_ARGUMENT;
    cb_error error = error_of(wc_InitRng(&rng));
    if (error)
        return error;
    error = is_ec(out) ? generate_ec(&rng, out) : generate_rsa(&rng, out);
    wc_FreeRng(&rng);
    if (error)
        cb_wipe(out, sizeof *out);
    return error;
}

static int load_ec(const cb_vcard_key *key, ecc_key *out)
{
    int status = wc_ecc_init(out);
    if (status != 0)
        return status;
    status =
        wc_ecc_import_private_key_ex(key->secret, key->len, NULL, 0, out, curve_of(key->algorithm));
    if (status != 0)
        wc_ecc_free(out);
    return status;
}

static int load_rsa(const cb_vcard_key *key, RsaKey *out)
{
    word32 at = 0;
    int status = wc_InitRsaKey(out, NULL);
    if (status != 0)
        return status;
    status = wc_RsaPrivateKeyDecode(key->secret, &at, out, key->len);
    if (status == 0 && wc_RsaEncryptSize(out) != CB_VCARD_RSA_SIZE)
        status = BAD_FUNC_ARG;
    if (status != 0)
        wc_FreeRsaKey(out);
    return status;
}

cb_error cb_vcard_key_of(uint8_t algorithm, cb_bytes secret, cb_vcard_key *out)
{
    cb_vcard_public public;
    *out = (cb_vcard_key){.algorithm = algorithm, .len = (uint16_t)secret.len};
    size_t size = cb_vcard_key_size(algorithm);
    bool good = size > 0 && secret.len > 0 && secret.len <= sizeof out->secret &&
                (!is_ec(out) || secret.len == size);
    cb_error error = good ? CB_OK : CB_E_FORMAT;
    if (good) {
        memcpy(out->secret, secret.data, secret.len);
        error = cb_vcard_key_public(out, &public);
    }
    if (error)
        cb_wipe(out, sizeof *out);
    return error == CB_E_CRYPTO ? CB_E_FORMAT : error;
}

static int import_ec(cb_bytes der, cb_vcard_key *out)
{
    ecc_key key;
    word32 at = 0, len = sizeof out->secret;
    int status = wc_ecc_init(&key);
    if (status != 0)
        return status;
    status = wc_EccPrivateKeyDecode(der.data, &at, &key, (word32)der.len);
    if (status == 0)
        status = wc_ecc_export_private_only(&key, out->secret, &len);
    if (status == 0) {
        int curve = wc_ecc_get_curve_id(key.idx);
        out->algorithm = curve == ECC_SECP256R1   ? CB_VCARD_EC_P256
                         : curve == ECC_SECP384R1 ? CB_VCARD_EC_P384
                                                  : CB_VCARD_NO_KEY;
        out->len = (uint16_t)len;
    }
    wc_ecc_free(&key);
    return status;
}

static int import_rsa(cb_bytes der, cb_vcard_key *out)
{
    RsaKey key;
    word32 at = 0;
    int status = wc_InitRsaKey(&key, NULL);
    if (status != 0)
        return status;
    status = wc_RsaPrivateKeyDecode(der.data, &at, &key, (word32)der.len);
    if (status == 0 && wc_RsaEncryptSize(&key) == CB_VCARD_RSA_SIZE) {
        int len = wc_RsaKeyToDer(&key, out->secret, sizeof out->secret);
        out->len = len > 0 ? (uint16_t)len : 0;
        out->algorithm = len > 0 ? CB_VCARD_RSA_2048 : CB_VCARD_NO_KEY;
    }
    wc_FreeRsaKey(&key);
    return status;
}

cb_error cb_vcard_key_import(cb_bytes der, cb_vcard_key *out)
{
    *out = (cb_vcard_key){0};
    if (import_ec(der, out) != 0 && import_rsa(der, out) != 0)
        out->algorithm = CB_VCARD_NO_KEY;
    if (out->algorithm != CB_VCARD_NO_KEY)
        return CB_OK;
    cb_wipe(out, sizeof *out);
    return CB_E_FORMAT;
}

static int public_ec(const cb_vcard_key *key, cb_vcard_public *out)
{
    ecc_key loaded;
    word32 len = sizeof out->key;
    int status = load_ec(key, &loaded);
    if (status != 0)
        return status;
    status = wc_ecc_make_pub(&loaded, NULL);
    if (status == 0)
        status = wc_ecc_check_key(&loaded);
    if (status == 0)
        status = wc_ecc_export_x963(&loaded, out->key, &len);
    out->len = len;
    wc_ecc_free(&loaded);
    return status;
}

static int public_rsa(const cb_vcard_key *key, cb_vcard_public *out)
{
    RsaKey loaded;
    word32 len = sizeof out->key, exponent_len = sizeof out->exponent;
    int status = load_rsa(key, &loaded);
    if (status != 0)
        return status;
    status = wc_RsaFlattenPublicKey(&loaded, out->exponent, &exponent_len, out->key, &len);
    out->len = len;
    out->exponent_len = exponent_len;
    wc_FreeRsaKey(&loaded);
    return status;
}

cb_error cb_vcard_key_public(const cb_vcard_key *key, cb_vcard_public *out)
{
    *out = (cb_vcard_public){0};
    if (cb_vcard_key_size(key->algorithm) == 0)
        return CB_E_ARGUMENT;
    return error_of(is_ec(key) ? public_ec(key, out) : public_rsa(key, out));
}

/* A number that is not negative: a leading zero where its top bit is set. */
static void put_integer(cb_buf *der, cb_bytes number)
{
    uint8_t bytes[CB_VCARD_RSA_SIZE + 1] = {0};
    size_t sign = number.len > 0 && number.data[0] & 0x80 ? 1 : 0;
    memcpy(&bytes[sign], number.data, number.len);
    cb_tlv_put(der, 0x02, cb_bytes_make(bytes, number.len + sign));
}

static void put_bits(cb_buf *der, cb_bytes bytes)
{
    cb_buf bits = CB_BUF(PARTS_MAX);
    cb_buf_put_u8(&bits, 0);
    cb_buf_put(&bits, bytes);
    if (cb_buf_error(&bits) && !der->error)
        der->error = cb_buf_error(&bits);
    cb_tlv_put(der, 0x03, cb_buf_bytes(&bits));
    cb_buf_free(&bits);
}

cb_error cb_vcard_key_spki(const cb_vcard_key *key, cb_buf *der)
{
    /* AlgorithmIdentifiers: RFC 5480, 2.1.1; RFC 3279, 2.3.1. */
    static const uint8_t p256[] = {0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01,
                                   0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
    static const uint8_t p384[] = {0x30, 0x10, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D,
                                   0x02, 0x01, 0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22};
    static const uint8_t rsa[] = {0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                                  0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00};
    cb_vcard_public public;
    cb_buf body = CB_BUF(PARTS_MAX), inner = CB_BUF(PARTS_MAX), numbers = CB_BUF(PARTS_MAX);
    cb_error error = cb_vcard_key_public(key, &public);
    if (error)
        return error;
    cb_bytes first = cb_bytes_make(public.key, public.len);
    if (is_ec(key)) {
        cb_buf_put(&body,
                   key->algorithm == CB_VCARD_EC_P256 ? CB_BYTES_OF(p256) : CB_BYTES_OF(p384));
        put_bits(&body, first);
    } else {
        put_integer(&numbers, first);
        put_integer(&numbers, cb_bytes_make(public.exponent, public.exponent_len));
        cb_tlv_put(&inner, 0x30, cb_buf_bytes(&numbers));
        cb_buf_put(&body, CB_BYTES_OF(rsa));
        put_bits(&body, cb_buf_bytes(&inner));
    }
    error = cb_buf_error(&numbers) ? cb_buf_error(&numbers) : cb_buf_error(&inner);
    error = error ? error : cb_buf_error(&body);
    if (!error) {
        cb_tlv_put(der, 0x30, cb_buf_bytes(&body));
        error = cb_buf_error(der);
    }
    cb_buf_free(&numbers);
    cb_buf_free(&inner);
    cb_buf_free(&body);
    return error;
}

cb_error cb_vcard_key_sign(const cb_vcard_key *key, cb_bytes digest, cb_buf *out)
{
    ecc_key loaded;
    WC_RNG rng;
    uint8_t der[SIGNATURE_MAX], number[COORDINATE_MAX] = {0};
    word32 len = sizeof der, size = (word32)cb_vcard_key_size(key->algorithm);
    if (!is_ec(key) || digest.len == 0 || digest.len > size)
        return CB_E_ARGUMENT;
    /* A digest that is shorter than the order is the same number with zeros in front. */
    memcpy(&number[size - digest.len], digest.data, digest.len);
    int status = wc_InitRng(&rng);
    if (status != 0)
        return error_of(status);
    status = load_ec(key, &loaded);
    if (status == 0) {
        status = wc_ecc_sign_hash(number, size, der, &len, &rng, &loaded);
        wc_ecc_free(&loaded);
    }
    wc_FreeRng(&rng);
    if (status == 0)
        cb_buf_put(out, cb_bytes_make(der, len));
    return status == 0 ? cb_buf_error(out) : error_of(status);
}

static bool below(cb_bytes number, cb_bytes limit)
{
    return number.len == limit.len && memcmp(number.data, limit.data, limit.len) < 0;
}

static int rsa_private(const cb_vcard_key *key, cb_bytes in, uint8_t out[CB_VCARD_RSA_SIZE])
{
    RsaKey loaded;
    WC_RNG rng;
    uint8_t number[CB_VCARD_RSA_SIZE];
    word32 len = CB_VCARD_RSA_SIZE;
    memcpy(number, in.data, sizeof number);
    int status = wc_InitRng(&rng);
    if (status != 0)
        return status;
    status = load_rsa(key, &loaded);
    if (status == 0) {
        status = wc_RsaSetRNG(&loaded, &rng); /* for blinding */
        if (status == 0)
            status =
                wc_RsaDirect(number, sizeof number, out, &len, &loaded, RSA_PRIVATE_ENCRYPT, &rng);
        wc_FreeRsaKey(&loaded);
    }
    wc_FreeRng(&rng);
    cb_wipe(number, sizeof number);
    return status >= 0 && len == CB_VCARD_RSA_SIZE ? 0 : status < 0 ? status : RSA_BUFFER_E;
}

cb_error cb_vcard_key_rsa(const cb_vcard_key *key, cb_bytes in, cb_buf *out)
{
    cb_vcard_public public;
    uint8_t result[CB_VCARD_RSA_SIZE];
    if (key->algorithm != CB_VCARD_RSA_2048)
        return CB_E_ARGUMENT;
    cb_error error = cb_vcard_key_public(key, &public);
    if (!error && !below(in, cb_bytes_make(public.key, public.len)))
        error = CB_E_ARGUMENT;
    if (!error)
        error = error_of(rsa_private(key, in, result));
    if (!error) {
        cb_buf_put(out, CB_BYTES_OF(result));
        error = cb_buf_error(out);
    }
    cb_wipe(result, sizeof result);
    return error;
}

static bool load_peer(const cb_vcard_key *key, cb_bytes peer, ecc_key *out)
{
    if (peer.len != 1 + 2 * cb_vcard_key_size(key->algorithm) || peer.data[0] != 0x04)
        return false;
    return wc_ecc_import_x963_ex(peer.data, (word32)peer.len, out, curve_of(key->algorithm)) == 0 &&
           wc_ecc_check_key(out) == 0;
}

static int agree(const cb_vcard_key *key, ecc_key *peer, uint8_t out[COORDINATE_MAX], word32 *len)
{
    ecc_key own;
    WC_RNG rng;
    int status = wc_InitRng(&rng);
    if (status != 0)
        return status;
    status = load_ec(key, &own);
    if (status == 0) {
        status = wc_ecc_set_rng(&own, &rng);
        if (status == 0)
            status = wc_ecc_shared_secret(&own, peer, out, len);
        wc_ecc_free(&own);
    }
    wc_FreeRng(&rng);
    return status;
}

cb_error cb_vcard_key_agree(const cb_vcard_key *key, cb_bytes peer, cb_buf *out)
{
    ecc_key other;
    uint8_t shared[COORDINATE_MAX];
    word32 len = sizeof shared;
    if (!is_ec(key))
        return CB_E_ARGUMENT;
    cb_error error = error_of(wc_ecc_init(&other));
    if (error)
        return error;
    error =
        load_peer(key, peer, &other) ? error_of(agree(key, &other, shared, &len)) : CB_E_ARGUMENT;
    wc_ecc_free(&other);
    if (!error) {
        cb_buf_put(out, cb_bytes_make(shared, len));
        error = cb_buf_error(out);
    }
    cb_wipe(shared, sizeof shared);
    return error;
}
