/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/key_sign.h"

/* DigestInfo up to the digest (RFC 8017, 9.2, note 1). */
static const uint8_t info_sha256[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
static const uint8_t info_sha384[] = {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30};
static const uint8_t info_sha512[] = {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40};

typedef struct hash_row {
    size_t size;
    cb_bytes info;
    CK_MECHANISM_TYPE mechanism;
    CK_RSA_PKCS_MGF_TYPE mgf;
} hash_row;

static const hash_row hashes[] = {
    [CB_HASH_SHA256] = {32, {info_sha256, sizeof info_sha256}, CKM_SHA256, CKG_MGF1_SHA256},
    [CB_HASH_SHA384] = {48, {info_sha384, sizeof info_sha384}, CKM_SHA384, CKG_MGF1_SHA384},
    [CB_HASH_SHA512] = {64, {info_sha512, sizeof info_sha512}, CKM_SHA512, CKG_MGF1_SHA512},
};

static const hash_row *row_of(uint8_t hash)
{
    return hash >= CB_HASH_SHA256 && hash <= CB_HASH_SHA512 ? &hashes[hash] : NULL;
}

size_t cb_hash_size(uint8_t hash)
{
    const hash_row *row = row_of(hash);
    return row ? row->size : 0;
}

static cb_error sign_ec(cb_token *token, CK_OBJECT_HANDLE key, size_t half, cb_bytes digest, cb_buf *out)
{
    static const CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    /* A digest longer than the order is cut to its leftmost bits (FIPS 186-5, 6.4.1). */
    cb_bytes part = cb_bytes_make(digest.data, digest.len < half ? digest.len : half);
    size_t before = out->len;
    cb_error error = cb_token_sign(token, key, &ecdsa, &part, 1, out);
    return !error && out->len - before != 2 * half ? CB_E_HSM_TOKEN : error;
}

static cb_error sign_rsa(cb_token *token, CK_OBJECT_HANDLE key, const hash_row *row, cb_bytes digest,
                         cb_buf *out)
{
    static const CK_MECHANISM pkcs1 = {CKM_RSA_PKCS, NULL, 0};
    cb_bytes parts[] = {row->info, digest};
    return cb_token_sign(token, key, &pkcs1, parts, 2, out);
}

static cb_error sign_pss(cb_token *token, CK_OBJECT_HANDLE key, const hash_row *row, cb_bytes digest,
                         cb_buf *out)
{
    CK_RSA_PKCS_PSS_PARAMS parameters = {row->mechanism, row->mgf, row->size};
    CK_MECHANISM pss = {CKM_RSA_PKCS_PSS, &parameters, sizeof parameters};
    return cb_token_sign(token, key, &pss, &digest, 1, out);
}

cb_error cb_key_sign(cb_token *token, CK_OBJECT_HANDLE key, uint8_t algorithm, uint8_t operation,
                     uint8_t hash, cb_bytes digest, cb_buf *out)
{
    const hash_row *row = row_of(hash);
    if (!row || digest.len != row->size)
        return CB_E_ARGUMENT;
    bool plain = operation == CB_USE_SIGN_DIGEST;
    switch (algorithm) {
    case CB_KEY_EC_P256:
        return plain ? sign_ec(token, key, 32, digest, out) : CB_E_HSM_ALGORITHM;
    case CB_KEY_EC_P384:
        return plain ? sign_ec(token, key, 48, digest, out) : CB_E_HSM_ALGORITHM;
    case CB_KEY_RSA_2048:
    case CB_KEY_RSA_3072:
        return plain ? sign_rsa(token, key, row, digest, out)
                     : sign_pss(token, key, row, digest, out);
    default:
        return CB_E_HSM_ALGORITHM;
    }
}
