/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/csr.h"

#include <wolfssl/wolfcrypt/hash.h>

#include "base/tlv.h"
#include "hsm/key_sign.h"
#include "hsm/spki.h"

enum {
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_OID = 0x06,
    NAMES_MAX = 16,
    PAIRS_MAX = 4,
    PART_MAX = 4096
};

static const uint8_t ecdsa_sha256[] = {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
static const uint8_t ecdsa_sha384[] = {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03};
static const uint8_t rsa_sha256[] = {0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7,
                                     0x0D, 0x01, 0x01, 0x0B, 0x05, 0x00};

/* ---- The subject ---- */

static bool is_string(uint32_t tag)
{
    return tag == 0x0C || tag == 0x13 || tag == 0x16 || tag == 0x1E;
}

/* Whether what the cursor has just moved over was written with the shortest length, as DER wants it. */
static bool is_short(size_t before, const cb_cursor *cursor, cb_bytes value)
{
    size_t head = value.len < 0x80 ? 2 : value.len < 0x100 ? 3 : 4;
    return before - cursor->rest.len == head + value.len;
}

static cb_bytes der_expect(cb_cursor *cursor, uint32_t tag)
{
    size_t before = cursor->rest.len;
    cb_bytes value = cb_tlv_expect(cursor, tag);
    if (!is_short(before, cursor, value))
        cb_cursor_fail(cursor);
    return value;
}

static bool string_follows(cb_cursor *cursor)
{
    size_t before = cursor->rest.len;
    cb_tlv string;
    return cb_tlv_next(cursor, &string) && is_short(before, cursor, string.value) &&
           is_string(string.tag) && string.value.len > 0;
}

/* An object identifier ends where its last number ends. */
static bool is_oid(cb_bytes value)
{
    return value.len > 0 && !(value.data[value.len - 1] & 0x80);
}

/* AttributeTypeAndValue: an OID and a string. */
static void check_pair(cb_cursor *set)
{
    cb_cursor pair = cb_cursor_over(der_expect(set, TAG_SEQUENCE));
    cb_bytes oid = der_expect(&pair, TAG_OID);
    bool good = is_oid(oid) && string_follows(&pair) && cb_cursor_done(&pair);
    if (!good)
        cb_cursor_fail(set);
}

cb_error cb_csr_subject_check(cb_bytes subject)
{
    cb_cursor outer = cb_cursor_over(subject);
    if (subject.len > CB_SUBJECT_MAX)
        return CB_E_ARGUMENT;
    cb_cursor names = cb_cursor_over(der_expect(&outer, TAG_SEQUENCE));
    bool good = cb_cursor_done(&outer) && names.rest.len > 0;
    for (unsigned n = 0; good && names.rest.len > 0; n++) {
        cb_cursor set = cb_cursor_over(der_expect(&names, TAG_SET));
        good = n < NAMES_MAX && cb_cursor_ok(&names) && set.rest.len > 0;
        for (unsigned p = 0; good && set.rest.len > 0; p++) {
            check_pair(&set);
            good = p < PAIRS_MAX && cb_cursor_ok(&set);
        }
    }
    return good && cb_cursor_ok(&names) ? CB_OK : CB_E_ARGUMENT;
}

/* ---- The request ---- */

typedef struct signature_row {
    cb_bytes identifier;
    uint8_t hash;
} signature_row;

static cb_error row_of(uint8_t algorithm, signature_row *out)
{
    switch (algorithm) {
    case CB_KEY_EC_P256:
        *out = (signature_row){CB_BYTES_OF(ecdsa_sha256), CB_HASH_SHA256};
        return CB_OK;
    case CB_KEY_EC_P384:
        *out = (signature_row){CB_BYTES_OF(ecdsa_sha384), CB_HASH_SHA384};
        return CB_OK;
    case CB_KEY_RSA_2048:
    case CB_KEY_RSA_3072:
        *out = (signature_row){CB_BYTES_OF(rsa_sha256), CB_HASH_SHA256};
        return CB_OK;
    default:
        return CB_E_HSM_ALGORITHM;
    }
}

/* CertificationRequestInfo: version 0, subject, key, and no attributes ([0], empty). */
static void put_info(cb_buf *out, cb_bytes subject, cb_bytes public_key)
{
    static const uint8_t version[] = {0x02, 0x01, 0x00};
    static const uint8_t no_attributes[] = {0xA0, 0x00};
    cb_buf content = CB_BUF(PART_MAX);
    cb_buf_put(&content, CB_BYTES_OF(version));
    cb_buf_put(&content, subject);
    cb_buf_put(&content, public_key);
    cb_buf_put(&content, CB_BYTES_OF(no_attributes));
    if (cb_buf_error(&content))
        out->error = cb_buf_error(&content);
    cb_der_put_sequence(out, cb_buf_bytes(&content));
    cb_buf_free(&content);
}

static cb_error sign_info(cb_token *token, CK_OBJECT_HANDLE key, uint8_t algorithm, uint8_t hash,
                          cb_bytes info, cb_buf *out)
{
    uint8_t digest[WC_SHA384_DIGEST_SIZE];
    if (hash == CB_HASH_SHA384) {
        if (wc_Sha384Hash(info.data, (word32)info.len, digest) != 0)
            return CB_E_CRYPTO;
    } else {
        cb_digest sha256 = cb_sha256(info);
        memcpy(digest, sha256.bytes, sizeof sha256.bytes);
    }
    cb_buf raw = CB_BUF(1024);
    cb_error error = cb_key_sign(token, key, algorithm, CB_USE_SIGN_DIGEST, hash,
                                 cb_bytes_make(digest, cb_hash_size(hash)), &raw);
    bool ec = algorithm == CB_KEY_EC_P256 || algorithm == CB_KEY_EC_P384;
    if (!error && ec)
        cb_ecdsa_to_der(cb_buf_bytes(&raw), out);
    else if (!error)
        cb_buf_put(out, cb_buf_bytes(&raw));
    cb_buf_free(&raw);
    return error ? error : cb_buf_error(out);
}

cb_error cb_csr_make(cb_token *token, CK_OBJECT_HANDLE key, uint8_t algorithm, cb_bytes subject,
                     cb_bytes public_key, cb_buf *out)
{
    signature_row row;
    cb_buf request = CB_BUF(PART_MAX), signature = CB_BUF(1024);
    cb_error error = cb_csr_subject_check(subject);
    if (!error)
        error = row_of(algorithm, &row);
    if (!error) {
        put_info(&request, subject, public_key);
        error = cb_buf_error(&request);
    }
    if (!error)
        error = sign_info(token, key, algorithm, row.hash, cb_buf_bytes(&request), &signature);
    if (!error) {
        cb_der_put_sequence(&request, row.identifier);
        cb_der_put_bits(&request, cb_buf_bytes(&signature));
        error = cb_buf_error(&request);
    }
    if (!error) {
        cb_der_put_sequence(out, cb_buf_bytes(&request));
        error = cb_buf_error(out);
    }
    cb_buf_free(&request);
    cb_buf_free(&signature);
    return error;
}
