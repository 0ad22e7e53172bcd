/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/scp03/session.h"

#include "base/secret.h"

/* What is derived (Amendment D, table 4-1). */
enum {
    DERIVE_CARD_CRYPTOGRAM = 0x00,
    DERIVE_HOST_CRYPTOGRAM = 0x01,
    DERIVE_CHALLENGE = 0x02,
    DERIVE_S_ENC = 0x04,
    DERIVE_S_MAC = 0x06,
    DERIVE_S_RMAC = 0x07
};

enum { AID_MIN = 5, AID_MAX = 16, LABEL = 11 };

static bool key_len_ok(size_t len) { return len == 16 || len == 24 || len == 32; }

/* Up to 32 bytes under a key. */
static cb_error derive(cb_bytes key, uint8_t what, cb_bytes context, uint8_t *out, size_t len)
{
    uint8_t blocks[2][CB_AES_BLOCK];
    uint8_t head[LABEL + 5] = {
        [LABEL] = what, [LABEL + 2] = (uint8_t)(len * 8 >> 8), [LABEL + 3] = (uint8_t)(len * 8)};
    cb_error error = CB_OK;
    for (uint8_t i = 0; !error && i * CB_AES_BLOCK < len; i++) {
        head[LABEL + 4] = i + 1;
        error = cb_aes_cmac(key, (cb_bytes[]){CB_BYTES_OF(head), context}, 2, blocks[i]);
    }
    if (!error)
        memcpy(out, blocks, len);
    cb_wipe(blocks, sizeof blocks);
    return error;
}

static cb_error derive_keys(const cb_scp03_keys *keys, cb_bytes challenges, cb_sm *sm)
{
    cb_bytes enc = cb_bytes_make(keys->enc, keys->len), mac = cb_bytes_make(keys->mac, keys->len);
    *sm = (cb_sm){.key_len = keys->len, .counter = 1};
    cb_error error = derive(enc, DERIVE_S_ENC, challenges, sm->enc, keys->len);
    if (!error)
        error = derive(mac, DERIVE_S_MAC, challenges, sm->mac, keys->len);
    if (!error)
        error = derive(mac, DERIVE_S_RMAC, challenges, sm->rmac, keys->len);
    return error;
}

cb_error cb_scp03_session_derive(const cb_scp03_keys *keys,
                                 const uint8_t host_challenge[CB_SCP03_CHALLENGE],
                                 const uint8_t card_challenge[CB_SCP03_CHALLENGE],
                                 cb_scp03_session *out)
{
    uint8_t challenges[2][CB_SCP03_CHALLENGE];
    cb_bytes context = CB_BYTES_OF(challenges);
    *out = (cb_scp03_session){0};
    if (!key_len_ok(keys->len))
        return CB_E_ARGUMENT;
    memcpy(challenges[0], host_challenge, CB_SCP03_CHALLENGE);
    memcpy(challenges[1], card_challenge, CB_SCP03_CHALLENGE);
    cb_error error = derive_keys(keys, context, &out->sm);
    cb_bytes mac = cb_bytes_make(out->sm.mac, keys->len);
    if (!error)
        error =
            derive(mac, DERIVE_CARD_CRYPTOGRAM, context, out->card_cryptogram, CB_SCP03_CRYPTOGRAM);
    if (!error)
        error =
            derive(mac, DERIVE_HOST_CRYPTOGRAM, context, out->host_cryptogram, CB_SCP03_CRYPTOGRAM);
    if (error)
        cb_wipe(out, sizeof *out);
    return error;
}

cb_error cb_scp03_challenge(const cb_scp03_keys *keys, uint32_t sequence, cb_bytes aid,
                            uint8_t out[CB_SCP03_CHALLENGE])
{
    uint8_t context[3 + AID_MAX] = {(uint8_t)(sequence >> 16), (uint8_t)(sequence >> 8),
                                    (uint8_t)sequence};
    if (!key_len_ok(keys->len) || sequence > CB_SCP03_SEQUENCE_MAX || aid.len < AID_MIN ||
        aid.len > AID_MAX)
        return CB_E_ARGUMENT;
    memcpy(&context[3], aid.data, aid.len);
    return derive(cb_bytes_make(keys->enc, keys->len), DERIVE_CHALLENGE,
                  cb_bytes_make(context, 3 + aid.len), out, CB_SCP03_CHALLENGE);
}

void cb_scp03_update_command(uint8_t key_version, const uint8_t host_challenge[CB_SCP03_CHALLENGE],
                             cb_buf *out)
{
    cb_apdu_put(out, &(cb_apdu){CB_SCP03_CLA, CB_SCP03_INS_UPDATE, key_version, 0x00,
                                cb_bytes_make(host_challenge, CB_SCP03_CHALLENGE), true});
}

cb_error cb_scp03_update_read(cb_bytes data, cb_scp03_update *out)
{
    cb_cursor cursor = cb_cursor_over(data);
    *out = (cb_scp03_update){0};
    cb_cursor_copy(&cursor, out->kdd, sizeof out->kdd);
    out->key_version = cb_cursor_u8(&cursor);
    uint8_t protocol = cb_cursor_u8(&cursor);
    out->i = cb_cursor_u8(&cursor);
    if (cb_cursor_ok(&cursor) &&
        (protocol != CB_SCP03_PROTOCOL ||
         (out->i & (uint8_t)~CB_SCP03_I_PSEUDO_RANDOM) != CB_SCP03_I_ANSWERS))
        return CB_E_CARD_FOREIGN;
    cb_cursor_copy(&cursor, out->challenge, sizeof out->challenge);
    cb_cursor_copy(&cursor, out->cryptogram, sizeof out->cryptogram);
    if (out->i & CB_SCP03_I_PSEUDO_RANDOM) {
        out->sequence = (uint32_t)cb_cursor_u8(&cursor) << 16;
        out->sequence |= cb_cursor_u16(&cursor);
    }
    return cb_cursor_done(&cursor) ? CB_OK : CB_E_CARD_ANSWER;
}

void cb_scp03_update_put(cb_buf *out, const cb_scp03_update *update)
{
    cb_buf_put(out, CB_BYTES_OF(update->kdd));
    cb_buf_put_u8(out, update->key_version);
    cb_buf_put_u8(out, CB_SCP03_PROTOCOL);
    cb_buf_put_u8(out, update->i);
    cb_buf_put(out, CB_BYTES_OF(update->challenge));
    cb_buf_put(out, CB_BYTES_OF(update->cryptogram));
    if (update->i & CB_SCP03_I_PSEUDO_RANDOM) {
        cb_buf_put_u8(out, (uint8_t)(update->sequence >> 16));
        cb_buf_put_u16(out, (uint16_t)update->sequence);
    }
}

cb_error cb_scp03_open(const cb_scp03_keys *keys, const uint8_t host_challenge[CB_SCP03_CHALLENGE],
                       const cb_scp03_update *update, cb_scp03_session *out)
{
    cb_error error = cb_scp03_session_derive(keys, host_challenge, update->challenge, out);
    if (!error && !cb_equal(CB_BYTES_OF(out->card_cryptogram), CB_BYTES_OF(update->cryptogram)))
        error = CB_E_CARD_PROOF;
    if (error)
        cb_wipe(out, sizeof *out);
    return error;
}

cb_error cb_scp03_sequence_check(const cb_scp03_keys *keys, const cb_scp03_update *update,
                                 cb_bytes aid)
{
    uint8_t challenge[CB_SCP03_CHALLENGE];
    if (!(update->i & CB_SCP03_I_PSEUDO_RANDOM))
        return CB_OK;
    cb_error error = cb_scp03_challenge(keys, update->sequence, aid, challenge);
    if (!error && !cb_equal(CB_BYTES_OF(challenge), CB_BYTES_OF(update->challenge)))
        error = CB_E_CARD_ANSWER;
    return error;
}

cb_error cb_scp03_authenticate_put(cb_scp03_session *session, cb_buf *out)
{
    return cb_sm_mac_command(&session->sm,
                             &(cb_apdu){CB_SCP03_CLA, CB_SCP03_INS_AUTHENTICATE, CB_SCP03_LEVEL,
                                        0x00, CB_BYTES_OF(session->host_cryptogram), false},
                             out);
}

cb_error cb_scp03_authenticate_check(cb_scp03_session *session, const cb_apdu *command)
{
    cb_bytes sent;
    if (command->p1 != CB_SCP03_LEVEL || command->p2 != 0x00)
        return CB_E_ARGUMENT;
    cb_error error = cb_sm_check_command(&session->sm, command, &sent);
    if (!error && !cb_equal(sent, CB_BYTES_OF(session->host_cryptogram)))
        error = CB_E_CARD_ANSWER;
    return error;
}
