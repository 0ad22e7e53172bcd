/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers of OCSP responders: u16 length and the issuer's certificate, u8 length and a serial
 * number, then the answer. Signatures count as good.
 */
#include <stdlib.h>

#include "broker/status/ocsp.h"
#include "cardlink/x509/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
cb_error __wrap_cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                        cb_bytes signature);

cb_error __wrap_cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                        cb_bytes signature)
{
    (void)public_key, (void)algorithm, (void)data, (void)signature;
    return CB_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nonce[CB_OCSP_NONCE] = "0123456789abcde";
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    cb_x509 issuer;
    size_t len = cb_cursor_u16(&in);
    cb_bytes certificate = cb_cursor_take(&in, len);
    uint8_t serial_len = cb_cursor_u8(&in);
    cb_bytes serial = cb_cursor_take(&in, serial_len);
    if (!cb_cursor_ok(&in) || cb_x509_parse(certificate, &issuer) != CB_OK)
        return 0;
    cb_ocsp_question question = {&issuer, serial, NULL};
    cb_ocsp_answer answer;
    if (cb_ocsp_read(in.rest, &question, 1780272000, &answer) == CB_OK &&
        (answer.status > CB_OCSP_UNKNOWN || answer.responder_len > CB_X509_SERIAL_MAX))
        abort();
    question.nonce = nonce;
    cb_ocsp_read(in.rest, &question, 1780272000, &answer);
    cb_buf request = CB_BUF(1024);
    if (serial.len <= CB_X509_SERIAL_MAX && cb_ocsp_ask(&question, &request) != CB_OK)
        abort();
    cb_buf_free(&request);
    return 0;
}
