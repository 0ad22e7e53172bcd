/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates that a terminal has read of a card, for taps that bind it with them.
 */
#include "broker/core/tap_parts.h"
#include "cardlink/x509/der.h"

cb_error cb_tap_take_certificates(const cb_foreign_reading *reading, cb_buf *all)
{
    for (size_t i = 0; i < reading->keys; i++) {
        cb_cursor read = cb_cursor_over(reading->key[i].certificate);
        cb_bytes der = cb_der_whole(&read, CB_DER_SEQUENCE);
        if (!cb_cursor_ok(&read))
            return CB_E_CERTIFICATE_FORM;
        cb_buf_put(all, der);
    }
    return cb_buf_error(all);
}

cb_error cb_tap_ask_issuers(const cb_taps *taps, cb_bytes certificates)
{
    const cb_taps_parts *parts = &taps->parts;
    cb_cursor in = cb_cursor_over(certificates);
    while (!cb_cursor_done(&in)) {
        cb_bytes der = cb_der_whole(&in, CB_DER_SEQUENCE);
        if (!cb_cursor_ok(&in))
            return CB_E_CERTIFICATE_FORM;
        cb_error error = parts->certificate_status
                             ? parts->certificate_status(parts->status_context, der)
                             : CB_E_CERTIFICATE_STATUS;
        if (error)
            return error;
    }
    return CB_OK;
}
