/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/spki.h"

#include "base/tlv.h"

enum { TAG_INTEGER = 0x02, TAG_BITS = 0x03, TAG_OCTETS = 0x04, TAG_SEQUENCE = 0x30, PART_MAX = 2048 };

static const uint8_t oid_p256[] = {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
static const uint8_t oid_p384[] = {0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22};
static const uint8_t oid_ec_key[] = {0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01};
/* rsaEncryption with NULL parameters */
static const uint8_t rsa_algorithm[] = {0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7,
                                        0x0D, 0x01, 0x01, 0x01, 0x05, 0x00};

cb_bytes cb_curve_oid(uint8_t algorithm)
{
    if (algorithm == CB_KEY_EC_P256)
        return CB_BYTES_OF(oid_p256);
    if (algorithm == CB_KEY_EC_P384)
        return CB_BYTES_OF(oid_p384);
    return (cb_bytes){0};
}

void cb_der_put_sequence(cb_buf *out, cb_bytes content)
{
    cb_tlv_put(out, TAG_SEQUENCE, content);
}

void cb_der_put_unsigned(cb_buf *out, cb_bytes magnitude)
{
    static const uint8_t zero[1] = {0};
    cb_buf value = CB_BUF(PART_MAX);
    cb_cursor cursor = cb_cursor_over(magnitude);
    while (cursor.rest.len > 1 && cursor.rest.data[0] == 0)
        cb_cursor_u8(&cursor);
    if (cursor.rest.len == 0 || cursor.rest.data[0] & 0x80)
        cb_buf_put(&value, CB_BYTES_OF(zero));
    cb_buf_put(&value, cursor.rest);
    if (cb_buf_error(&value))
        out->error = cb_buf_error(&value);
    cb_tlv_put(out, TAG_INTEGER, cb_buf_bytes(&value));
    cb_buf_free(&value);
}

void cb_der_put_bits(cb_buf *out, cb_bytes bits)
{
    cb_buf value = CB_BUF(PART_MAX);
    cb_buf_put_u8(&value, 0);
    cb_buf_put(&value, bits);
    if (cb_buf_error(&value))
        out->error = cb_buf_error(&value);
    cb_tlv_put(out, TAG_BITS, cb_buf_bytes(&value));
    cb_buf_free(&value);
}

cb_error cb_spki_point(cb_token *token, CK_OBJECT_HANDLE object, cb_buf *out)
{
    cb_buf encoded = CB_BUF(256);
    cb_error error = cb_token_attribute(token, object, CKA_EC_POINT, &encoded);
    if (!error) {
        cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&encoded));
        cb_bytes point = cb_tlv_expect(&cursor, TAG_OCTETS);
        if (cb_cursor_done(&cursor) && point.len % 2 == 1 && point.data[0] == 0x04)
            cb_buf_put(out, point);
        else
            error = CB_E_HSM_TOKEN;
    }
    cb_buf_free(&encoded);
    return error ? error : cb_buf_error(out);
}

/* SEQUENCE { SEQUENCE algorithm, BIT STRING key } */
static void put_spki(cb_buf *out, cb_bytes algorithm, cb_bytes key)
{
    cb_buf content = CB_BUF(PART_MAX);
    cb_der_put_sequence(&content, algorithm);
    cb_der_put_bits(&content, key);
    if (cb_buf_error(&content))
        out->error = cb_buf_error(&content);
    cb_der_put_sequence(out, cb_buf_bytes(&content));
    cb_buf_free(&content);
}

void cb_spki_ec_point(uint8_t algorithm, cb_bytes point, cb_buf *out)
{
    cb_buf identifier = CB_BUF(64);
    cb_buf_put(&identifier, CB_BYTES_OF(oid_ec_key));
    cb_buf_put(&identifier, cb_curve_oid(algorithm));
    put_spki(out, cb_buf_bytes(&identifier), point);
    cb_buf_free(&identifier);
}

cb_error cb_spki_ec(cb_token *token, CK_OBJECT_HANDLE object, uint8_t algorithm, cb_buf *out)
{
    cb_buf point = CB_BUF(256);
    cb_error error = cb_spki_point(token, object, &point);
    if (!error)
        cb_spki_ec_point(algorithm, cb_buf_bytes(&point), out);
    cb_buf_free(&point);
    return error ? error : cb_buf_error(out);
}

cb_error cb_spki_rsa(cb_token *token, CK_OBJECT_HANDLE object, cb_buf *out)
{
    cb_buf modulus = CB_BUF(1024), exponent = CB_BUF(16), numbers = CB_BUF(PART_MAX),
           key = CB_BUF(PART_MAX);
    cb_error error = cb_token_attribute(token, object, CKA_MODULUS, &modulus);
    if (!error)
        error = cb_token_attribute(token, object, CKA_PUBLIC_EXPONENT, &exponent);
    if (!error) {
        cb_der_put_unsigned(&numbers, cb_buf_bytes(&modulus));
        cb_der_put_unsigned(&numbers, cb_buf_bytes(&exponent));
        cb_der_put_sequence(&key, cb_buf_bytes(&numbers));
        put_spki(out, CB_BYTES_OF(rsa_algorithm), cb_buf_bytes(&key));
        error = cb_buf_error(&numbers) ? cb_buf_error(&numbers) : cb_buf_error(&key);
    }
    cb_buf_free(&modulus);
    cb_buf_free(&exponent);
    cb_buf_free(&numbers);
    cb_buf_free(&key);
    return error ? error : cb_buf_error(out);
}
