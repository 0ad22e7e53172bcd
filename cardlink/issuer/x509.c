/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/x509.h"

#include <stdio.h>
#include <time.h>

#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "base/crypto.h"
#include "base/secret.h"
#include "cardlink/x509/der.h"

enum { SERIAL = 16, COMMON_NAME_MAX = 64, KEY_ID = 20, UTF8_STRING = 0x0C, LINE = 64 };

/* Ends an object that was written inside body, which is freed. */
static void wrap(cb_buf *out, uint8_t tag, cb_buf *body)
{
    if (cb_buf_error(body) && !out->error)
        out->error = cb_buf_error(body);
    cb_der_put(out, tag, cb_buf_bytes(body));
    cb_buf_free(body);
}

cb_error cb_issue_name(cb_bytes common, cb_buf *der)
{
    static const uint8_t common_name[] = {0x55, 0x04, 0x03};
    cb_buf pair = CB_BUF(CB_ISSUE_NAME_MAX), one = CB_BUF(CB_ISSUE_NAME_MAX),
           set = CB_BUF(CB_ISSUE_NAME_MAX);
    if (common.len == 0 || common.len > COMMON_NAME_MAX)
        return CB_E_ARGUMENT;
    cb_der_put(&pair, CB_DER_OID, CB_BYTES_OF(common_name));
    cb_der_put(&pair, UTF8_STRING, common);
    wrap(&one, CB_DER_SEQUENCE, &pair);
    wrap(&set, CB_DER_SET, &one);
    wrap(der, CB_DER_SEQUENCE, &set);
    return cb_buf_error(der);
}

void cb_issue_extension(cb_buf *extensions, cb_bytes oid, bool critical, cb_bytes value)
{
    cb_buf body = CB_BUF(CB_ISSUE_X509_MAX);
    cb_der_put(&body, CB_DER_OID, oid);
    if (critical)
        cb_der_put(&body, CB_DER_BOOLEAN, cb_bytes_make("\xFF", 1));
    cb_der_put(&body, CB_DER_OCTET_STRING, value);
    wrap(extensions, CB_DER_SEQUENCE, &body);
}

/* UTCTime up to 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
static void put_time(cb_buf *der, int64_t seconds)
{
    char text[64];
    struct tm day;
    time_t at = (time_t)seconds;
    gmtime_r(&at, &day);
    bool late = day.tm_year >= 150;
    strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &day);
    cb_der_put(der, late ? CB_DER_GENERALIZED_TIME : CB_DER_UTC_TIME,
               cb_bytes_str(late ? text : &text[2]));
}

/* AlgorithmIdentifiers of the signatures (RFC 5758, 3.2; RFC 4055, 5). */
static cb_bytes signature_algorithm(uint8_t algorithm)
{
    static const uint8_t p256[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                   0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
    static const uint8_t p384[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                   0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03};
    static const uint8_t rsa[] = {0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                                  0xF7, 0x0D, 0x01, 0x01, 0x0B, 0x05, 0x00};
    return algorithm == CB_VCARD_EC_P256   ? CB_BYTES_OF(p256)
           : algorithm == CB_VCARD_EC_P384 ? CB_BYTES_OF(p384)
                                           : CB_BYTES_OF(rsa);
}

/* PKCS #1 v1.5 with SHA-256 (RFC 8017, 9.2). */
static void pad(const cb_digest *digest, uint8_t out[CB_VCARD_RSA_SIZE])
{
    static const uint8_t info[] = {0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                   0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    size_t tail = sizeof info + CB_SHA256_SIZE;
    memset(out, 0xFF, CB_VCARD_RSA_SIZE);
    out[0] = 0x00;
    out[1] = 0x01;
    out[CB_VCARD_RSA_SIZE - tail - 1] = 0x00;
    memcpy(&out[CB_VCARD_RSA_SIZE - tail], info, sizeof info);
    memcpy(&out[CB_VCARD_RSA_SIZE - CB_SHA256_SIZE], digest->bytes, CB_SHA256_SIZE);
}

static cb_error sign(const cb_vcard_key *key, cb_bytes text, cb_buf *signature)
{
    uint8_t long_digest[WC_SHA384_DIGEST_SIZE], block[CB_VCARD_RSA_SIZE];
    cb_digest digest = cb_sha256(text);
    if (key->algorithm == CB_VCARD_RSA_2048) {
        pad(&digest, block);
        return cb_vcard_key_rsa(key, CB_BYTES_OF(block), signature);
    }
    if (key->algorithm == CB_VCARD_EC_P256)
        return cb_vcard_key_sign(key, cb_digest_bytes(&digest), signature);
    if (wc_Sha384Hash(text.data, (word32)text.len, long_digest) != 0)
        return CB_E_CRYPTO;
    return cb_vcard_key_sign(key, CB_BYTES_OF(long_digest), signature);
}

/* Identifiers of keys: the first bytes of SHA-256 over SubjectPublicKeyInfo (RFC 7093, 2). */
static void put_key_ids(cb_buf *extensions, cb_bytes spki, const cb_issue_signer *signer)
{
    static const uint8_t subject_id[] = {0x55, 0x1D, 0x0E}, authority_id[] = {0x55, 0x1D, 0x23};
    cb_digest digest = cb_sha256(spki);
    cb_buf own = CB_BUF(CB_ISSUE_NAME_MAX), part = CB_BUF(CB_ISSUE_NAME_MAX),
           other = CB_BUF(CB_ISSUE_NAME_MAX);
    cb_der_put(&own, CB_DER_OCTET_STRING, cb_bytes_make(digest.bytes, KEY_ID));
    cb_issue_extension(extensions, CB_BYTES_OF(subject_id), false, cb_buf_bytes(&own));
    if (signer && signer->key_id.len > 0) {
        cb_der_put(&part, CB_DER_CONTEXT, cb_buf_bytes(&signer->key_id));
        wrap(&other, CB_DER_SEQUENCE, &part);
        cb_issue_extension(extensions, CB_BYTES_OF(authority_id), false, cb_buf_bytes(&other));
    }
    cb_buf_free(&own);
    cb_buf_free(&other);
}

/* TBSCertificate (RFC 5280, 4.1.2). */
static void put_body(cb_buf *out, const cb_issue_x509 *what, cb_bytes spki, cb_bytes algorithm,
                     const cb_issue_signer *signer)
{
    uint8_t serial[SERIAL];
    cb_buf body = CB_BUF(CB_ISSUE_X509_MAX), version = CB_BUF(16), dates = CB_BUF(64),
           list = CB_BUF(CB_ISSUE_X509_MAX), sequence = CB_BUF(CB_ISSUE_X509_MAX);
    cb_random(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x7F) | 0x40); /* positive, and no zero in front */
    cb_der_put(&version, CB_DER_INTEGER, cb_bytes_make("\x02", 1));
    wrap(&body, CB_DER_CONSTRUCTED, &version);
    cb_der_put(&body, CB_DER_INTEGER, CB_BYTES_OF(serial));
    cb_buf_put(&body, algorithm);
    cb_buf_put(&body, signer ? cb_buf_bytes(&signer->name) : what->subject);
    put_time(&dates, what->not_before);
    put_time(&dates, what->not_after);
    wrap(&body, CB_DER_SEQUENCE, &dates);
    cb_buf_put(&body, what->subject);
    cb_buf_put(&body, spki);
    cb_buf_put(&list, what->extensions);
    put_key_ids(&list, spki, signer);
    wrap(&sequence, CB_DER_SEQUENCE, &list);
    wrap(&body, CB_DER_CONSTRUCTED + 3, &sequence);
    wrap(out, CB_DER_SEQUENCE, &body);
}

cb_error cb_issue_x509_make(const cb_issue_x509 *what, const cb_issue_signer *signer,
                            cb_buf *certificate)
{
    const cb_vcard_key *key = signer ? &signer->key : what->key;
    cb_bytes algorithm = signature_algorithm(key->algorithm);
    cb_buf spki = CB_BUF(CB_VCARD_SPKI_MAX), signature = CB_BUF(CB_ISSUE_X509_MAX),
           bits = CB_BUF(CB_ISSUE_X509_MAX), whole = CB_BUF(CB_ISSUE_X509_MAX);
    cb_error error = cb_vcard_key_spki(what->key, &spki);
    if (!error) {
        put_body(&whole, what, cb_buf_bytes(&spki), algorithm, signer);
        error = cb_buf_error(&whole);
    }
    if (!error)
        error = sign(key, cb_buf_bytes(&whole), &signature);
    cb_buf_put(&whole, algorithm);
    cb_buf_put_u8(&bits, 0);
    cb_buf_put(&bits, cb_buf_bytes(&signature));
    wrap(&whole, CB_DER_BIT_STRING, &bits);
    if (!error)
        error = cb_buf_error(&whole);
    if (!error) {
        cb_der_put(certificate, CB_DER_SEQUENCE, cb_buf_bytes(&whole));
        error = cb_buf_error(certificate);
    }
    cb_buf_free(&spki);
    cb_buf_free(&signature);
    cb_buf_free(&whole);
    return error;
}

void cb_issue_pem(cb_bytes certificate, cb_buf *text)
{
    cb_cursor cursor = cb_cursor_over(certificate);
    cb_buf_put_str(text, "-----BEGIN CERTIFICATE-----\n");
    while (cursor.rest.len > 0) {
        uint8_t line[LINE + 8];
        word32 len = sizeof line;
        size_t most = LINE / 4 * 3;
        cb_bytes part = cb_cursor_take(&cursor, cursor.rest.len < most ? cursor.rest.len : most);
        if (Base64_Encode_NoNl(part.data, (word32)part.len, line, &len) != 0) {
            text->error = text->error ? text->error : CB_E_CRYPTO;
            return;
        }
        cb_buf_put(text, cb_bytes_make(line, len));
        cb_buf_put_u8(text, '\n');
    }
    cb_buf_put_str(text, "-----END CERTIFICATE-----\n");
}

void cb_issue_dates(unsigned years, int64_t *not_before, int64_t *not_after)
{
    struct tm day;
    time_t now = time(NULL);
    gmtime_r(&now, &day);
    day.tm_year += (int)years;
    *not_before = now - now % 86400;
    *not_after = (int64_t)timegm(&day);
}
