/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/binding.h"

#include "hsm/record_mac.h"

cb_error cb_binding_make(cb_keyring *keyring, const cb_binding_info *info, cb_buf *out)
{
    bool good = cb_binding_info_ok(info);
    for (size_t i = 0; good && i < info->keys.count; i++)
        good = info->profile == CB_PROFILE_PASSWORD || cb_card_key_ok(&info->keys.key[i]);
    if (!good)
        return CB_E_ARGUMENT;
    cb_buf body = CB_BUF(CB_BINDING_MAX);
    cb_binding_body_put(&body, info);
    cb_error error = cb_record_seal(keyring, CB_MAC_BINDING, &body, out);
    cb_buf_free(&body);
    return error;
}

cb_error cb_binding_check(cb_keyring *keyring, cb_bytes binding, cb_binding_info *out)
{
    cb_bytes body;
    cb_error error = cb_record_genuine(keyring, CB_MAC_BINDING, binding, CB_BINDING_MAX, &body);
    if (!error && cb_binding_body_get(body, out) != CB_OK)
        error = CB_E_HSM_RECORD;
    return error;
}
