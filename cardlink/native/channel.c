/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/native/channel.h"

#include "base/secret.h"
#include "base/tlv.h"

/* Control reference template: SCP11a (11 01), key usage 3C, key type 88, key length 10. Then the
 * ephemeral point's header. */
static const uint8_t parameters[] = {0xA6, 0x0D, 0x90, 0x02, 0x11, 0x01, 0x95, 0x01, 0x3C,
                                     0x80, 0x01, 0x88, 0x81, 0x01, 0x10, 0x5F, 0x49, 0x41};
static const uint8_t shared_info[] = {0x3C, 0x88, 0x10};

void cb_channel_data_make(const uint8_t broker_point[CB_P256_POINT], uint8_t out[CB_CHANNEL_DATA])
{
    memcpy(out, parameters, sizeof parameters);
    memcpy(&out[sizeof parameters], broker_point, CB_P256_POINT);
}

cb_error cb_channel_data_read(cb_bytes data, uint8_t broker_point[CB_P256_POINT])
{
    cb_cursor cursor = cb_cursor_over(data);
    cb_bytes sent = cb_cursor_take(&cursor, sizeof parameters);
    cb_bytes point = cb_cursor_take(&cursor, CB_P256_POINT);
    if (!cb_cursor_done(&cursor) || !cb_bytes_same(sent, CB_BYTES_OF(parameters)) ||
        !cb_p256_is_point(point))
        return CB_E_FORMAT;
    memcpy(broker_point, point.data, CB_P256_POINT);
    return CB_OK;
}

static cb_error make_receipt(const uint8_t key[CB_NATIVE_KEY], const uint8_t data[CB_CHANNEL_DATA],
                             const uint8_t card_point[CB_P256_POINT],
                             uint8_t receipt[CB_NATIVE_RECEIPT])
{
    static const uint8_t header[] = {0x5F, 0x49, 0x41};
    const cb_bytes parts[] = {cb_bytes_make(data, CB_CHANNEL_DATA), CB_BYTES_OF(header),
                              cb_bytes_make(card_point, CB_P256_POINT)};
    return cb_aes_cmac(cb_bytes_make(key, CB_NATIVE_KEY), parts, 3, receipt);
}

cb_error cb_channel_open(const uint8_t ephemeral[CB_P256_SCALAR],
                         const uint8_t fixed[CB_P256_SCALAR], const uint8_t data[CB_CHANNEL_DATA],
                         const uint8_t card_point[CB_P256_POINT], cb_sm *sm,
                         uint8_t receipt[CB_NATIVE_RECEIPT])
{
    /* Receipt key, S-ENC, S-MAC, S-RMAC; the DEK that Amendment F derives after them has no use
     * here. */
    uint8_t keys[4][CB_NATIVE_KEY];
    uint8_t shared[2][CB_P256_SCALAR];
    memcpy(shared[0], ephemeral, CB_P256_SCALAR);
    memcpy(shared[1], fixed, CB_P256_SCALAR);
    cb_error error =
        cb_kdf_x963(CB_BYTES_OF(shared), CB_BYTES_OF(shared_info), keys[0], sizeof keys);
    if (!error)
        error = make_receipt(keys[0], data, card_point, receipt);
    if (!error) {
        *sm = (cb_sm){.key_len = CB_NATIVE_KEY, .counter = 1};
        memcpy(sm->enc, keys[1], CB_NATIVE_KEY);
        memcpy(sm->mac, keys[2], CB_NATIVE_KEY);
        memcpy(sm->rmac, keys[3], CB_NATIVE_KEY);
        memcpy(sm->chain, receipt, CB_AES_BLOCK);
    }
    cb_wipe(keys, sizeof keys);
    cb_wipe(shared, sizeof shared);
    return error;
}

cb_digest cb_channel_transcript(const cb_channel_facts *facts)
{
    static const char domain[] = "cardbroker transcript 1"; /* its final zero is part of it */
    const uint8_t aid_len = sizeof cb_native_aid;
    const uint8_t keys[] = {facts->kloc_id, facts->kloc_version, CB_NATIVE_CARD_KEY_ID,
                            CB_NATIVE_CARD_KEY_VERSION};
    const uint8_t lengths[2][2] = {
        {(uint8_t)(facts->broker_certificate.len >> 8), (uint8_t)facts->broker_certificate.len},
        {(uint8_t)(facts->card_certificate.len >> 8), (uint8_t)facts->card_certificate.len}};
    const cb_bytes parts[] = {CB_BYTES_OF(domain),
                              cb_bytes_make(&aid_len, 1),
                              CB_BYTES_OF(cb_native_aid),
                              CB_BYTES_OF(keys),
                              CB_BYTES_OF(lengths[0]),
                              facts->broker_certificate,
                              CB_BYTES_OF(lengths[1]),
                              facts->card_certificate,
                              cb_bytes_make(facts->broker_point, CB_P256_POINT),
                              cb_bytes_make(facts->card_point, CB_P256_POINT),
                              cb_bytes_make(facts->receipt, CB_NATIVE_RECEIPT)};
    return cb_sha256_parts(parts, sizeof parts / sizeof parts[0]);
}
