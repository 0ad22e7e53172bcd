/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/scp03.h"

#include "base/config.h"
#include "base/secret.h"
#include "base/text.h"

enum { KEY_VERSION_MAX = 0x7F };

cb_error cb_vscp03_make(const cb_scp03_master *master, uint8_t key_version,
                        const uint8_t kdd[CB_SCP03_KDD], cb_vscp03_state *state)
{
    *state = (cb_vscp03_state){.key_version = key_version,
                               .i = CB_SCP03_I_ANSWERS | CB_SCP03_I_PSEUDO_RANDOM};
    if (key_version < 1 || key_version > KEY_VERSION_MAX)
        return CB_E_ARGUMENT;
    if (kdd)
        memcpy(state->kdd, kdd, sizeof state->kdd);
    else
        cb_random(state->kdd, sizeof state->kdd);
    return cb_scp03_diversify(master, state->kdd, &state->keys);
}

cb_error cb_scp03_master_read(const char *path, cb_scp03_plain_master *out, cb_buf *why)
{
    cb_buf text = CB_BUF(2 * CB_SM_KEY_MAX + 2), key = CB_BUF(CB_SM_KEY_MAX);
    *out = (cb_scp03_plain_master){0};
    cb_error error = cb_config_secret(path, &text, why);
    if (!error)
        error = cb_unhex(cb_buf_bytes(&text), &key);
    if (!error && key.len != 16 && key.len != 24 && key.len != 32)
        error = CB_E_FORMAT;
    if (!error) {
        memcpy(out->key, key.data, key.len);
        out->len = (uint8_t)key.len;
    } else if (why->len == 0) {
        cb_buf_printf(why, "%s: A master key is 32, 48 or 64 hexadecimal digits.", path);
    }
    cb_buf_free(&text);
    cb_buf_free(&key);
    return error;
}
