/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vpiv.h"

#include <stdlib.h>

#include <wolfssl/wolfcrypt/des3.h>

#include "base/crypto.h"
#include "base/tlv.h"

#define MUST(holds)                                                                                \
    do {                                                                                           \
        if (!(holds))                                                                              \
            abort();                                                                               \
    } while (0)

enum { PART = 255 };

static cb_error save(void *context, const cb_vcard *card)
{
    vpiv_memory *memory = context;
    bool fails = ++memory->writes == memory->fails_at;
    if (!fails || memory->after) {
        cb_buf_reset(&memory->durable);
        cb_vcard_put(card, &memory->durable);
        MUST(!cb_buf_error(&memory->durable));
    }
    return fails ? CB_E_IO : CB_OK;
}

static void wake(vpiv_card *p)
{
    const cb_vcard_store store = {&p->memory, save};
    cb_card_content content;
    cb_vcard_close(&p->card);
    MUST(cb_card_content_parse(cb_buf_bytes(&p->memory.durable), &content) == CB_OK);
    MUST(cb_vcard_of(&content, &store, &p->card) == CB_OK);
}

void vpiv_card_make(vpiv_card *p, const uint8_t algorithm[CB_VPIV_SLOTS], uint8_t management)
{
    vpiv_card_make_with(p, algorithm, management, NULL);
}

void vpiv_card_make_with(vpiv_card *p, const uint8_t algorithm[CB_VPIV_SLOTS], uint8_t management,
                         const cb_issue_signer *content_signer)
{
    cb_issue_piv_order order = {.content_signer = content_signer,
                                .name = cb_bytes_str("Hanako"),
                                .pin = cb_bytes_str(VPIV_CARD_PIN),
                                .puk = cb_bytes_str(VPIV_CARD_PUK),
                                .management_algorithm = management,
                                .not_before = 1780000000,
                                .not_after = 1880000000};
    cb_card_content content = {0};
    cb_buf state = CB_BUF(CB_CARD_STATE_MAX);
    *p = (vpiv_card){0};
    cb_buf_init(&p->memory.durable, CB_CARD_FILE_MAX);
    memcpy(order.algorithm, algorithm, sizeof order.algorithm);
    for (size_t i = 0; i < sizeof order.management_key; i++)
        order.management_key[i] = (uint8_t)(0x11 + i);
    MUST(cb_issue_piv(&order, &p->first, &p->guid) == CB_OK);
    cb_vpiv_state_put(&state, &p->first);
    MUST(!cb_buf_error(&state));
    MUST(cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vpiv_atr)) == CB_OK);
    MUST(cb_card_content_add(&content, &cb_applet_piv, cb_buf_bytes(&state)) == CB_OK);
    cb_card_content_put(&p->memory.durable, &content);
    cb_buf_free(&state);
    wake(p);
}

void vpiv_card_free(vpiv_card *p)
{
    cb_vcard_close(&p->card);
    cb_buf_free(&p->memory.durable);
    cb_vpiv_state_free(&p->first);
}

void vpiv_card_wake(vpiv_card *p) { wake(p); }

uint16_t vpiv_raw(cb_vcard *card, cb_bytes command, cb_buf *out)
{
    cb_buf answer = CB_BUF(258);
    cb_vcard_process(card, command, &answer);
    MUST(!cb_buf_error(&answer) && answer.len >= 2);
    uint16_t status = (uint16_t)(answer.data[answer.len - 2] << 8 | answer.data[answer.len - 1]);
    if (out)
        cb_buf_put(out, cb_bytes_make(answer.data, answer.len - 2));
    cb_buf_free(&answer);
    return status;
}

static uint16_t send_part(cb_vcard *card, cb_apdu apdu, cb_buf *out)
{
    cb_buf command = CB_BUF(300);
    cb_apdu_put(&command, &apdu);
    uint16_t status = vpiv_raw(card, cb_buf_bytes(&command), out);
    cb_buf_free(&command);
    return status;
}

uint16_t vpiv_send(cb_vcard *card, uint8_t ins, uint8_t p1, uint8_t p2, cb_bytes data, cb_buf *out)
{
    cb_cursor cursor = cb_cursor_over(data);
    while (cursor.rest.len > PART) {
        uint16_t status = send_part(
            card, (cb_apdu){0x10, ins, p1, p2, cb_cursor_take(&cursor, PART), false}, NULL);
        if (status != CB_SW_OK)
            return status;
    }
    uint16_t status = send_part(card, (cb_apdu){0x00, ins, p1, p2, cursor.rest, true}, out);
    while ((status & 0xFF00) == CB_SW_MORE)
        status = send_part(card, (cb_apdu){0x00, 0xC0, 0, 0, {0}, true}, out);
    return status;
}

uint16_t vpiv_select(cb_vcard *card)
{
    return vpiv_raw(card, cb_bytes_make("\x00\xA4\x04\x00\x05\xA0\x00\x00\x03\x08", 10), NULL);
}

uint16_t vpiv_verify(cb_vcard *card, const char *pin)
{
    uint8_t block[CB_VPIV_PIN];
    memset(block, 0xFF, sizeof block);
    memcpy(block, pin, strlen(pin));
    return vpiv_send(card, 0x20, 0x00, 0x80, CB_BYTES_OF(block), NULL);
}

uint16_t vpiv_sign(cb_vcard *card, uint8_t algorithm, uint8_t slot, cb_bytes message, cb_buf *out)
{
    cb_buf body = CB_BUF(1024), data = CB_BUF(1024), answer = CB_BUF(1024);
    cb_bytes template, signature;
    cb_tlv_put(&body, 0x82, (cb_bytes){0});
    cb_tlv_put(&body, 0x81, message);
    cb_tlv_put(&data, 0x7C, cb_buf_bytes(&body));
    uint16_t status = vpiv_send(card, VPIV_USE, algorithm, slot, cb_buf_bytes(&data), &answer);
    if (status == CB_SW_OK) {
        MUST(cb_tlv_find(cb_buf_bytes(&answer), 0x7C, &template));
        MUST(cb_tlv_find(template, 0x82, &signature));
        if (out)
            cb_buf_put(out, signature);
    }
    cb_buf_free(&body);
    cb_buf_free(&data);
    cb_buf_free(&answer);
    return status;
}

void vpiv_encrypt(const cb_vpiv_state *state, const uint8_t *in, uint8_t *out)
{
    static const uint8_t zero[8];
    size_t len = cb_vpiv_management_len(state->management_algorithm);
    Des3 des;
    if (state->management_algorithm != CB_VPIV_3DES) {
        MUST(cb_aes_block(cb_bytes_make(state->management_key, len), in, out) == CB_OK);
        return;
    }
    MUST(wc_Des3Init(&des, NULL, INVALID_DEVID) == 0);
    MUST(wc_Des3_SetKey(&des, state->management_key, zero, DES_ENCRYPTION) == 0);
    MUST(wc_Des3_CbcEncrypt(&des, out, in, 8) == 0);
    wc_Des3Free(&des);
}

uint16_t vpiv_manage(cb_vcard *card, const cb_vpiv_state *state)
{
    uint8_t algorithm = state->management_algorithm, response[16];
    size_t len = algorithm == CB_VPIV_3DES ? 8 : 16;
    cb_buf answer = CB_BUF(64), body = CB_BUF(64), data = CB_BUF(64);
    cb_bytes template, challenge;
    uint16_t status =
        vpiv_send(card, VPIV_USE, algorithm, 0x9B, cb_bytes_make("\x7C\x02\x81\x00", 4), &answer);
    if (status == CB_SW_OK) {
        MUST(cb_tlv_find(cb_buf_bytes(&answer), 0x7C, &template));
        MUST(cb_tlv_find(template, 0x81, &challenge) && challenge.len == len);
        vpiv_encrypt(state, challenge.data, response);
        cb_tlv_put(&body, 0x82, cb_bytes_make(response, len));
        cb_tlv_put(&data, 0x7C, cb_buf_bytes(&body));
        status = vpiv_send(card, VPIV_USE, algorithm, 0x9B, cb_buf_bytes(&data), NULL);
    }
    cb_buf_free(&answer);
    cb_buf_free(&body);
    cb_buf_free(&data);
    return status;
}
