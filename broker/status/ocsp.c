/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/status/ocsp.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "base/secret.h"
#include "cardlink/x509/path.h"
#include "cardlink/x509/signature.h"

enum { SUCCESSFUL = 0, SHA1_SIZE = 20, CERTIFICATES_MAX = 4, ANSWERS_MAX = 16, REASON_NONE = 0xFF };

#define OID(...)                                                                                   \
    {                                                                                              \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                     \
    }
static const cb_bytes sha1 = OID(0x2B, 0x0E, 0x03, 0x02, 0x1A);
static const cb_bytes basic = OID(0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01);
static const cb_bytes nonce_oid = OID(0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02);

/* ---- who is asked about (4.1.1) ---- */

static cb_error hash_of(cb_bytes data, uint8_t out[SHA1_SIZE])
{
    return wc_ShaHash(data.data, (word32)data.len, out) == 0 ? CB_OK : CB_E_MEMORY;
}

/* The bits of the key alone, without its algorithm. */
static cb_error hash_of_key(const cb_x509 *certificate, uint8_t out[SHA1_SIZE])
{
    cb_cursor in = cb_der_open(certificate->public_key, CB_DER_SEQUENCE);
    cb_der_expect(&in, CB_DER_SEQUENCE);
    return hash_of(cb_der_bits(&in), out);
}

typedef struct hashes {
    uint8_t name[SHA1_SIZE];
    uint8_t key[SHA1_SIZE];
} hashes;

static cb_error hash_issuer(const cb_x509 *issuer, hashes *out)
{
    cb_error error = hash_of(issuer->subject, out->name);
    return error ? error : hash_of_key(issuer, out->key);
}

/* CertID. */
static void put_id(cb_buf *out, const hashes *issuer, cb_bytes serial)
{
    cb_buf algorithm = CB_BUF(32), number = CB_BUF(32), id = CB_BUF(256);
    cb_der_put(&algorithm, CB_DER_OID, sha1);
    cb_der_put(&algorithm, CB_DER_NULL, (cb_bytes){0});
    if (serial.len == 0 || serial.data[0] & 0x80)
        cb_buf_put_u8(&number, 0);
    cb_buf_put(&number, serial);
    cb_der_put(&id, CB_DER_SEQUENCE, cb_buf_bytes(&algorithm));
    cb_der_put(&id, CB_DER_OCTET_STRING, CB_BYTES_OF(issuer->name));
    cb_der_put(&id, CB_DER_OCTET_STRING, CB_BYTES_OF(issuer->key));
    cb_der_put(&id, CB_DER_INTEGER, cb_buf_bytes(&number));
    cb_error error = algorithm.error ? algorithm.error : number.error ? number.error : id.error;
    if (error)
        out->error = error;
    cb_der_put(out, CB_DER_SEQUENCE, cb_buf_bytes(&id));
    cb_buf_free(&algorithm);
    cb_buf_free(&number);
    cb_buf_free(&id);
}

/* ---- the question (4.1) ---- */

/* Puts what is in a buffer into an object, again in the buffer. */
static void wrap(cb_buf *content, uint8_t tag)
{
    cb_buf whole = CB_BUF(content->max);
    cb_der_put(&whole, tag, cb_buf_bytes(content));
    if (content->error)
        whole.error = content->error;
    cb_buf_free(content);
    *content = whole;
}

static void put_nonce(cb_buf *out, const uint8_t *nonce)
{
    cb_buf value = CB_BUF(256), extension = CB_BUF(256);
    cb_der_put(&value, CB_DER_OCTET_STRING, cb_bytes_make(nonce, CB_OCSP_NONCE));
    wrap(&value, CB_DER_OCTET_STRING);
    cb_der_put(&extension, CB_DER_OID, nonce_oid);
    cb_buf_put(&extension, cb_buf_bytes(&value));
    wrap(&extension, CB_DER_SEQUENCE);
    wrap(&extension, CB_DER_SEQUENCE);
    wrap(&extension, CB_DER_CONSTRUCTED + 2);
    if (value.error || extension.error)
        out->error = value.error ? value.error : extension.error;
    cb_buf_put(out, cb_buf_bytes(&extension));
    cb_buf_free(&value);
    cb_buf_free(&extension);
}

cb_error cb_ocsp_ask(const cb_ocsp_question *question, cb_buf *out)
{
    hashes issuer;
    cb_buf request = CB_BUF(1024);
    cb_error error = hash_issuer(question->issuer, &issuer);
    if (error)
        return error;
    put_id(&request, &issuer, question->serial);
    wrap(&request, CB_DER_SEQUENCE); /* Request */
    wrap(&request, CB_DER_SEQUENCE); /* requestList */
    if (question->nonce)
        put_nonce(&request, question->nonce);
    wrap(&request, CB_DER_SEQUENCE); /* TBSRequest */
    wrap(&request, CB_DER_SEQUENCE);
    error = cb_buf_error(&request);
    cb_buf_put(out, cb_buf_bytes(&request));
    cb_buf_free(&request);
    return error ? error : cb_buf_error(out);
}

/* ---- the answer (4.2.1) ---- */

typedef struct response {
    cb_bytes signed_bytes, algorithm, signature, certificates;
    cb_bytes responder_name; /* Name, as encoded; or */
    cb_bytes responder_key;  /* SHA-1 */
    cb_bytes answers, extensions;
} response;

static cb_error open_response(cb_bytes der, cb_bytes *out)
{
    cb_cursor outer = cb_der_open(der, CB_DER_SEQUENCE);
    cb_bytes status = cb_der_expect(&outer, CB_DER_ENUMERATED);
    if (!cb_cursor_ok(&outer) || status.len != 1)
        return CB_E_FORMAT;
    if (status.data[0] != SUCCESSFUL)
        return CB_E_SERVICE_REFUSED;
    cb_cursor explicit = cb_cursor_over(cb_der_expect(&outer, CB_DER_CONSTRUCTED + 0));
    cb_cursor in = cb_cursor_over(cb_der_expect(&explicit, CB_DER_SEQUENCE));
    bool known = cb_bytes_same(cb_der_expect(&in, CB_DER_OID), basic);
    *out = cb_der_expect(&in, CB_DER_OCTET_STRING);
    bool done = cb_cursor_done(&in) && cb_cursor_done(&explicit) && cb_cursor_done(&outer);
    return known && done ? CB_OK : CB_E_FORMAT;
}

static void read_responder(cb_cursor *in, response *out)
{
    cb_bytes value = {0};
    if (cb_der_optional(in, CB_DER_CONSTRUCTED + 1, &value)) {
        cb_cursor name = cb_cursor_over(value);
        out->responder_name = cb_der_whole(&name, CB_DER_SEQUENCE);
        if (!cb_cursor_done(&name))
            cb_cursor_fail(in);
        return;
    }
    cb_cursor key = cb_cursor_over(cb_der_expect(in, CB_DER_CONSTRUCTED + 2));
    out->responder_key = cb_der_expect(&key, CB_DER_OCTET_STRING);
    if (!cb_cursor_done(&key) || out->responder_key.len != SHA1_SIZE)
        cb_cursor_fail(in);
}

static bool read_response(cb_bytes der, response *out)
{
    cb_cursor outer = cb_der_open(der, CB_DER_SEQUENCE);
    *out = (response){0};
    out->signed_bytes = cb_der_whole(&outer, CB_DER_SEQUENCE);
    out->algorithm = cb_der_whole(&outer, CB_DER_SEQUENCE);
    out->signature = cb_der_bits(&outer);
    cb_der_optional(&outer, CB_DER_CONSTRUCTED + 0, &out->certificates);
    cb_cursor in = cb_der_open(out->signed_bytes, CB_DER_SEQUENCE); /* ResponseData, version 1 */
    read_responder(&in, out);
    cb_der_time(&in);
    out->answers = cb_der_expect(&in, CB_DER_SEQUENCE);
    cb_der_optional(&in, CB_DER_CONSTRUCTED + 1, &out->extensions);
    return cb_cursor_done(&outer) && cb_cursor_done(&in);
}

/* ---- who signed ---- */

static cb_error signed_by(const response *r, const cb_x509 *signer)
{
    return cb_x509_signature_check(signer->public_key, r->algorithm, r->signed_bytes, r->signature);
}

static bool is_responder(const response *r, const cb_x509 *certificate)
{
    uint8_t hash[SHA1_SIZE];
    if (r->responder_name.len > 0)
        return cb_bytes_same(r->responder_name, certificate->subject);
    return hash_of_key(certificate, hash) == CB_OK &&
           cb_bytes_same(r->responder_key, CB_BYTES_OF(hash));
}

/* Whether a certificate makes its holder a responder of the issuer. */
static cb_error check_delegate(const cb_x509 *delegate, const cb_x509 *issuer, int64_t time)
{
    bool signs = !delegate->has_key_usage || delegate->key_usage & CB_X509_DIGITAL_SIGNATURE;
    if (!signs || !cb_x509_has_usage(delegate, cb_oid_ocsp_signing) || delegate->unknown_critical)
        return CB_E_DENIED;
    cb_error error = cb_x509_is_issued_by(delegate, issuer);
    if (!error)
        error = cb_x509_check_dates(delegate, time);
    return error == CB_E_MEMORY || error == CB_E_CERTIFICATE_ALGORITHM ? error
           : error                                                     ? CB_E_DENIED
                                                                       : CB_OK;
}

static bool find_delegate(const response *r, cb_x509 *out)
{
    cb_cursor in = cb_der_open(r->certificates, CB_DER_SEQUENCE);
    for (unsigned i = 0; i < CERTIFICATES_MAX && cb_cursor_ok(&in) && in.rest.len > 0; i++) {
        cb_bytes der = cb_der_whole(&in, CB_DER_SEQUENCE);
        if (cb_cursor_ok(&in) && cb_x509_parse(der, out) == CB_OK && is_responder(r, out))
            return true;
    }
    return false;
}

static cb_error check_signer(const response *r, const cb_x509 *issuer, int64_t time,
                             cb_ocsp_answer *out)
{
    cb_x509 delegate;
    if (is_responder(r, issuer))
        return signed_by(r, issuer);
    if (!find_delegate(r, &delegate))
        return CB_E_DENIED;
    cb_error error = check_delegate(&delegate, issuer, time);
    if (!error)
        error = signed_by(r, &delegate);
    out->delegated = !delegate.no_status_check;
    out->responder_len = delegate.serial.len;
    memcpy(out->responder, delegate.serial.data, delegate.serial.len);
    return error;
}

/* ---- what is answered ---- */

/* Of the extensions of an answer, the nonce is what matters; nothing critical is known. */
static cb_error check_extensions(cb_bytes explicit, const uint8_t *nonce)
{
    bool repeated = false;
    cb_cursor list = explicit.len > 0 ? cb_der_open(explicit, CB_DER_SEQUENCE) : (cb_cursor){0};
    while (cb_cursor_ok(&list) && list.rest.len > 0) {
        cb_cursor in = cb_cursor_over(cb_der_expect(&list, CB_DER_SEQUENCE));
        cb_bytes oid = cb_der_expect(&in, CB_DER_OID);
        bool critical = cb_der_flag(&in);
        cb_cursor value = cb_cursor_over(cb_der_expect(&in, CB_DER_OCTET_STRING));
        if (!cb_cursor_done(&in))
            return CB_E_FORMAT;
        if (!cb_bytes_same(oid, nonce_oid)) {
            if (critical)
                return CB_E_FORMAT;
            continue;
        }
        cb_bytes said = cb_der_expect(&value, CB_DER_OCTET_STRING);
        repeated =
            nonce && cb_cursor_done(&value) && cb_equal(said, cb_bytes_make(nonce, CB_OCSP_NONCE));
    }
    if (!cb_cursor_ok(&list))
        return CB_E_FORMAT;
    return nonce && !repeated ? CB_E_CRYPTO : CB_OK;
}

/* CertStatus: good [0], revoked [1], unknown [2]. */
static bool read_status(cb_cursor *in, cb_ocsp_answer *out)
{
    cb_der status;
    out->reason = REASON_NONE;
    if (!cb_der_next(in, &status))
        return false;
    if (status.tag == CB_DER_CONTEXT + 0 || status.tag == CB_DER_CONTEXT + 2) {
        out->status = status.tag == CB_DER_CONTEXT ? CB_OCSP_GOOD : CB_OCSP_UNKNOWN;
        return status.value.len == 0;
    }
    cb_cursor info = cb_cursor_over(status.value);
    cb_bytes explicit;
    out->status = CB_OCSP_REVOKED;
    cb_der_time(&info);
    if (cb_der_optional(&info, CB_DER_CONSTRUCTED + 0, &explicit)) {
        cb_cursor inner = cb_cursor_over(explicit);
        cb_bytes code = cb_der_expect(&inner, CB_DER_ENUMERATED);
        if (!cb_cursor_done(&inner) || code.len != 1)
            return false;
        out->reason = code.data[0];
    }
    return status.tag == CB_DER_CONSTRUCTED + 1 && cb_cursor_done(&info);
}

static bool is_about(cb_bytes id, const hashes *issuer, cb_bytes serial)
{
    cb_cursor in = cb_cursor_over(id);
    cb_cursor algorithm = cb_cursor_over(cb_der_expect(&in, CB_DER_SEQUENCE));
    bool same = cb_bytes_same(cb_der_expect(&algorithm, CB_DER_OID), sha1) &&
                cb_bytes_same(cb_der_expect(&in, CB_DER_OCTET_STRING), CB_BYTES_OF(issuer->name)) &&
                cb_bytes_same(cb_der_expect(&in, CB_DER_OCTET_STRING), CB_BYTES_OF(issuer->key)) &&
                cb_bytes_same(cb_der_unsigned(&in, CB_X509_SERIAL_MAX), serial);
    return same && cb_cursor_done(&in);
}

/* SingleResponse. */
static bool read_single(cb_cursor *in, cb_ocsp_answer *out)
{
    cb_bytes explicit;
    if (!read_status(in, out))
        return false;
    out->this_update = cb_der_time(in);
    out->next_update = 0;
    if (cb_der_optional(in, CB_DER_CONSTRUCTED + 0, &explicit)) {
        cb_cursor inner = cb_cursor_over(explicit);
        out->next_update = cb_der_time(&inner);
        if (!cb_cursor_done(&inner))
            return false;
    }
    explicit = (cb_bytes){0};
    cb_der_optional(in, CB_DER_CONSTRUCTED + 1, &explicit);
    return cb_cursor_done(in) && check_extensions(explicit, NULL) == CB_OK;
}

static cb_error find_answer(const response *r, const hashes *issuer, cb_bytes serial,
                            cb_ocsp_answer *out)
{
    cb_cursor list = cb_cursor_over(r->answers);
    for (unsigned i = 0; i < ANSWERS_MAX && cb_cursor_ok(&list) && list.rest.len > 0; i++) {
        cb_cursor one = cb_cursor_over(cb_der_expect(&list, CB_DER_SEQUENCE));
        cb_bytes id = cb_der_expect(&one, CB_DER_SEQUENCE);
        if (cb_cursor_ok(&one) && is_about(id, issuer, serial))
            return read_single(&one, out) ? CB_OK : CB_E_FORMAT;
    }
    return CB_E_NOT_FOUND;
}

cb_error cb_ocsp_read(cb_bytes der, const cb_ocsp_question *question, int64_t time,
                      cb_ocsp_answer *out)
{
    response r;
    hashes issuer;
    cb_bytes inner;
    *out = (cb_ocsp_answer){.status = CB_OCSP_UNKNOWN};
    if (der.len > CB_OCSP_ANSWER_MAX)
        return CB_E_FORMAT;
    cb_error error = open_response(der, &inner);
    if (!error && !read_response(inner, &r))
        error = CB_E_FORMAT;
    if (!error)
        error = check_signer(&r, question->issuer, time, out);
    if (!error)
        error = check_extensions(r.extensions, question->nonce);
    if (!error)
        error = hash_issuer(question->issuer, &issuer);
    return error ? error : find_answer(&r, &issuer, question->serial, out);
}
