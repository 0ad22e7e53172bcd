/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/pem.h"

#include <ctype.h>

#include "base/text.h"

static const char BEGIN[] = "-----BEGIN CERTIFICATE-----";
static const char END[] = "-----END CERTIFICATE-----";

static cb_error decode(cb_bytes body, cb_buf *out)
{
    cb_buf packed = CB_BUF(body.len);
    for (size_t i = 0; i < body.len; i++)
        if (!isspace(body.data[i]))
            cb_buf_put_u8(&packed, body.data[i]);
    cb_error error = cb_buf_error(&packed);
    if (!error && packed.len == 0)
        error = CB_E_FORMAT;
    if (!error)
        error = cb_unbase64(cb_buf_bytes(&packed), out);
    cb_buf_free(&packed);
    return error ? error : cb_buf_error(out);
}

cb_error cb_pem_read(const char *text, cb_buf *first, cb_buf *rest)
{
    cb_buf *out = first;
    for (const char *at = text; (at = strstr(at, BEGIN)); out = rest) {
        if (!out)
            return CB_E_ARGUMENT;
        at += sizeof BEGIN - 1;
        const char *end = strstr(at, END);
        cb_error error = end ? decode(cb_bytes_make(at, (size_t)(end - at)), out) : CB_E_FORMAT;
        if (error)
            return error;
        at = end + sizeof END - 1;
    }
    return out == first ? CB_E_FORMAT : CB_OK;
}
