/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/x509/signature.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/rsa.h>

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 4096, EXPONENT_MAX = 8, DIGEST_INFO_MAX = 96 };

#define OID(...)                                                                                   \
    {                                                                                              \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                     \
    }
#define PKCS1(n) OID(0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, n)
#define ECDSA_SHA2(n) OID(0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, n)
#define SHA2(n) OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, n)

static const cb_bytes rsa_key = PKCS1(0x01), mask = PKCS1(0x08), pss = PKCS1(0x0A);
static const cb_bytes ec_key = OID(0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01);
static const cb_bytes p256 = OID(0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07);
static const cb_bytes p384 = OID(0x2B, 0x81, 0x04, 0x00, 0x22);

typedef enum scheme { PKCS1_V15, PSS, ECDSA } scheme;

static const struct {
    cb_bytes oid;
    scheme scheme;
    enum wc_HashType hash;
} algorithms[] = {
    {PKCS1(0x0B), PKCS1_V15, WC_HASH_TYPE_SHA256},  {PKCS1(0x0C), PKCS1_V15, WC_HASH_TYPE_SHA384},
    {PKCS1(0x0D), PKCS1_V15, WC_HASH_TYPE_SHA512},  {ECDSA_SHA2(0x02), ECDSA, WC_HASH_TYPE_SHA256},
    {ECDSA_SHA2(0x03), ECDSA, WC_HASH_TYPE_SHA384}, {ECDSA_SHA2(0x04), ECDSA, WC_HASH_TYPE_SHA512},
};

static const struct {
    cb_bytes oid;
    enum wc_HashType hash;
} hashes[] = {
    {SHA2(0x01), WC_HASH_TYPE_SHA256},
    {SHA2(0x02), WC_HASH_TYPE_SHA384},
    {SHA2(0x03), WC_HASH_TYPE_SHA512},
};

/* NULL, or nothing at all. */
static bool is_null(cb_cursor *in)
{
    cb_bytes value;
    if (in->rest.len == 0)
        return cb_cursor_ok(in);
    return cb_der_optional(in, CB_DER_NULL, &value) && value.len == 0 && cb_cursor_done(in);
}

/* ---- keys ---- */

static cb_error read_point(cb_x509_key_kind kind, cb_bytes point, cb_x509_key *out)
{
    ecc_key key;
    size_t size = kind == CB_X509_KEY_P256 ? 65 : 97;
    int curve = kind == CB_X509_KEY_P256 ? ECC_SECP256R1 : ECC_SECP384R1;
    if (point.len != size || point.data[0] != 4)
        return CB_E_CERTIFICATE_ALGORITHM;
    int status = wc_ecc_init(&key);
    if (status == 0) {
        status = wc_ecc_import_x963_ex(point.data, (word32)point.len, &key, curve);
        if (status == 0)
            status = wc_ecc_check_key(&key);
        wc_ecc_free(&key);
    }
    *out = (cb_x509_key){.kind = kind, .point = point};
    return status == 0 ? CB_OK : status == MEMORY_E ? CB_E_MEMORY : CB_E_CERTIFICATE_ALGORITHM;
}

static unsigned bits_of(cb_bytes number)
{
    unsigned bits = 8 * (unsigned)number.len;
    for (uint8_t top = number.len ? number.data[0] : 0; bits > 0 && !(top & 0x80);
         top = (uint8_t)(top << 1))
        bits--;
    return bits;
}

static bool is_odd(cb_bytes number) { return number.len > 0 && number.data[number.len - 1] & 1; }

static cb_error read_rsa(cb_bytes content, cb_x509_key *out)
{
    cb_cursor in = cb_der_open(content, CB_DER_SEQUENCE);
    cb_x509_key key = {.kind = CB_X509_KEY_RSA};
    key.modulus = cb_der_unsigned(&in, RSA_BITS_MAX / 8);
    key.exponent = cb_der_unsigned(&in, EXPONENT_MAX);
    *out = key;
    bool good = cb_cursor_done(&in) && is_odd(key.modulus) && is_odd(key.exponent) &&
                bits_of(key.modulus) >= RSA_BITS_MIN && bits_of(key.exponent) > 16;
    return good ? CB_OK : CB_E_CERTIFICATE_ALGORITHM;
}

cb_error cb_x509_key_read(cb_bytes public_key, cb_x509_key *out)
{
    cb_cursor in = cb_der_open(public_key, CB_DER_SEQUENCE);
    cb_cursor algorithm = cb_cursor_over(cb_der_expect(&in, CB_DER_SEQUENCE));
    cb_bytes oid = cb_der_expect(&algorithm, CB_DER_OID);
    cb_bytes content = cb_der_bits(&in);
    *out = (cb_x509_key){0};
    if (!cb_cursor_done(&in) || !cb_cursor_ok(&algorithm))
        return CB_E_CERTIFICATE_ALGORITHM;
    if (cb_bytes_same(oid, rsa_key))
        return is_null(&algorithm) ? read_rsa(content, out) : CB_E_CERTIFICATE_ALGORITHM;
    cb_bytes curve = cb_der_expect(&algorithm, CB_DER_OID);
    if (!cb_bytes_same(oid, ec_key) || !cb_cursor_done(&algorithm))
        return CB_E_CERTIFICATE_ALGORITHM;
    if (cb_bytes_same(curve, p256))
        return read_point(CB_X509_KEY_P256, content, out);
    return cb_bytes_same(curve, p384) ? read_point(CB_X509_KEY_P384, content, out)
                                      : CB_E_CERTIFICATE_ALGORITHM;
}

/* ---- algorithms ---- */

static bool read_hash(cb_cursor *in, enum wc_HashType *out)
{
    cb_cursor algorithm = cb_cursor_over(cb_der_expect(in, CB_DER_SEQUENCE));
    cb_bytes oid = cb_der_expect(&algorithm, CB_DER_OID);
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        *out = hashes[i].hash;
        if (cb_bytes_same(oid, hashes[i].oid))
            return is_null(&algorithm);
    }
    return false;
}

/* The content of an explicit tag. */
static cb_cursor open_tag(cb_cursor *in, unsigned number)
{
    return cb_cursor_over(cb_der_expect(in, (uint8_t)(CB_DER_CONSTRUCTED + number)));
}

/* RSASSA-PSS-params (RFC 4055, 3.1): one digest for the message and the mask, a salt as long; the
 * defaults, which stand for SHA-1, are not among what is accepted. */
static bool read_pss(cb_cursor *in, enum wc_HashType *hash)
{
    enum wc_HashType of_mask;
    uint16_t salt = 0;
    cb_cursor params = cb_cursor_over(cb_der_expect(in, CB_DER_SEQUENCE));
    cb_cursor first = open_tag(&params, 0);
    cb_cursor second = open_tag(&params, 1);
    cb_cursor third = open_tag(&params, 2);
    cb_cursor generator = cb_cursor_over(cb_der_expect(&second, CB_DER_SEQUENCE));
    bool good = cb_bytes_same(cb_der_expect(&generator, CB_DER_OID), mask) &&
                read_hash(&first, hash) && read_hash(&generator, &of_mask) && of_mask == *hash &&
                cb_der_small(cb_der_expect(&third, CB_DER_INTEGER), &salt);
    return good && salt == wc_HashGetDigestSize(*hash) && cb_cursor_done(in) &&
           cb_cursor_done(&params) && cb_cursor_done(&first) && cb_cursor_done(&second) &&
           cb_cursor_done(&third) && cb_cursor_done(&generator);
}

static bool read_algorithm(cb_bytes algorithm, scheme *how, enum wc_HashType *hash)
{
    cb_cursor in = cb_der_open(algorithm, CB_DER_SEQUENCE);
    cb_bytes oid = cb_der_expect(&in, CB_DER_OID);
    *how = PSS;
    if (cb_bytes_same(oid, pss))
        return read_pss(&in, hash);
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        *how = algorithms[i].scheme;
        *hash = algorithms[i].hash;
        if (cb_bytes_same(oid, algorithms[i].oid))
            return *how == ECDSA ? cb_cursor_done(&in) : is_null(&in);
    }
    return false;
}

/* ---- signatures ---- */

typedef struct digest {
    uint8_t bytes[64];
    word32 len;
    enum wc_HashType hash;
} digest;

static cb_error error_of(int status, bool good)
{
    if (status == MEMORY_E)
        return CB_E_MEMORY;
    return status >= 0 && good ? CB_OK : CB_E_CRYPTO;
}

static cb_error check_ecdsa(const cb_x509_key *from, const digest *of, cb_bytes signature)
{
    ecc_key key;
    int good = 0;
    int curve = from->kind == CB_X509_KEY_P256 ? ECC_SECP256R1 : ECC_SECP384R1;
    int status = wc_ecc_init(&key);
    if (status != 0)
        return error_of(status, false);
    status = wc_ecc_import_x963_ex(from->point.data, (word32)from->point.len, &key, curve);
    if (status == 0)
        status = wc_ecc_verify_hash(signature.data, (word32)signature.len, of->bytes, of->len,
                                    &good, &key);
    wc_ecc_free(&key);
    return error_of(status, good == 1);
}

static int oid_of(enum wc_HashType hash)
{
    return hash == WC_HASH_TYPE_SHA256 ? SHA256h : hash == WC_HASH_TYPE_SHA384 ? SHA384h : SHA512h;
}

/* What was signed is compared with what ought to be, so that no part of the padding goes unread. */
static cb_error check_pkcs1(RsaKey *key, const digest *of, cb_bytes signature)
{
    uint8_t expected[DIGEST_INFO_MAX], found[RSA_BITS_MAX / 8];
    word32 len = wc_EncodeSignature(expected, of->bytes, of->len, oid_of(of->hash));
    int status = wc_RsaSSL_Verify(signature.data, (word32)signature.len, found, sizeof found, key);
    return error_of(status, len > 0 && status == (int)len && memcmp(found, expected, len) == 0);
}

static cb_error check_pss(RsaKey *key, const digest *of, cb_bytes signature)
{
    uint8_t copy[RSA_BITS_MAX / 8];
    uint8_t *found = NULL;
    int generator = of->hash == WC_HASH_TYPE_SHA256   ? WC_MGF1SHA256
                    : of->hash == WC_HASH_TYPE_SHA384 ? WC_MGF1SHA384
                                                      : WC_MGF1SHA512;
    memcpy(copy, signature.data, signature.len);
    int len = wc_RsaPSS_VerifyInline_ex(copy, (word32)signature.len, &found, of->hash, generator,
                                        (int)of->len, key);
    if (len < 0)
        return error_of(len, false);
    int status = wc_RsaPSS_CheckPadding_ex(of->bytes, of->len, found, (word32)len, of->hash,
                                           (int)of->len, wc_RsaEncryptSize(key) * 8);
    return error_of(status, status == 0);
}

static cb_error check_rsa(const cb_x509_key *from, scheme how, const digest *of, cb_bytes signature)
{
    RsaKey key;
    if (signature.len != from->modulus.len)
        return CB_E_CRYPTO;
    int status = wc_InitRsaKey(&key, NULL);
    if (status != 0)
        return error_of(status, false);
    status = wc_RsaPublicKeyDecodeRaw(from->modulus.data, (word32)from->modulus.len,
                                      from->exponent.data, (word32)from->exponent.len, &key);
    cb_error error = error_of(status, status == 0);
    if (!error)
        error = how == PSS ? check_pss(&key, of, signature) : check_pkcs1(&key, of, signature);
    wc_FreeRsaKey(&key);
    return error;
}

cb_error cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                 cb_bytes signature)
{
    scheme how;
    digest of;
    cb_x509_key key;
    cb_error error = cb_x509_key_read(public_key, &key);
    if (error)
        return error;
    if (!read_algorithm(algorithm, &how, &of.hash) ||
        (how == ECDSA) != (key.kind != CB_X509_KEY_RSA))
        return CB_E_CERTIFICATE_ALGORITHM;
    of.len = (word32)wc_HashGetDigestSize(of.hash);
    int status = wc_Hash(of.hash, data.data, (word32)data.len, of.bytes, of.len);
    if (status != 0)
        return error_of(status, false);
    return how == ECDSA ? check_ecdsa(&key, &of, signature) : check_rsa(&key, how, &of, signature);
}
