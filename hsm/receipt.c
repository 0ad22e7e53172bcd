/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/receipt.h"

#include "hsm/record_mac.h"

cb_error cb_receipt_make(cb_keyring *keyring, const cb_receipt_info *info, cb_buf *out)
{
    cb_buf body = CB_BUF(CB_RECEIPT_MAX);
    cb_receipt_body_put(&body, info);
    cb_error error = cb_record_seal(keyring, CB_MAC_RECEIPT, &body, out);
    cb_buf_free(&body);
    return error;
}

cb_error cb_receipt_check(cb_keyring *keyring, cb_bytes receipt, cb_receipt_info *out)
{
    cb_bytes body;
    cb_error error = cb_record_genuine(keyring, CB_MAC_RECEIPT, receipt, CB_RECEIPT_MAX, &body);
    if (!error && cb_receipt_body_get(body, out) != CB_OK)
        error = CB_E_HSM_RECORD;
    return error;
}
