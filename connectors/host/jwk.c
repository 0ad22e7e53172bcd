/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/jwk.h"

#include "base/crypto.h"
#include "base/text.h"
#include "base/tlv.h"

/* Object identifiers, DER contents: RFC 5480, 2.1.1; RFC 8017, A.1. */
static const uint8_t ec_key[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01};
static const uint8_t p256[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
static const uint8_t p384[] = {0x2B, 0x81, 0x04, 0x00, 0x22};
static const uint8_t rsa_key[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01};

enum {
    SEQUENCE = 0x30,
    INTEGER = 0x02,
    BIT_STRING = 0x03,
    NOTHING = 0x05,
    OBJECT = 0x06,
    UNCOMPRESSED = 0x04
};

static void put_member(cb_buf *json, const char *name, cb_bytes value)
{
    cb_buf_printf(json, "%s\"%s\":\"", json->len > 1 ? "," : "", name);
    cb_buf_put_base64url(json, value);
    cb_buf_put_str(json, "\"");
}

/* Members in the order of their names and nothing else: what the thumbprint is taken over (RFC
 * 7638, 3.2). */
static cb_error put_ec(cb_bytes curve, cb_bytes point, cb_buf *json)
{
    bool small = cb_bytes_same(curve, CB_BYTES_OF(p256));
    size_t half = small ? 32 : 48;
    cb_cursor cursor = cb_cursor_over(point);
    if (!small && !cb_bytes_same(curve, CB_BYTES_OF(p384)))
        return CB_E_FORMAT;
    bool good = cb_cursor_u8(&cursor) == UNCOMPRESSED;
    cb_bytes x = cb_cursor_take(&cursor, half);
    cb_bytes y = cb_cursor_take(&cursor, half);
    if (!good || !cb_cursor_done(&cursor))
        return CB_E_FORMAT;
    cb_buf_printf(json, "{\"crv\":\"%s\",\"kty\":\"EC\"", small ? "P-256" : "P-384");
    put_member(json, "x", x);
    put_member(json, "y", y);
    cb_buf_put_str(json, "}");
    return CB_OK;
}

/* A positive INTEGER without the zero that keeps it positive. */
static cb_bytes magnitude(cb_bytes integer)
{
    cb_cursor cursor = cb_cursor_over(integer);
    if (integer.len > 1 && integer.data[0] == 0)
        cb_cursor_u8(&cursor);
    return cb_cursor_rest(&cursor);
}

static cb_error put_rsa(cb_bytes key, cb_buf *json)
{
    cb_cursor outer = cb_cursor_over(key);
    cb_cursor inner = cb_cursor_over(cb_tlv_expect(&outer, SEQUENCE));
    cb_bytes n = magnitude(cb_tlv_expect(&inner, INTEGER));
    cb_bytes e = magnitude(cb_tlv_expect(&inner, INTEGER));
    if (!cb_cursor_done(&outer) || !cb_cursor_done(&inner) || n.len == 0 || e.len == 0)
        return CB_E_FORMAT;
    cb_buf_put_str(json, "{");
    put_member(json, "e", e);
    cb_buf_put_str(json, ",\"kty\":\"RSA\"");
    put_member(json, "n", n);
    cb_buf_put_str(json, "}");
    return CB_OK;
}

static cb_error put_key(cb_bytes public_key, cb_buf *json)
{
    cb_cursor outer = cb_cursor_over(public_key);
    cb_cursor info = cb_cursor_over(cb_tlv_expect(&outer, SEQUENCE));
    cb_cursor algorithm = cb_cursor_over(cb_tlv_expect(&info, SEQUENCE));
    cb_bytes kind = cb_tlv_expect(&algorithm, OBJECT);
    cb_cursor bits = cb_cursor_over(cb_tlv_expect(&info, BIT_STRING));
    bool whole = cb_cursor_u8(&bits) == 0; /* unused bits */
    if (!whole || !cb_cursor_done(&outer) || !cb_cursor_done(&info) || !cb_cursor_ok(&bits))
        return CB_E_FORMAT;
    bool ec = cb_bytes_same(kind, CB_BYTES_OF(ec_key));
    /* Parameters: the curve, or NULL. */
    cb_bytes parameters = cb_tlv_expect(&algorithm, ec ? OBJECT : NOTHING);
    if (!cb_cursor_done(&algorithm))
        return CB_E_FORMAT;
    if (ec)
        return put_ec(parameters, cb_cursor_rest(&bits), json);
    if (cb_bytes_same(kind, CB_BYTES_OF(rsa_key)) && parameters.len == 0)
        return put_rsa(cb_cursor_rest(&bits), json);
    return CB_E_FORMAT;
}

cb_error cb_jwk_of(cb_bytes public_key, cb_buf *json)
{
    cb_buf key = CB_BUF(4096);
    cb_error error = put_key(public_key, &key);
    if (!error)
        error = cb_buf_error(&key);
    if (!error) {
        cb_digest thumbprint = cb_sha256(cb_buf_bytes(&key));
        key.len--; /* the closing brace: one more member comes */
        put_member(&key, "kid", cb_digest_bytes(&thumbprint));
        cb_buf_put_str(&key, "}");
        cb_buf_put(json, cb_buf_bytes(&key));
        error = cb_buf_error(&key) ? cb_buf_error(&key) : cb_buf_error(json);
    }
    cb_buf_free(&key);
    return error;
}
