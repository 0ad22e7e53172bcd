/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Revocation lists: u16 length and the issuer's certificate, then the list, whose signature counts
 * as good.
 */
#include <stdlib.h>

#include "broker/status/crl.h"
#include "broker/status/http.h"
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

/* Every entry is found. */
static void find_all(const cb_crl *crl)
{
    cb_cursor list = cb_cursor_over(crl->entries);
    size_t count = 0;
    uint8_t reason;
    while (list.rest.len > 0) {
        cb_cursor one = cb_cursor_over(cb_der_expect(&list, CB_DER_SEQUENCE));
        cb_bytes serial = cb_der_unsigned(&one, CB_X509_SERIAL_MAX);
        if (!cb_cursor_ok(&one) || !cb_crl_has(crl, serial, &reason))
            abort();
        count++;
    }
    if (count != crl->count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    cb_x509 issuer;
    cb_crl *crl = NULL;
    cb_bytes body;
    size_t len = cb_cursor_u16(&in);
    cb_bytes certificate = cb_cursor_take(&in, len);
    cb_status_http_read(cb_bytes_make(data, size), &body);
    if (!cb_cursor_ok(&in) || cb_x509_parse(certificate, &issuer) != CB_OK)
        return 0;
    cb_buf der = CB_BUF(size);
    cb_buf_put(&der, in.rest);
    if (cb_crl_read(&der, &issuer, &crl) == CB_OK) {
        find_all(crl);
        cb_crl_covers(crl, false, issuer.crl_points);
        if (cb_crl_is_older(crl, crl) || !cb_crl_same_scope(crl, crl))
            abort();
    }
    cb_crl_free(&crl);
    return 0;
}
