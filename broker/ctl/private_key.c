/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Private keys in the forms in which they are found, brought to PKCS#8.
 */
#include <string.h>

#include "base/cursor.h"
#include "base/tlv.h"
#include "broker/ctl/pem.h"
#include "broker/ctl/wrap.h"

enum { INTEGER = 0x02, OCTETS = 0x04, OID = 0x06, SEQUENCE = 0x30, PARAMETERS = 0xA0 };

/* OID rsaEncryption and NULL; OID ecPublicKey. */
static const uint8_t rsa_algorithm[] = {0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7,
                                        0x0D, 0x01, 0x01, 0x01, 0x05, 0x00};
static const uint8_t ec_oid[] = {0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01};
static const uint8_t version_0[] = {0x02, 0x01, 0x00};

/* PrivateKeyInfo: SEQUENCE { 0, algorithm, OCTET STRING { key } } */
static cb_error put_pkcs8(cb_bytes algorithm, cb_bytes key, cb_buf *out)
{
    cb_buf inner = CB_BUF(CB_CTL_KEY_MAX);
    cb_buf_put(&inner, CB_BYTES_OF(version_0));
    cb_tlv_put(&inner, SEQUENCE, algorithm);
    cb_tlv_put(&inner, OCTETS, key);
    cb_tlv_put(out, SEQUENCE, cb_buf_bytes(&inner));
    cb_error error = cb_buf_error(&inner) ? cb_buf_error(&inner) : cb_buf_error(out);
    cb_buf_free(&inner);
    return error;
}

static cb_error from_ec(cb_cursor rest, cb_bytes der, cb_buf *out)
{
    cb_buf algorithm = CB_BUF(64);
    cb_tlv tlv;
    cb_error error = CB_E_FORMAT; /* without parameters nobody knows the curve */
    while (error && cb_tlv_next(&rest, &tlv))
        if (tlv.tag == PARAMETERS && tlv.value.len && tlv.value.data[0] == OID) {
            cb_buf_put(&algorithm, CB_BYTES_OF(ec_oid));
            cb_buf_put(&algorithm, tlv.value);
            error = cb_buf_error(&algorithm) ? CB_E_FORMAT
                                             : put_pkcs8(cb_buf_bytes(&algorithm), der, out);
        }
    cb_buf_free(&algorithm);
    return error;
}

/* Version 0 and a SEQUENCE: PKCS#8. Version 0 and an INTEGER: RSAPrivateKey. Version 1 and an OCTET
 * STRING: ECPrivateKey. */
static cb_error from_der(cb_bytes der, cb_buf *out)
{
    cb_cursor outer = cb_cursor_over(der);
    cb_cursor in = cb_cursor_over(cb_tlv_expect(&outer, SEQUENCE));
    if (!cb_cursor_done(&outer))
        return CB_E_FORMAT;
    cb_bytes version = cb_tlv_expect(&in, INTEGER);
    cb_tlv second;
    if (version.len != 1 || version.data[0] > 1 || !cb_tlv_next(&in, &second))
        return CB_E_FORMAT;
    if (second.tag == SEQUENCE) {
        cb_buf_put(out, der);
        return cb_buf_error(out);
    }
    if (second.tag == INTEGER && version.data[0] == 0)
        return put_pkcs8(CB_BYTES_OF(rsa_algorithm), der, out);
    if (second.tag == OCTETS && version.data[0] == 1)
        return from_ec(in, der, out);
    return CB_E_FORMAT;
}

cb_error cb_ctl_private_key(cb_bytes file, cb_buf *pkcs8)
{
    static const char *const labels[] = {"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"};
    char label[CB_PEM_LABEL_MAX];
    cb_buf der = CB_BUF(CB_CTL_KEY_MAX);
    cb_cursor text = cb_cursor_over(file);
    cb_error error = CB_E_FORMAT;
    if (file.len && file.data[0] == SEQUENCE)
        return from_der(file, pkcs8);
    while (error == CB_E_FORMAT && cb_pem_next(&text, label, &der)) {
        bool private = false;
        for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        private = private || strcmp(label, labels[i]) == 0;
        if (private) {
            error = from_der(cb_buf_bytes(&der), pkcs8);
            break;
        }
        cb_buf_reset(&der);
    }
    cb_buf_free(&der);
    return error;
}
