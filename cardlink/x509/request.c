/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/x509/request.h"

#include <string.h>

#include "cardlink/x509/signature.h"

enum { NAME_BYTES_MAX = 63, TAG_UTF8 = 0x0C, TAG_ATTRIBUTES = 0xA0 };

/* SEQUENCE { ecdsa-with-SHA256 } (RFC 5758, 3.2). */
static const uint8_t ecdsa_sha256[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                       0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
/* SEQUENCE { id-ecPublicKey, secp256r1 } (RFC 5480, 2.1.1). */
static const uint8_t p256_key[] = {0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01,
                                   0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
static const uint8_t common_name_oid[] = {0x06, 0x03, 0x55, 0x04, 0x03};

const cb_bytes cb_x509_ecdsa_sha256 = {ecdsa_sha256, sizeof ecdsa_sha256};

static void put_sequence(cb_buf *out, cb_buf *content)
{
    if (cb_buf_error(content) && !out->error)
        out->error = cb_buf_error(content);
    cb_der_put(out, CB_DER_SEQUENCE, cb_buf_bytes(content));
    cb_buf_free(content);
}

static void put_bits(cb_buf *out, cb_bytes bits)
{
    cb_buf content = CB_BUF(CB_X509_REQUEST_MAX);
    cb_buf_put_u8(&content, 0);
    cb_buf_put(&content, bits);
    if (cb_buf_error(&content) && !out->error)
        out->error = cb_buf_error(&content);
    cb_der_put(out, CB_DER_BIT_STRING, cb_buf_bytes(&content));
    cb_buf_free(&content);
}

void cb_x509_put_key(cb_buf *out, const uint8_t point[CB_P256_POINT])
{
    cb_buf content = CB_BUF(256);
    cb_buf_put(&content, CB_BYTES_OF(p256_key));
    put_bits(&content, cb_bytes_make(point, CB_P256_POINT));
    put_sequence(out, &content);
}

void cb_x509_put_name(cb_buf *out, const char *common_name)
{
    cb_buf pair = CB_BUF(256), set = CB_BUF(256), names = CB_BUF(256);
    cb_buf_put(&pair, CB_BYTES_OF(common_name_oid));
    cb_der_put(&pair, TAG_UTF8, cb_bytes_str(common_name));
    put_sequence(&set, &pair);
    if (cb_buf_error(&set))
        names.error = cb_buf_error(&set);
    cb_der_put(&names, CB_DER_SET, cb_buf_bytes(&set));
    put_sequence(out, &names);
    cb_buf_free(&set);
}

void cb_x509_put_signed(cb_buf *out, cb_bytes to_be_signed,
                        const uint8_t signature[CB_P256_SIGNATURE])
{
    cb_buf content = CB_BUF(CB_X509_REQUEST_MAX), der = CB_BUF(256);
    cb_ecdsa_to_der(cb_bytes_make(signature, CB_P256_SIGNATURE), &der);
    cb_buf_put(&content, to_be_signed);
    cb_buf_put(&content, cb_x509_ecdsa_sha256);
    put_bits(&content, cb_buf_bytes(&der));
    if (cb_buf_error(&der) && !content.error)
        content.error = cb_buf_error(&der);
    put_sequence(out, &content);
    cb_buf_free(&der);
}

/* ---- Requests ---- */

/* CertificationRequestInfo: version 0, subject, key, attributes [0]. */
static bool read_info(cb_bytes info, cb_bytes *public_key)
{
    uint16_t version = 1;
    cb_cursor in = cb_der_open(info, CB_DER_SEQUENCE);
    cb_bytes number = cb_der_expect(&in, CB_DER_INTEGER);
    cb_der_expect(&in, CB_DER_SEQUENCE);
    *public_key = cb_der_whole(&in, CB_DER_SEQUENCE);
    cb_der_expect(&in, TAG_ATTRIBUTES);
    return cb_cursor_done(&in) && cb_der_small(number, &version) && version == 0;
}

cb_error cb_x509_request_read(cb_bytes der, cb_bytes *public_key)
{
    cb_x509_key key;
    if (der.len > CB_X509_REQUEST_MAX)
        return CB_E_FORMAT;
    cb_cursor outer = cb_der_open(der, CB_DER_SEQUENCE);
    cb_bytes info = cb_der_whole(&outer, CB_DER_SEQUENCE);
    cb_bytes algorithm = cb_der_whole(&outer, CB_DER_SEQUENCE);
    cb_bytes signature = cb_der_bits(&outer);
    if (!cb_cursor_done(&outer) || !read_info(info, public_key) ||
        !cb_bytes_same(algorithm, cb_x509_ecdsa_sha256))
        return CB_E_FORMAT;
    cb_error error = cb_x509_key_read(*public_key, &key);
    if (!error && key.kind != CB_X509_KEY_P256)
        error = CB_E_FORMAT;
    if (!error)
        error = cb_x509_signature_check(*public_key, algorithm, info, signature);
    return error == CB_E_CERTIFICATE_ALGORITHM ? CB_E_FORMAT : error;
}

cb_error cb_x509_request_make(const uint8_t scalar[CB_P256_SCALAR], const char *name, cb_buf *out)
{
    static const uint8_t version[] = {0x02, 0x01, 0x00};
    static const uint8_t no_attributes[] = {0xA0, 0x00};
    uint8_t point[CB_P256_POINT], signature[CB_P256_SIGNATURE];
    cb_buf content = CB_BUF(512), info = CB_BUF(512);
    size_t len = strlen(name);
    if (len == 0 || len > NAME_BYTES_MAX)
        return CB_E_ARGUMENT;
    cb_error error = cb_p256_public(scalar, point);
    if (!error) {
        cb_buf_put(&content, CB_BYTES_OF(version));
        cb_x509_put_name(&content, name);
        cb_x509_put_key(&content, point);
        cb_buf_put(&content, CB_BYTES_OF(no_attributes));
    }
    put_sequence(&info, &content);
    if (!error)
        error = cb_buf_error(&info);
    if (!error) {
        cb_digest digest = cb_sha256(cb_buf_bytes(&info));
        error = cb_p256_sign(scalar, &digest, signature);
    }
    if (!error) {
        cb_x509_put_signed(out, cb_buf_bytes(&info), signature);
        error = cb_buf_error(out);
    }
    cb_buf_free(&info);
    return error;
}
