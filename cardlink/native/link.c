/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/native/link.h"

#include "base/cursor.h"
#include "cardlink/native/native.h"

static bool numbers_ok(const cb_link *link)
{
    return cb_native_kloc_id_ok(link->key_id) && link->previous > 0 &&
           link->previous < link->version && link->version <= CB_NATIVE_VERSION_MAX;
}

cb_error cb_link_parse(cb_bytes bytes, cb_link *out)
{
    cb_link link = {0};
    *out = link;
    if (bytes.len > CB_NATIVE_CERTIFICATE_MAX || cb_cvc_parse(bytes, &link.cvc) ||
        link.cvc.usage != CB_CVC_LINK)
        return CB_E_FORMAT;
    cb_cursor numbers = cb_cursor_over(link.cvc.discretionary);
    link.key_id = cb_cursor_u8(&numbers);
    link.previous = cb_cursor_u8(&numbers);
    link.version = cb_cursor_u8(&numbers);
    if (!cb_cursor_done(&numbers) || !numbers_ok(&link) || !cb_p256_is_point(link.cvc.point))
        return CB_E_FORMAT;
    *out = link;
    return CB_OK;
}

bool cb_link_follows(const cb_link *link, uint8_t key_id, uint8_t version, cb_bytes name,
                     cb_bytes point)
{
    return link->key_id == key_id && link->previous == version &&
           cb_bytes_same(link->cvc.issuer, name) && cb_cvc_verify(&link->cvc, point);
}

cb_error cb_link_make(const cb_link *fields, const uint8_t issuer[CB_P256_SCALAR], cb_buf *out)
{
    const uint8_t numbers[] = {fields->key_id, fields->previous, fields->version};
    cb_cvc cvc = fields->cvc;
    if (!numbers_ok(fields))
        return CB_E_ARGUMENT;
    cvc.usage = CB_CVC_LINK;
    cvc.discretionary = CB_BYTES_OF(numbers);
    return cb_cvc_make(&cvc, issuer, out);
}
