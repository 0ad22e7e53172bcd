/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests for certificates, as anybody can send them to the broker before he is known.
 */
#include <stdlib.h>

#include "cardlink/x509/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Signatures are taken for right: what is behind them has to hold, too. */
cb_error __wrap_cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                        cb_bytes signature);
cb_error __wrap_cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                        cb_bytes signature)
{
    if (public_key.len == 0 || data.len == 0 || !cb_bytes_same(algorithm, cb_x509_ecdsa_sha256))
        abort();
    return signature.len > 0 ? CB_OK : CB_E_CRYPTO;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_bytes key = {0};
    cb_error error = cb_x509_request_read(cb_bytes_make(data, size), &key);
    bool inside = key.data >= data && key.data + key.len <= data + size;
    if (error == CB_OK && (size > CB_X509_REQUEST_MAX || !inside || key.len < CB_P256_POINT))
        abort();
    return 0;
}
