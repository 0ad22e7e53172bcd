/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/piv/certificate.h"

#include "base/tlv.h"
#include "cardlink/x509/signature.h"

enum {
    TAG_CERTIFICATE = 0x7F21,
    TAG_PROFILE = 0x5F29,
    TAG_ISSUER = 0x42,
    TAG_SUBJECT = 0x5F20,
    TAG_KEY = 0x7F49,
    TAG_CURVE = 0x06,
    TAG_POINT = 0x86,
    TAG_ROLE = 0x5F4C,
    TAG_SIGNATURE = 0x5F37,
    PROFILE = 0x80,
    ROLE_CARD = 0x00,
    ROLE_INTERMEDIATE = 0x12
};

static const uint8_t content_signing[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x06, 0x07};
const cb_bytes cb_oid_piv_content_signing = {content_signing, sizeof content_signing};

/* A value of one byte. */
static uint8_t read_byte(cb_cursor *cursor, uint32_t tag)
{
    cb_cursor inner = cb_cursor_over(cb_tlv_expect(cursor, tag));
    uint8_t byte = cb_cursor_u8(&inner);
    if (!cb_cursor_done(&inner))
        cb_cursor_fail(cursor);
    return byte;
}

static cb_error read_key(cb_bytes key, cb_bytes *point)
{
    static const uint8_t p256[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
    cb_cursor cursor = cb_cursor_over(key);
    cb_bytes curve = cb_tlv_expect(&cursor, TAG_CURVE);
    *point = cb_tlv_expect(&cursor, TAG_POINT);
    if (!cb_cursor_done(&cursor))
        return CB_E_CERTIFICATE_FORM;
    return cb_bytes_same(curve, CB_BYTES_OF(p256)) && cb_p256_is_point(*point)
               ? CB_OK
               : CB_E_CERTIFICATE_ALGORITHM;
}

static bool read_signature(cb_bytes value, cb_piv_cvc *out)
{
    cb_cursor outer = cb_der_open(value, CB_DER_SEQUENCE);
    out->algorithm = cb_der_whole(&outer, CB_DER_SEQUENCE);
    out->signature = cb_der_bits(&outer);
    return cb_cursor_done(&outer);
}

static bool names_ok(const cb_piv_cvc *cvc)
{
    return cvc->issuer.len == CB_PIV_CVC_NAME &&
           cvc->subject.len == (size_t)(cvc->intermediate ? CB_PIV_CVC_NAME : CB_PIV_GUID);
}

cb_error cb_piv_cvc_read(cb_bytes bytes, cb_piv_cvc *out)
{
    cb_cursor outer = cb_cursor_over(bytes);
    cb_bytes body = cb_tlv_expect(&outer, TAG_CERTIFICATE);
    cb_cursor cursor = cb_cursor_over(body);
    cb_piv_cvc cvc = {.whole = bytes};
    *out = (cb_piv_cvc){0};
    if (bytes.len > CB_PIV_CVC_MAX || !cb_cursor_done(&outer))
        return CB_E_CERTIFICATE_FORM;
    uint8_t profile = read_byte(&cursor, TAG_PROFILE);
    cvc.issuer = cb_tlv_expect(&cursor, TAG_ISSUER);
    cvc.subject = cb_tlv_expect(&cursor, TAG_SUBJECT);
    cb_bytes key = cb_tlv_expect(&cursor, TAG_KEY);
    uint8_t role = read_byte(&cursor, TAG_ROLE);
    cvc.signed_bytes = cb_bytes_make(body.data, body.len - cursor.rest.len);
    cb_bytes signature = cb_tlv_expect(&cursor, TAG_SIGNATURE);
    cvc.intermediate = role == ROLE_INTERMEDIATE;
    if (!cb_cursor_done(&cursor) || profile != PROFILE ||
        (role != ROLE_CARD && role != ROLE_INTERMEDIATE) || !names_ok(&cvc) ||
        !read_signature(signature, &cvc))
        return CB_E_CERTIFICATE_FORM;
    cb_error error = read_key(key, &cvc.point);
    if (!error)
        *out = cvc;
    return error;
}

/* ---- Signatures ---- */

enum { SPKI = 26 + CB_P256_POINT };

/* SubjectPublicKeyInfo of a point (RFC 5480, 2). */
static void spki_of(cb_bytes point, uint8_t out[SPKI])
{
    static const uint8_t head[SPKI - CB_P256_POINT] = {
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01,
        0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, point.data, CB_P256_POINT);
}

/* With the one algorithm that there is for its kind (part 2, tables 14 to 16). */
static cb_error check(const cb_piv_cvc *cvc, cb_bytes public_key)
{
    static const uint8_t ecdsa[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                    0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
    static const uint8_t rsa[] = {0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                                  0xF7, 0x0D, 0x01, 0x01, 0x0B, 0x05, 0x00};
    cb_bytes algorithm = cvc->intermediate ? CB_BYTES_OF(rsa) : CB_BYTES_OF(ecdsa);
    cb_x509_key key;
    cb_error error = cb_x509_key_read(public_key, &key);
    if (!error && (!cb_bytes_same(cvc->algorithm, algorithm) ||
                   key.kind != (cvc->intermediate ? CB_X509_KEY_RSA : CB_X509_KEY_P256)))
        error = CB_E_CERTIFICATE_ALGORITHM;
    if (!error)
        error = cb_x509_signature_check(public_key, algorithm, cvc->signed_bytes, cvc->signature);
    return error == CB_E_CRYPTO ? CB_E_CARD_CERTIFICATE : error;
}

static cb_error check_by_x509(const cb_piv_cvc *cvc, const cb_x509 *signer)
{
    if (signer->subject_key_id.len < CB_PIV_CVC_NAME ||
        memcmp(cvc->issuer.data, signer->subject_key_id.data, CB_PIV_CVC_NAME) != 0)
        return CB_E_CARD_CERTIFICATE;
    return check(cvc, signer->public_key);
}

cb_error cb_piv_cvc_verify(const cb_piv_cvc *card, cb_bytes intermediate, const cb_x509 *signer)
{
    cb_piv_cvc between;
    uint8_t spki[SPKI];
    if (card->intermediate)
        return CB_E_CARD_CERTIFICATE;
    if (intermediate.len == 0)
        return check_by_x509(card, signer);
    cb_error error = cb_piv_cvc_read(intermediate, &between);
    if (error)
        return error;
    if (!between.intermediate || !cb_bytes_same(card->issuer, between.subject))
        return CB_E_CARD_CERTIFICATE;
    error = check_by_x509(&between, signer);
    spki_of(between.point, spki);
    return error ? error : check(card, CB_BYTES_OF(spki));
}
