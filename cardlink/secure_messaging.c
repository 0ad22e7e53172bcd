/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/secure_messaging.h"

#include "base/secret.h"

enum { ANSWER_VECTOR = 0x80, PADDING = 0x80, CLA_SECURE = 0x04 };

static cb_bytes key(const cb_sm *sm, const uint8_t bytes[CB_SM_KEY_MAX])
{
    return cb_bytes_make(bytes, sm->key_len);
}

static cb_error vector(const cb_sm *sm, uint8_t top, uint32_t counter, uint8_t iv[CB_AES_BLOCK])
{
    const uint8_t block[CB_AES_BLOCK] = {[0] = top,
                                         [12] = (uint8_t)(counter >> 24),
                                         [13] = (uint8_t)(counter >> 16),
                                         [14] = (uint8_t)(counter >> 8),
                                         [15] = (uint8_t)counter};
    return cb_aes_block(key(sm, sm->enc), block, iv);
}

/* Appends data, padded and encrypted; nothing for no data. */
static cb_error encrypt(const cb_sm *sm, uint8_t top, uint32_t counter, cb_bytes data, cb_buf *out)
{
    uint8_t iv[CB_AES_BLOCK];
    if (data.len == 0)
        return CB_OK;
    if (data.len > CB_SM_PLAIN_MAX)
        return CB_E_TOO_LARGE;
    size_t padded = (data.len / CB_AES_BLOCK + 1) * CB_AES_BLOCK;
    uint8_t *at = cb_buf_extend(out, padded);
    if (!at)
        return cb_buf_error(out);
    memset(at, 0, padded);
    memcpy(at, data.data, data.len);
    at[data.len] = PADDING;
    cb_error error = vector(sm, top, counter, iv);
    return error ? error : cb_aes_cbc_encrypt(key(sm, sm->enc), iv, cb_bytes_make(at, padded), at);
}

bool cb_sm_unpad(cb_bytes padded, size_t *len)
{
    size_t end = padded.len;
    while (end > 0 && padded.data[end - 1] == 0)
        end--;
    if (end == 0 || padded.data[end - 1] != PADDING || padded.len - end >= CB_AES_BLOCK)
        return false;
    *len = end - 1;
    return true;
}

/* Appends what ciphertext holds. */
static cb_error decrypt(const cb_sm *sm, uint8_t top, uint32_t counter, cb_bytes ciphertext,
                        cb_buf *out)
{
    uint8_t iv[CB_AES_BLOCK];
    size_t len = 0;
    if (ciphertext.len == 0)
        return CB_OK;
    if (ciphertext.len % CB_AES_BLOCK != 0)
        return CB_E_CARD_ANSWER;
    size_t before = out->len;
    uint8_t *at = cb_buf_extend(out, ciphertext.len);
    if (!at)
        return cb_buf_error(out);
    cb_error error = vector(sm, top, counter, iv);
    if (!error)
        error = cb_aes_cbc_decrypt(key(sm, sm->enc), iv, ciphertext, at);
    if (!error && !cb_sm_unpad(cb_bytes_make(at, ciphertext.len), &len))
        error = CB_E_CARD_ANSWER;
    out->len = before + (error ? 0 : len);
    return error;
}

static cb_error command_mac(const cb_sm *sm, const cb_apdu *apdu, cb_bytes data,
                            uint8_t mac[CB_AES_BLOCK])
{
    const uint8_t header[] = {apdu->cla | CLA_SECURE, apdu->ins, apdu->p1, apdu->p2,
                              (uint8_t)(data.len + CB_SM_MAC)};
    const cb_bytes parts[] = {CB_BYTES_OF(sm->chain), CB_BYTES_OF(header), data};
    return cb_aes_cmac(key(sm, sm->mac), parts, 3, mac);
}

static cb_error answer_mac(const cb_sm *sm, const uint8_t chain[CB_AES_BLOCK], cb_bytes data,
                           uint8_t mac[CB_AES_BLOCK])
{
    static const uint8_t status[] = {0x90, 0x00};
    const cb_bytes parts[] = {cb_bytes_make(chain, CB_AES_BLOCK), data, CB_BYTES_OF(status)};
    return cb_aes_cmac(key(sm, sm->rmac), parts, 3, mac);
}

/* Appends the command with data, which the MAC is appended to, in place of its own. */
static cb_error put_with_mac(cb_sm *sm, const cb_apdu *plain, cb_buf *data, cb_buf *out)
{
    uint8_t mac[CB_AES_BLOCK];
    if (data->len + CB_SM_MAC > CB_APDU_DATA_MAX)
        return CB_E_TOO_LARGE;
    cb_error error = command_mac(sm, plain, cb_buf_bytes(data), mac);
    if (error)
        return error;
    cb_buf_put(data, cb_bytes_make(mac, CB_SM_MAC));
    cb_apdu_put(out, &(cb_apdu){plain->cla | CLA_SECURE, plain->ins, plain->p1, plain->p2,
                                cb_buf_bytes(data), plain->le});
    error = cb_buf_error(data) ? cb_buf_error(data) : cb_buf_error(out);
    if (!error)
        memcpy(sm->chain, mac, sizeof mac);
    return error;
}

cb_error cb_sm_wrap_command(cb_sm *sm, const cb_apdu *plain, cb_buf *out, cb_sm_mark *mark)
{
    cb_buf data = CB_BUF(CB_APDU_DATA_MAX);
    if (sm->counter == UINT32_MAX)
        return CB_E_CRYPTO;
    cb_error error = encrypt(sm, 0, sm->counter, plain->data, &data);
    if (!error)
        error = put_with_mac(sm, plain, &data, out);
    if (!error) {
        memcpy(mark->chain, sm->chain, sizeof mark->chain);
        mark->counter = sm->counter++;
    }
    cb_buf_free(&data);
    return error;
}

cb_error cb_sm_mac_command(cb_sm *sm, const cb_apdu *plain, cb_buf *out)
{
    cb_buf data = CB_BUF(CB_APDU_DATA_MAX);
    cb_buf_put(&data, plain->data);
    cb_error error = cb_buf_error(&data);
    if (!error)
        error = put_with_mac(sm, plain, &data, out);
    cb_buf_free(&data);
    return error;
}

cb_error cb_sm_check_command(cb_sm *sm, const cb_apdu *wrapped, cb_bytes *data)
{
    uint8_t mac[CB_AES_BLOCK];
    *data = (cb_bytes){0};
    if (!(wrapped->cla & CLA_SECURE) || wrapped->data.len < CB_SM_MAC)
        return CB_E_CARD_ANSWER;
    cb_cursor cursor = cb_cursor_over(wrapped->data);
    cb_bytes before = cb_cursor_take(&cursor, wrapped->data.len - CB_SM_MAC);
    cb_error error = command_mac(sm, wrapped, before, mac);
    if (!error && !cb_equal(cb_cursor_rest(&cursor), cb_bytes_make(mac, CB_SM_MAC)))
        error = CB_E_CARD_ANSWER;
    if (!error) {
        memcpy(sm->chain, mac, sizeof mac);
        *data = before;
    }
    return error;
}

cb_error cb_sm_open_command(cb_sm *sm, const cb_apdu *wrapped, cb_buf *out, cb_apdu *plain)
{
    cb_bytes data;
    cb_buf_reset(out);
    if (sm->counter == UINT32_MAX)
        return CB_E_CARD_ANSWER;
    cb_error error = cb_sm_check_command(sm, wrapped, &data);
    if (!error)
        error = decrypt(sm, 0, sm->counter++, data, out);
    if (!error)
        *plain = (cb_apdu){wrapped->cla & (uint8_t)~CLA_SECURE,
                           wrapped->ins,
                           wrapped->p1,
                           wrapped->p2,
                           cb_buf_bytes(out),
                           wrapped->le};
    return error;
}

cb_error cb_sm_wrap_answer(const cb_sm *sm, cb_bytes data, cb_buf *out)
{
    uint8_t mac[CB_AES_BLOCK];
    cb_buf encrypted = CB_BUF(CB_APDU_DATA_MAX);
    cb_error error = encrypt(sm, ANSWER_VECTOR, sm->counter - 1, data, &encrypted);
    if (!error)
        error = answer_mac(sm, sm->chain, cb_buf_bytes(&encrypted), mac);
    if (!error) {
        cb_buf_put(out, cb_buf_bytes(&encrypted));
        cb_buf_put(out, cb_bytes_make(mac, CB_SM_MAC));
        cb_buf_put_u16(out, CB_SW_OK);
        error = cb_buf_error(out);
    }
    cb_buf_free(&encrypted);
    return error;
}

cb_error cb_sm_open_answer(const cb_sm *sm, const cb_sm_mark *mark, cb_bytes answer, cb_buf *data)
{
    uint8_t mac[CB_AES_BLOCK];
    cb_cursor cursor = cb_cursor_over(answer);
    if (answer.len < CB_SM_MAC + 2 || answer.len > CB_APDU_DATA_MAX + 1 + 2)
        return CB_E_CARD_ANSWER;
    cb_bytes encrypted = cb_cursor_take(&cursor, answer.len - CB_SM_MAC - 2);
    cb_bytes sent = cb_cursor_take(&cursor, CB_SM_MAC);
    if (cb_cursor_u16(&cursor) != CB_SW_OK || answer_mac(sm, mark->chain, encrypted, mac) ||
        !cb_equal(sent, cb_bytes_make(mac, CB_SM_MAC)))
        return CB_E_CARD_ANSWER;
    return decrypt(sm, ANSWER_VECTOR, mark->counter, encrypted, data);
}
