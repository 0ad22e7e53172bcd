/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/piv/messaging.h"

#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/script.h"
#include "cardlink/secure_messaging.h"

enum {
    TAG_DATA = 0x87,
    TAG_MAC = 0x8E,
    TAG_LE = 0x97,
    TAG_STATUS = 0x99,
    CLA_SECURE = 0x0C,
    CLA_CHAINED = 0x10,
    PADDED = 0x01, /* content of TAG_DATA */
    PADDING = 0x80,
    ANSWER_VECTOR = 0x80,
    STATUS_LEN = 2,
    MAC_OBJECT = 2 + CB_PIV_MAC,
    /* Tag, length, indicator, Le and MAC around the data. */
    AROUND = 4 + 1 + CB_AES_BLOCK + 3 + MAC_OBJECT
};

#define KEY(session, which) cb_bytes_make((session)->which, CB_PIV_SESSION_KEY)

void cb_piv_session_begin(cb_piv_session *session, const uint8_t keys[3 * CB_PIV_SESSION_KEY])
{
    *session = (cb_piv_session){.open = true};
    memcpy(session->mac, keys, CB_PIV_SESSION_KEY);
    memcpy(session->enc, keys + CB_PIV_SESSION_KEY, CB_PIV_SESSION_KEY);
    memcpy(session->rmac, keys + (size_t)2 * CB_PIV_SESSION_KEY, CB_PIV_SESSION_KEY);
}

static cb_error end_with(cb_piv_session *session, cb_error error)
{
    cb_wipe(session, sizeof *session);
    return error;
}

static cb_error vector(const cb_piv_session *session, uint8_t top, uint32_t counter,
                       uint8_t iv[CB_AES_BLOCK])
{
    const uint8_t block[CB_AES_BLOCK] = {[0] = top,
                                         [12] = (uint8_t)(counter >> 24),
                                         [13] = (uint8_t)(counter >> 16),
                                         [14] = (uint8_t)(counter >> 8),
                                         [15] = (uint8_t)counter};
    return cb_aes_block(KEY(session, enc), block, iv);
}

/* ---- Commands ---- */

/* Appends the object with the data, encrypted; nothing for no data. */
static cb_error put_data(const cb_piv_session *session, cb_bytes data, cb_buf *out)
{
    uint8_t iv[CB_AES_BLOCK];
    cb_buf value = CB_BUF(1 + CB_PIV_COMMAND_DATA_MAX + CB_AES_BLOCK);
    if (data.len == 0)
        return CB_OK;
    size_t padded = (data.len / CB_AES_BLOCK + 1) * CB_AES_BLOCK;
    cb_buf_put_u8(&value, PADDED);
    uint8_t *at = cb_buf_extend(&value, padded);
    cb_error error = cb_buf_error(&value);
    if (!error) {
        memset(at, 0, padded);
        memcpy(at, data.data, data.len);
        at[data.len] = PADDING;
        error = vector(session, 0, session->sent + 1, iv);
    }
    if (!error)
        error = cb_aes_cbc_encrypt(KEY(session, enc), iv, cb_bytes_make(at, padded), at);
    if (!error)
        cb_tlv_put(out, TAG_DATA, cb_buf_bytes(&value));
    cb_buf_free(&value);
    return error ? error : cb_buf_error(out);
}

/* Over the header with the class of an unbroken command, filled up to a block, and the objects. */
static cb_error put_mac(cb_piv_session *session, const cb_apdu *plain, cb_buf *out)
{
    const uint8_t header[CB_AES_BLOCK] = {CLA_SECURE, plain->ins, plain->p1, plain->p2, PADDING};
    uint8_t mac[CB_AES_BLOCK];
    const cb_bytes parts[] = {CB_BYTES_OF(session->command_chain), CB_BYTES_OF(header),
                              cb_buf_bytes(out)};
    cb_error error = cb_aes_cmac(KEY(session, mac), parts, 3, mac);
    if (error)
        return error;
    cb_tlv_put(out, TAG_MAC, cb_bytes_make(mac, CB_PIV_MAC));
    memcpy(session->command_chain, mac, sizeof mac);
    return cb_buf_error(out);
}

static cb_error put_parts(const cb_apdu *plain, cb_bytes objects, cb_buf *script, size_t *parts)
{
    cb_cursor cursor = cb_cursor_over(objects);
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    cb_error error = CB_OK;
    *parts = 0;
    for (size_t left = objects.len; left > 0 && !error; ++*parts) {
        size_t len = left < CB_APDU_DATA_MAX ? left : CB_APDU_DATA_MAX;
        left -= len;
        cb_buf_reset(&command);
        cb_apdu_put(&command,
                    &(cb_apdu){left > 0 ? CLA_SECURE | CLA_CHAINED : CLA_SECURE, plain->ins,
                               plain->p1, plain->p2, cb_cursor_take(&cursor, len), left == 0});
        error = cb_buf_error(&command);
        if (!error)
            cb_script_put(script, 0, cb_buf_bytes(&command));
        if (!error)
            error = cb_buf_error(script);
    }
    cb_buf_free(&command);
    return error;
}

cb_error cb_piv_wrap(cb_piv_session *session, const cb_apdu *plain, cb_buf *script, size_t *parts)
{
    static const uint8_t le[] = {0x00};
    *parts = 0;
    if (!session->open)
        return CB_E_ARGUMENT;
    if (plain->data.len > CB_PIV_COMMAND_DATA_MAX)
        return end_with(session, CB_E_TOO_LARGE);
    if (session->sent == UINT32_MAX)
        return end_with(session, CB_E_CRYPTO);
    cb_buf objects = CB_BUF(CB_PIV_COMMAND_DATA_MAX + AROUND);
    cb_error error = put_data(session, plain->data, &objects);
    if (!error && plain->le)
        cb_tlv_put(&objects, TAG_LE, CB_BYTES_OF(le));
    if (!error)
        error = cb_buf_error(&objects);
    if (!error)
        error = put_mac(session, plain, &objects);
    if (!error)
        error = put_parts(plain, cb_buf_bytes(&objects), script, parts);
    session->sent++;
    cb_buf_free(&objects);
    return error ? end_with(session, error) : CB_OK;
}

/* ---- Answers ---- */

typedef struct secured {
    cb_bytes signed_bytes; /* what stands before the MAC */
    bool has_data;
    cb_bytes data;
    uint16_t status;
    cb_bytes mac;
} secured;

/* The objects that there may be, in their order, each once. */
static bool take_apart(cb_bytes bytes, secured *out)
{
    cb_tlv object;
    cb_cursor cursor = cb_cursor_over(bytes);
    cb_tlv_next(&cursor, &object);
    out->has_data = object.tag == TAG_DATA;
    out->data = object.value;
    if (out->has_data)
        cb_tlv_next(&cursor, &object);
    if (object.tag != TAG_STATUS || object.value.len != STATUS_LEN)
        return false;
    out->status = (uint16_t)(object.value.data[0] << 8 | object.value.data[1]);
    out->signed_bytes = cb_bytes_make(bytes.data, bytes.len - cursor.rest.len);
    out->mac = cb_tlv_expect(&cursor, TAG_MAC);
    return cb_cursor_done(&cursor) && out->mac.len == CB_PIV_MAC;
}

static cb_error check_mac(cb_piv_session *session, const secured *answer)
{
    uint8_t mac[CB_AES_BLOCK];
    const cb_bytes parts[] = {CB_BYTES_OF(session->answer_chain), answer->signed_bytes};
    cb_error error = cb_aes_cmac(KEY(session, rmac), parts, 2, mac);
    if (!error && !cb_equal(cb_bytes_make(mac, CB_PIV_MAC), answer->mac))
        error = CB_E_CARD_PROOF;
    if (!error)
        memcpy(session->answer_chain, mac, sizeof mac);
    cb_wipe(mac, sizeof mac);
    return error;
}

static cb_error decrypt(const cb_piv_session *session, const secured *answer, cb_buf *out)
{
    uint8_t iv[CB_AES_BLOCK];
    size_t len = 0, before = out->len;
    if (!answer->has_data)
        return CB_OK;
    cb_cursor cursor = cb_cursor_over(answer->data);
    uint8_t padding = cb_cursor_u8(&cursor);
    cb_bytes encrypted = cb_cursor_rest(&cursor);
    if (padding != PADDED || encrypted.len == 0 || encrypted.len % CB_AES_BLOCK != 0)
        return CB_E_CARD_ANSWER;
    uint8_t *at = cb_buf_extend(out, encrypted.len);
    if (!at)
        return cb_buf_error(out) == CB_E_MEMORY ? CB_E_MEMORY : CB_E_CARD_ANSWER;
    cb_error error = vector(session, ANSWER_VECTOR, session->answered + 1, iv);
    if (!error)
        error = cb_aes_cbc_decrypt(KEY(session, enc), iv, encrypted, at);
    if (!error && !cb_sm_unpad(cb_bytes_make(at, encrypted.len), &len))
        error = CB_E_CARD_ANSWER;
    if (error)
        cb_wipe(at, encrypted.len);
    out->len = before + (error ? 0 : len);
    return error;
}

cb_error cb_piv_open(cb_piv_session *session, cb_bytes answer, cb_buf *data, uint16_t *status)
{
    secured parts = {0};
    *status = 0;
    if (!session->open || session->answered == session->sent)
        return CB_E_ARGUMENT;
    if (answer.len < 2 || answer.len > CB_ANSWER_MAX)
        return end_with(session, CB_E_CARD_ANSWER);
    if (cb_answer_status(answer) != CB_SW_OK)
        return end_with(session, CB_E_CARD_STATUS);
    cb_error error = take_apart(cb_answer_data(answer), &parts) ? CB_OK : CB_E_CARD_ANSWER;
    if (!error)
        error = check_mac(session, &parts);
    if (!error)
        error = decrypt(session, &parts, data);
    if (error)
        return end_with(session, error);
    session->answered++;
    *status = parts.status;
    return CB_OK;
}
