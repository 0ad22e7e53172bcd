/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates as an administrator hands them over: PEM, and the key inside the DER.
 */
#include <stdlib.h>

#include "broker/api/pem.h"
#include "broker/core/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_buf text = CB_BUF(size + 1), first = CB_BUF(8192), rest = CB_BUF(32768), key = CB_BUF(8192);
    cb_certificate_public_key(cb_bytes_make(data, size), &key);
    cb_buf_put(&text, cb_bytes_make(data, size));
    const char *string = cb_buf_cstr(&text);
    if (string && cb_pem_read(string, &first, &rest) == CB_OK) {
        if (first.len == 0)
            abort();
        cb_buf_reset(&key);
        if (cb_certificate_public_key(cb_buf_bytes(&first), &key) == CB_OK &&
            (key.len == 0 || key.len > first.len || key.data[0] != 0x30))
            abort();
    }
    cb_buf_free(&text);
    cb_buf_free(&first);
    cb_buf_free(&rest);
    cb_buf_free(&key);
    return 0;
}
