/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/record_mac.h"

cb_error cb_record_seal(cb_keyring *keyring, cb_mac_purpose purpose, const cb_buf *body,
                        cb_buf *out)
{
    cb_digest mac;
    cb_bytes part = cb_buf_bytes(body);
    cb_error error = cb_buf_error(body);
    if (!error)
        error = cb_keyring_mac(keyring, purpose, &part, 1, &mac);
    if (!error) {
        cb_buf_put(out, part);
        cb_buf_put(out, cb_digest_bytes(&mac));
        error = cb_buf_error(out);
    }
    return error;
}

cb_error cb_record_genuine(cb_keyring *keyring, cb_mac_purpose purpose, cb_bytes blob, size_t max,
                           cb_bytes *body)
{
    cb_record_parts parts;
    if (cb_record_split(blob, max, &parts) != CB_OK)
        return CB_E_HSM_RECORD;
    *body = parts.body;
    return cb_keyring_mac_check(keyring, purpose, &parts.body, 1, parts.mac);
}
