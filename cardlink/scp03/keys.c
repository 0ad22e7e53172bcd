/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/scp03/keys.h"

#include "base/secret.h"

const uint8_t cb_scp03_aid[12] = {CB_SCP03_AID_BYTES};

static cb_error plain_cmac(void *context, cb_bytes data, uint8_t out[CB_AES_BLOCK])
{
    const cb_scp03_plain_master *master = context;
    return cb_aes_cmac(cb_bytes_make(master->key, master->len), &data, 1, out);
}

cb_scp03_master cb_scp03_master_of(cb_scp03_plain_master *key)
{
    return (cb_scp03_master){plain_cmac, key, key->len};
}

cb_error cb_scp03_diversify_key(const cb_scp03_master *master, const uint8_t kdd[CB_SCP03_KDD],
                                cb_scp03_key which, uint8_t out[CB_SM_KEY_MAX])
{
    uint8_t input[6 + CB_SCP03_KDD] = {[4] = (uint8_t)which};
    uint8_t blocks[2][CB_AES_BLOCK] = {0};
    cb_error error = CB_OK;
    memset(out, 0, CB_SM_KEY_MAX);
    if (master->key_len != 16 && master->key_len != 24 && master->key_len != 32)
        return CB_E_ARGUMENT;
    memcpy(&input[6], kdd, CB_SCP03_KDD);
    for (uint8_t i = 0; !error && i * CB_AES_BLOCK < master->key_len; i++) {
        input[0] = i + 1;
        error = master->cmac(master->context, CB_BYTES_OF(input), blocks[i]);
    }
    if (!error)
        memcpy(out, blocks, master->key_len);
    cb_wipe(blocks, sizeof blocks);
    return error;
}

cb_error cb_scp03_diversify(const cb_scp03_master *master, const uint8_t kdd[CB_SCP03_KDD],
                            cb_scp03_keys *out)
{
    *out = (cb_scp03_keys){.len = master->key_len};
    cb_error error = cb_scp03_diversify_key(master, kdd, CB_SCP03_KEY_ENC, out->enc);
    if (!error)
        error = cb_scp03_diversify_key(master, kdd, CB_SCP03_KEY_MAC, out->mac);
    if (error)
        cb_wipe(out, sizeof *out);
    return error;
}
