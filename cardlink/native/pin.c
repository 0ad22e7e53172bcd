/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/native/pin.h"

#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/native/native.h"

typedef struct pin_keys {
    uint8_t enc[CB_NATIVE_KEY];
    uint8_t mac[CB_NATIVE_KEY];
} pin_keys;

static const uint8_t zero_iv[CB_AES_BLOCK];

static bool all_digits(cb_bytes digits)
{
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
    }
    return true;
}

bool cb_pin_ok(cb_bytes digits)
{
    return digits.len >= CB_PIN_MIN && digits.len <= CB_PIN_MAX && all_digits(digits);
}

bool cb_unblock_code_ok(cb_bytes digits)
{
    return digits.len == CB_UNBLOCK_CODE_LEN && all_digits(digits);
}

cb_pin_form cb_pin_form_for(uint8_t purpose)
{
    switch (purpose) {
    case CB_TAP_AUTHENTICATE:
    case CB_TAP_MAINTENANCE:
    case CB_TAP_MAINTENANCE_END:
        return CB_PIN_FORM_VERIFY;
    case CB_TAP_PIN_CHANGE:
        return CB_PIN_FORM_CHANGE;
    case CB_TAP_PIN_UNBLOCK:
        return CB_PIN_FORM_UNBLOCK;
    case CB_TAP_PIN_RESET:
        return CB_PIN_FORM_RESET;
    default:
        return CB_PIN_FORM_NONE;
    }
}

cb_error cb_pin_card_key(const cb_script *answers, uint8_t point[CB_P256_POINT])
{
    if (answers->count == 0)
        return CB_E_CARD_ANSWER;
    cb_bytes answer = answers->item[answers->count - 1].apdu;
    cb_cursor cursor = cb_cursor_over(cb_answer_data(answer));
    cb_bytes found = cb_tlv_expect(&cursor, CB_TAG_EPHEMERAL);
    cb_bytes receipt = cb_tlv_expect(&cursor, CB_TAG_RECEIPT);
    if (cb_answer_status(answer) != 0x9000 || !cb_cursor_done(&cursor) ||
        receipt.len != CB_NATIVE_RECEIPT || !cb_p256_is_point(found))
        return CB_E_CARD_ANSWER;
    memcpy(point, found.data, CB_P256_POINT);
    return CB_OK;
}

static bool form_ok(uint8_t form, cb_bytes secret, cb_bytes fresh)
{
    switch (form) {
    case CB_PIN_FORM_VERIFY:
        return cb_pin_ok(secret) && fresh.len == 0;
    case CB_PIN_FORM_CHANGE:
        return cb_pin_ok(secret) && cb_pin_ok(fresh);
    case CB_PIN_FORM_UNBLOCK:
        return cb_unblock_code_ok(secret) && cb_pin_ok(fresh);
    case CB_PIN_FORM_RESET:
        return secret.len == 0 && cb_pin_ok(fresh);
    default:
        return false;
    }
}

void cb_pin_pad(cb_bytes digits, uint8_t out[CB_PIN_MAX])
{
    memset(out, 0xFF, CB_PIN_MAX);
    if (digits.len > 0)
        memcpy(out, digits.data, digits.len);
}

static void block_make(uint8_t form, cb_bytes secret, cb_bytes fresh, uint8_t block[CB_PIN_BLOCK])
{
    memset(block, 0, CB_PIN_BLOCK);
    block[0] = form;
    block[1] = (uint8_t)secret.len;
    cb_pin_pad(secret, &block[2]);
    block[2 + CB_PIN_MAX] = (uint8_t)fresh.len;
    memset(&block[3 + CB_PIN_MAX], 0xFF, CB_PIN_MAX);
    if (fresh.len > 0)
        cb_pin_pad(fresh, &block[3 + CB_PIN_MAX]);
}

static cb_error derive(const uint8_t scalar[CB_P256_SCALAR], cb_bytes peer, cb_bytes terminal,
                       cb_bytes card, pin_keys *keys)
{
    static const char domain[] = "cardbroker pin 1"; /* its final zero is part of it */
    uint8_t shared[CB_P256_SCALAR];
    uint8_t derived[2 * CB_NATIVE_KEY];
    cb_buf info = CB_BUF(256);
    cb_buf_put(&info, CB_BYTES_OF(domain));
    cb_buf_put(&info, terminal);
    cb_buf_put(&info, card);
    cb_error error = cb_buf_error(&info);
    if (!error)
        error = cb_p256_agree(scalar, peer, shared);
    if (!error)
        error = cb_kdf_x963(CB_BYTES_OF(shared), cb_buf_bytes(&info), derived, sizeof derived);
    if (!error) {
        memcpy(keys->enc, derived, CB_NATIVE_KEY);
        memcpy(keys->mac, &derived[CB_NATIVE_KEY], CB_NATIVE_KEY);
    }
    cb_wipe(shared, sizeof shared);
    cb_wipe(derived, sizeof derived);
    cb_buf_free(&info);
    return error;
}

cb_error cb_pin_encrypt(cb_pin_form form, cb_bytes secret, cb_bytes fresh,
                        const uint8_t card_point[CB_P256_POINT], cb_buf *ciphertext)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    uint8_t block[CB_PIN_BLOCK], mac[CB_AES_BLOCK];
    cb_bytes card = cb_bytes_make(card_point, CB_P256_POINT);
    pin_keys keys = {0};
    if (!form_ok((uint8_t)form, secret, fresh))
        return CB_E_PIN_FORMAT;
    if (!cb_p256_is_point(card))
        return CB_E_CARD_ANSWER;
    block_make((uint8_t)form, secret, fresh, block);
    cb_error error = cb_p256_generate(scalar, point);
    if (!error)
        error = derive(scalar, card, CB_BYTES_OF(point), card, &keys);
    if (!error)
        error = cb_aes_cbc_encrypt(CB_BYTES_OF(keys.enc), zero_iv, CB_BYTES_OF(block), block);
    if (!error)
        error = cb_aes_cmac(CB_BYTES_OF(keys.mac), &CB_BYTES_OF(block), 1, mac);
    if (!error) {
        cb_buf_put(ciphertext, CB_BYTES_OF(point));
        cb_buf_put(ciphertext, CB_BYTES_OF(block));
        cb_buf_put(ciphertext, CB_BYTES_OF(mac));
        error = cb_buf_error(ciphertext);
    }
    cb_wipe(scalar, sizeof scalar);
    cb_wipe(block, sizeof block);
    cb_wipe(&keys, sizeof keys);
    return error;
}

static cb_error block_read(const uint8_t block[CB_PIN_BLOCK], cb_pin_block *out)
{
    uint8_t again[CB_PIN_BLOCK];
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(block, CB_PIN_BLOCK));
    out->form = cb_cursor_u8(&cursor);
    out->secret_len = cb_cursor_u8(&cursor);
    cb_cursor_copy(&cursor, out->secret, CB_PIN_MAX);
    out->fresh_len = cb_cursor_u8(&cursor);
    cb_cursor_copy(&cursor, out->fresh, CB_PIN_MAX);
    if (out->secret_len > CB_PIN_MAX || out->fresh_len > CB_PIN_MAX)
        return CB_E_PIN_FORMAT;
    cb_bytes secret = cb_bytes_make(out->secret, out->secret_len);
    cb_bytes fresh = cb_bytes_make(out->fresh, out->fresh_len);
    if (!form_ok(out->form, secret, fresh))
        return CB_E_PIN_FORMAT;
    /* One block for one meaning: what it says, written again, must be the same bytes. */
    block_make(out->form, secret, fresh, again);
    bool same = cb_equal(CB_BYTES_OF(again), cb_bytes_make(block, CB_PIN_BLOCK));
    cb_wipe(again, sizeof again);
    return same ? CB_OK : CB_E_PIN_FORMAT;
}

cb_error cb_pin_decrypt(cb_bytes ciphertext, const uint8_t scalar[CB_P256_SCALAR],
                        const uint8_t point[CB_P256_POINT], cb_pin_block *out)
{
    uint8_t block[CB_PIN_BLOCK], mac[CB_AES_BLOCK];
    pin_keys keys = {0};
    cb_cursor cursor = cb_cursor_over(ciphertext);
    cb_bytes terminal = cb_cursor_take(&cursor, CB_P256_POINT);
    cb_bytes encrypted = cb_cursor_take(&cursor, CB_PIN_BLOCK);
    cb_bytes sent_mac = cb_cursor_take(&cursor, CB_AES_BLOCK);
    cb_error error = CB_E_CARD_ANSWER;
    if (!cb_cursor_done(&cursor) ||
        derive(scalar, terminal, terminal, cb_bytes_make(point, CB_P256_POINT), &keys) ||
        cb_aes_cmac(CB_BYTES_OF(keys.mac), &encrypted, 1, mac) ||
        !cb_equal(CB_BYTES_OF(mac), sent_mac) ||
        cb_aes_cbc_decrypt(CB_BYTES_OF(keys.enc), zero_iv, encrypted, block))
        goto end;
    error = block_read(block, out);
end:
    if (error)
        cb_wipe(out, sizeof *out);
    cb_wipe(block, sizeof block);
    cb_wipe(&keys, sizeof keys);
    return error;
}
