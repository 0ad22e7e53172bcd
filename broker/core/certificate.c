/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * As much of X.509 as it takes to find the public key (RFC 5280, 4.1). Nothing is verified here.
 */
#include "base/tlv.h"
#include "broker/core/registry.h"

enum { SEQUENCE = 0x30, INTEGER = 0x02, VERSION = 0xA0 };

cb_error cb_certificate_public_key(cb_bytes certificate, cb_buf *out)
{
    cb_cursor whole = cb_cursor_over(certificate);
    cb_cursor outer = cb_cursor_over(cb_tlv_expect(&whole, SEQUENCE));
    cb_cursor tbs = cb_cursor_over(cb_tlv_expect(&outer, SEQUENCE));
    cb_tlv first;
    if (!cb_cursor_done(&whole) || !cb_tlv_next(&tbs, &first))
        return CB_E_FORMAT;
    if (first.tag == VERSION)
        cb_tlv_expect(&tbs, INTEGER);
    for (int i = 0; i < 4; i++) /* signature, issuer, validity, subject */
        cb_tlv_expect(&tbs, SEQUENCE);
    cb_bytes key = cb_tlv_expect(&tbs, SEQUENCE);
    if (!cb_cursor_ok(&tbs) || key.len == 0)
        return CB_E_FORMAT;
    cb_tlv_put(out, SEQUENCE, key);
    return cb_buf_error(out);
}
