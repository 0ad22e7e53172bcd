/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/piv/agreement.h"

#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/piv/commands.h"

enum {
    TAG_DYNAMIC = 0x7C,
    TAG_CHALLENGE = 0x81,
    TAG_RESPONSE = 0x82,
    CONTROL = 0x00, /* no persistent binding */
    COORDINATES = CB_P256_POINT - 1,
    CARD_ID = 8,
    T16 = 16,
    KEYS = 4 * CB_PIV_SESSION_KEY,
    OTHER_INFO = 61
};

cb_error cb_piv_offer_put(const cb_piv_offer *offer, cb_buf *command)
{
    static const uint8_t control = CONTROL;
    cb_buf challenge = CB_BUF(128), inner = CB_BUF(128), outer = CB_BUF(128);
    cb_buf_put(&challenge, cb_bytes_make(&control, 1));
    cb_buf_put(&challenge, CB_BYTES_OF(offer->id));
    cb_buf_put(&challenge, CB_BYTES_OF(offer->point));
    cb_tlv_put(&inner, TAG_CHALLENGE, cb_buf_bytes(&challenge));
    cb_tlv_put(&inner, TAG_RESPONSE, (cb_bytes){0});
    cb_tlv_put(&outer, TAG_DYNAMIC, cb_buf_bytes(&inner));
    cb_error error = cb_buf_error(&challenge) ? cb_buf_error(&challenge) : cb_buf_error(&inner);
    if (!error)
        error = cb_buf_error(&outer);
    if (!error) {
        cb_apdu_put(command, &(cb_apdu){0x00, CB_PIV_INS_AUTHENTICATE, CB_PIV_CIPHER_SUITE_2,
                                        CB_PIV_KEY_MESSAGING, cb_buf_bytes(&outer), true});
        error = cb_buf_error(command);
    }
    cb_buf_free(&challenge);
    cb_buf_free(&inner);
    cb_buf_free(&outer);
    return error;
}

cb_error cb_piv_offer_make(cb_piv_offer *offer, cb_buf *command)
{
    *offer = (cb_piv_offer){0};
    cb_error error = cb_p256_generate(offer->scalar, offer->point);
    if (!error)
        error = cb_piv_offer_put(offer, command);
    if (error)
        cb_wipe(offer, sizeof *offer);
    return error;
}

cb_error cb_piv_answer_read(cb_bytes data, cb_piv_answer *out)
{
    *out = (cb_piv_answer){0};
    cb_cursor outer = cb_cursor_over(data);
    cb_cursor inner = cb_cursor_over(cb_tlv_expect(&outer, TAG_DYNAMIC));
    cb_cursor cursor = cb_cursor_over(cb_tlv_expect(&inner, TAG_RESPONSE));
    uint8_t control = cb_cursor_u8(&cursor);
    cb_bytes nonce = cb_cursor_take(&cursor, CB_PIV_NONCE);
    cb_bytes cryptogram = cb_cursor_take(&cursor, CB_PIV_CRYPTOGRAM);
    if (!cb_cursor_done(&outer) || !cb_cursor_done(&inner) || !cb_cursor_ok(&cursor) ||
        control != CONTROL)
        return CB_E_CARD_ANSWER;
    cb_error error = cb_piv_cvc_read(cb_cursor_rest(&cursor), &out->certificate);
    if (!error) {
        out->nonce = nonce;
        out->cryptogram = cryptogram;
    }
    return error;
}

/* ---- Key derivation (4.1.6) ---- */

/* Algorithms of the four keys, then what each side said, each with its length before it. */
static void put_other_info(const cb_piv_offer *offer, const cb_piv_answer *answer,
                           const uint8_t card[CARD_ID], cb_buf *out)
{
    static const uint8_t algorithms[] = {0x04, 0x09, 0x09, 0x09, 0x09}; /* AES-128 */
    static const uint8_t control = CONTROL;
    const cb_bytes parts[] = {CB_BYTES_OF(offer->id),
                              cb_bytes_make(&control, 1),
                              cb_bytes_make(offer->point + 1, T16),
                              cb_bytes_make(card, CARD_ID),
                              answer->nonce,
                              cb_bytes_make(&control, 1)};
    cb_buf_put(out, CB_BYTES_OF(algorithms));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        cb_buf_put_u8(out, (uint8_t)parts[i].len);
        cb_buf_put(out, parts[i]);
    }
}

/* One-step derivation (SP 800-56A): SHA-256(counter ‖ Z ‖ OtherInfo), counted from 1. */
static cb_error derive(const uint8_t z[CB_P256_SCALAR], cb_bytes info, uint8_t keys[KEYS])
{
    if (info.len != OTHER_INFO)
        return CB_E_INTERNAL;
    for (uint8_t round = 0; round < KEYS / CB_SHA256_SIZE; round++) {
        const uint8_t counter[] = {0, 0, 0, (uint8_t)(round + 1)};
        const cb_bytes parts[] = {CB_BYTES_OF(counter), cb_bytes_make(z, CB_P256_SCALAR), info};
        cb_digest digest = cb_sha256_parts(parts, 3);
        memcpy(keys + round * CB_SHA256_SIZE, digest.bytes, CB_SHA256_SIZE);
        cb_wipe(&digest, sizeof digest);
    }
    return CB_OK;
}

/* Key confirmation (4.1.7). */
static cb_error confirm(cb_bytes key, const cb_piv_offer *offer, const cb_piv_answer *answer,
                        const uint8_t card[CARD_ID])
{
    static const uint8_t text[] = {'K', 'C', '_', '1', '_', 'V'};
    uint8_t expected[CB_AES_BLOCK];
    const cb_bytes parts[] = {CB_BYTES_OF(text), cb_bytes_make(card, CARD_ID),
                              CB_BYTES_OF(offer->id), cb_bytes_make(offer->point + 1, COORDINATES)};
    cb_error error = cb_aes_cmac(key, parts, 4, expected);
    if (!error && !cb_equal(CB_BYTES_OF(expected), answer->cryptogram))
        error = CB_E_CARD_PROOF;
    cb_wipe(expected, sizeof expected);
    return error;
}

static cb_error keys_of(const cb_piv_offer *offer, const cb_piv_answer *answer,
                        const uint8_t card[CARD_ID], uint8_t keys[KEYS])
{
    uint8_t z[CB_P256_SCALAR];
    cb_buf info = CB_BUF(OTHER_INFO);
    put_other_info(offer, answer, card, &info);
    cb_error error = cb_buf_error(&info);
    if (!error)
        error = cb_p256_agree(offer->scalar, answer->certificate.point, z);
    if (!error)
        error = derive(z, cb_buf_bytes(&info), keys);
    cb_wipe(z, sizeof z);
    cb_buf_free(&info);
    return error;
}

cb_error cb_piv_agree(cb_piv_offer *offer, const cb_piv_answer *answer, cb_bytes point,
                      cb_piv_session *session)
{
    uint8_t keys[KEYS] = {0};
    *session = (cb_piv_session){0};
    cb_digest card = cb_sha256(answer->certificate.whole);
    cb_error error = cb_bytes_same(answer->certificate.point, point) ? CB_OK : CB_E_CARD_PROOF;
    if (!error)
        error = keys_of(offer, answer, card.bytes, keys);
    if (!error)
        error = confirm(cb_bytes_make(keys, CB_PIV_SESSION_KEY), offer, answer, card.bytes);
    if (!error)
        cb_piv_session_begin(session, keys + CB_PIV_SESSION_KEY);
    cb_wipe(keys, sizeof keys);
    cb_wipe(offer, sizeof *offer);
    return error;
}
