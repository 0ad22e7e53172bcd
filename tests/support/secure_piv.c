/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/secure_piv.h"

#include <stdlib.h>

#include "base/tlv.h"
#include "cardlink/apdu.h"

#define MUST(holds)                                                                                \
    do {                                                                                           \
        if (!(holds))                                                                              \
            abort();                                                                               \
    } while (0)

enum { PART = 255, ANSWER_PART = 256, NO_SESSION = 0x6982, WRONG = 0x6988, MISSING = 0x6987 };

void secure_piv_make(secure_piv *p, const cb_card_io *plain)
{
    *p = (secure_piv){.plain = *plain,
                      .certificate = CB_BUF(1024),
                      .signer = CB_BUF(CB_ANSWER_MAX),
                      .chained = CB_BUF(4096),
                      .rest = CB_BUF(CB_ANSWER_MAX)};
    MUST(cb_p256_generate(p->scalar, p->point) == CB_OK);
}

void secure_piv_free(secure_piv *p)
{
    cb_buf_free(&p->certificate);
    cb_buf_free(&p->signer);
    cb_buf_free(&p->chained);
    cb_buf_free(&p->rest);
}

void secure_piv_reset(secure_piv *p)
{
    p->open = false;
    cb_buf_reset(&p->chained);
    cb_buf_reset(&p->rest);
}

/* ---- Certificates ---- */

static const uint8_t ecdsa[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
static const uint8_t rsa[] = {0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                              0xF7, 0x0D, 0x01, 0x01, 0x0B, 0x05, 0x00};
const cb_bytes secure_piv_ecdsa = {ecdsa, sizeof ecdsa}, secure_piv_rsa = {rsa, sizeof rsa};

static void put_signature(const secure_piv_cvc *what, cb_buf *body)
{
    cb_buf bits = CB_BUF(512), object = CB_BUF(512), whole = CB_BUF(512);
    cb_digest digest = cb_sha256(cb_buf_bytes(body));
    cb_buf_put_u8(&bits, 0);
    MUST(what->sign(what->key, cb_digest_bytes(&digest), &bits) == CB_OK);
    cb_buf_put(&object, what->algorithm);
    cb_tlv_put(&object, 0x03, cb_buf_bytes(&bits));
    cb_tlv_put(&whole, 0x30, cb_buf_bytes(&object));
    cb_tlv_put(body, 0x5F37, cb_buf_bytes(&whole));
    MUST(!cb_buf_error(&whole));
    cb_buf_free(&bits);
    cb_buf_free(&object);
    cb_buf_free(&whole);
}

void secure_piv_certify(const secure_piv_cvc *what, cb_buf *out)
{
    static const uint8_t profile[] = {0x80};
    static const uint8_t curve[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
    cb_buf body = CB_BUF(1024), public = CB_BUF(128);
    cb_tlv_put(&public, 0x06, CB_BYTES_OF(curve));
    cb_tlv_put(&public, 0x86, what->point);
    cb_tlv_put(&body, 0x5F29, CB_BYTES_OF(profile));
    cb_tlv_put(&body, 0x42, what->issuer);
    cb_tlv_put(&body, 0x5F20, what->subject);
    cb_tlv_put(&body, 0x7F49, cb_buf_bytes(&public));
    cb_tlv_put(&body, 0x5F4C, cb_bytes_make(&what->role, 1));
    put_signature(what, &body);
    cb_tlv_put(out, 0x7F21, cb_buf_bytes(&body));
    MUST(!cb_buf_error(&body) && !cb_buf_error(out));
    cb_buf_free(&body);
    cb_buf_free(&public);
}

/* ---- Answers in parts ---- */

static cb_error say(secure_piv *p, cb_buf *answer)
{
    size_t len = p->rest.len < ANSWER_PART ? p->rest.len : ANSWER_PART, left = p->rest.len - len;
    cb_buf_put(answer, cb_bytes_make(p->rest.data, len));
    cb_buf_put_u16(answer, left == 0     ? CB_SW_OK
                           : left > PART ? CB_SW_MORE
                                         : (uint16_t)(CB_SW_MORE | left));
    if (len > 0)
        memmove(p->rest.data, p->rest.data + len, left);
    p->rest.len = left;
    return cb_buf_error(answer);
}

static cb_error status(cb_buf *answer, uint16_t word)
{
    cb_buf_put_u16(answer, word);
    return cb_buf_error(answer);
}

/* ---- Key establishment ---- */

static void derive(secure_piv *p, const uint8_t *offer, const uint8_t *nonce, const uint8_t *id,
                   uint8_t cryptogram[16])
{
    static const uint8_t head[] = {4, 9, 9, 9, 9, 8}, one[] = {1, 0, 16}, eight[] = {8};
    static const uint8_t sixteen[] = {16}, last[] = {1, 0};
    uint8_t z[CB_P256_SCALAR], keys[64];
    MUST(cb_p256_agree(p->scalar, cb_bytes_make(offer + 9, CB_P256_POINT), z) == CB_OK);
    for (uint8_t i = 0; i < 2; i++) {
        const uint8_t counter[] = {0, 0, 0, (uint8_t)(i + 1)};
        const cb_bytes parts[] = {
            CB_BYTES_OF(counter),        CB_BYTES_OF(z),       CB_BYTES_OF(head),
            cb_bytes_make(offer + 1, 8), CB_BYTES_OF(one),     cb_bytes_make(offer + 10, 16),
            CB_BYTES_OF(eight),          cb_bytes_make(id, 8), CB_BYTES_OF(sixteen),
            cb_bytes_make(nonce, 16),    CB_BYTES_OF(last)};
        cb_digest digest = cb_sha256_parts(parts, sizeof parts / sizeof *parts);
        memcpy(keys + i * sizeof digest.bytes, digest.bytes, sizeof digest.bytes);
    }
    const cb_bytes confirmed[] = {cb_bytes_str("KC_1_V"), cb_bytes_make(id, 8),
                                  cb_bytes_make(offer + 1, 8), cb_bytes_make(offer + 10, 64)};
    MUST(cb_aes_cmac(cb_bytes_make(keys, 16), confirmed, 4, cryptogram) == CB_OK);
    memcpy(p->mac, keys + 16, 16);
    memcpy(p->enc, keys + 32, 16);
    memcpy(p->rmac, keys + 48, 16);
    memset(p->command_chain, 0, 16);
    memset(p->answer_chain, 0, 16);
    p->counter = 1;
    p->open = true;
}

static cb_error establish(secure_piv *p, cb_bytes data, cb_buf *answer)
{
    uint8_t said[33] = {0};
    cb_bytes template, offer;
    if (p->refuses)
        return status(answer, CB_SW_PARAMETERS);
    if (!cb_tlv_find(data, 0x7C, &template) || !cb_tlv_find(template, 0x81, &offer) ||
        offer.len != 74 || offer.data[0] != 0)
        return status(answer, CB_SW_DATA);
    cb_digest id = cb_sha256(cb_buf_bytes(&p->certificate));
    memset(said + 1, 0x5A, 16);
    derive(p, offer.data, said + 1, id.bytes, said + 17);
    cb_buf inner = CB_BUF(2048), outer = CB_BUF(2048);
    cb_buf_put(&inner, CB_BYTES_OF(said));
    cb_buf_put(&inner, cb_buf_bytes(&p->certificate));
    cb_tlv_put(&outer, 0x82, cb_buf_bytes(&inner));
    cb_buf_reset(&p->rest);
    cb_tlv_put(&p->rest, 0x7C, cb_buf_bytes(&outer));
    MUST(!cb_buf_error(&inner) && !cb_buf_error(&outer) && !cb_buf_error(&p->rest));
    cb_buf_free(&inner);
    cb_buf_free(&outer);
    return say(p, answer);
}

/* ---- Commands inside ---- */

static void vector(const secure_piv *p, uint8_t top, uint8_t iv[16])
{
    uint8_t block[16] = {top};
    for (int i = 0; i < 4; i++)
        block[15 - i] = (uint8_t)(p->counter >> 8 * i);
    MUST(cb_aes_block(CB_BYTES_OF(p->enc), block, iv) == CB_OK);
}

/* Data and status that the card without secure messaging gives to a command of any length. */
static uint16_t ask_plain(secure_piv *p, const cb_apdu *apdu, cb_buf *data)
{
    uint16_t word = 0;
    cb_apdu next = *apdu;
    cb_cursor cursor = cb_cursor_over(apdu->data);
    for (bool more = true; more;) {
        cb_buf command = CB_BUF(300), answer = CB_BUF(CB_ANSWER_MAX);
        if (next.ins != 0xC0) {
            bool last = cursor.rest.len <= PART;
            next.data = cb_cursor_take(&cursor, last ? cursor.rest.len : PART);
            next.cla = last ? 0x00 : 0x10;
            next.le = last && apdu->le;
        }
        cb_apdu_put(&command, &next);
        MUST(p->plain.transmit(p->plain.card, cb_buf_bytes(&command), &answer) == CB_OK);
        word = cb_answer_status(cb_buf_bytes(&answer));
        cb_buf_put(data, cb_answer_data(cb_buf_bytes(&answer)));
        more = (word & 0xFF00) == CB_SW_MORE || (word == CB_SW_OK && next.cla == 0x10);
        if ((word & 0xFF00) == CB_SW_MORE)
            next = (cb_apdu){0x00, 0xC0, 0x00, 0x00, {0}, true};
        cb_buf_free(&command);
        cb_buf_free(&answer);
    }
    return word;
}

static bool right(secure_piv *p, const cb_apdu *apdu, cb_bytes before, cb_bytes sent)
{
    uint8_t mac[16];
    const uint8_t header[16] = {0x0C, apdu->ins, apdu->p1, apdu->p2, 0x80};
    const cb_bytes parts[] = {CB_BYTES_OF(p->command_chain), CB_BYTES_OF(header), before};
    MUST(cb_aes_cmac(CB_BYTES_OF(p->mac), parts, 3, mac) == CB_OK);
    memcpy(p->command_chain, mac, 16);
    return sent.len == 8 && memcmp(sent.data, mac, 8) == 0;
}

static bool decrypt(const secure_piv *p, cb_bytes value, cb_buf *out)
{
    uint8_t iv[16];
    if (value.len < 17 || value.len % 16 != 1 || value.data[0] != 1)
        return false;
    vector(p, 0, iv);
    uint8_t *at = cb_buf_extend(out, value.len - 1);
    MUST(at);
    MUST(cb_aes_cbc_decrypt(CB_BYTES_OF(p->enc), iv, cb_bytes_make(value.data + 1, value.len - 1),
                            at) == CB_OK);
    while (out->len > 0 && out->data[out->len - 1] == 0)
        out->len--;
    return out->len > 0 && out->data[--out->len] == 0x80;
}

static void wrap(secure_piv *p, cb_buf *data, uint16_t word)
{
    uint8_t iv[16], mac[16];
    const uint8_t said[] = {(uint8_t)(word >> 8), (uint8_t)word};
    cb_buf value = CB_BUF(CB_ANSWER_MAX);
    cb_buf_reset(&p->rest);
    if (data->len > 0) {
        vector(p, 0x80, iv);
        cb_buf_put_u8(data, 0x80);
        while (data->len % 16 != 0)
            cb_buf_put_u8(data, 0);
        MUST(cb_aes_cbc_encrypt(CB_BYTES_OF(p->enc), iv, cb_buf_bytes(data), data->data) == CB_OK);
        cb_buf_put_u8(&value, 1);
        cb_buf_put(&value, cb_buf_bytes(data));
        cb_tlv_put(&p->rest, 0x87, cb_buf_bytes(&value));
    }
    cb_tlv_put(&p->rest, 0x99, CB_BYTES_OF(said));
    const cb_bytes parts[] = {CB_BYTES_OF(p->answer_chain), cb_buf_bytes(&p->rest)};
    MUST(cb_aes_cmac(CB_BYTES_OF(p->rmac), parts, 2, mac) == CB_OK);
    memcpy(p->answer_chain, mac, 16);
    cb_tlv_put(&p->rest, 0x8E, cb_bytes_make(mac, 8));
    MUST(!cb_buf_error(&p->rest));
    p->counter++;
    cb_buf_free(&value);
}

/* Its data are all of the objects. */
static uint16_t carry_out(secure_piv *p, const cb_apdu *apdu, cb_bytes objects)
{
    cb_tlv object;
    cb_bytes before = {0};
    cb_cursor cursor = cb_cursor_over(objects);
    cb_buf plain = CB_BUF(4096), data = CB_BUF(CB_ANSWER_MAX);
    cb_apdu inner = {0x00, apdu->ins, apdu->p1, apdu->p2, {0}, false};
    uint16_t word = MISSING;
    while (cb_tlv_next(&cursor, &object) && object.tag != 0x8E) {
        inner.le = inner.le || object.tag == 0x97;
        if (object.tag == 0x87 && !decrypt(p, object.value, &plain))
            word = WRONG;
        before = cb_bytes_make(objects.data, objects.len - cursor.rest.len);
    }
    if (object.tag == 0x8E && cb_cursor_done(&cursor) && word != WRONG)
        word = right(p, apdu, before, object.value) || p->lies ? CB_SW_OK : WRONG;
    if (word == CB_SW_OK) {
        inner.data = cb_buf_bytes(&plain);
        p->inside++;
        wrap(p, &data, ask_plain(p, &inner, &data));
    }
    p->open = p->open && word == CB_SW_OK;
    cb_buf_free(&plain);
    cb_buf_free(&data);
    return word;
}

static cb_error secured(secure_piv *p, const cb_apdu *apdu, cb_buf *answer)
{
    if (!p->open)
        return status(answer, NO_SESSION);
    cb_buf_put(&p->chained, apdu->data);
    MUST(!cb_buf_error(&p->chained));
    if (apdu->cla & 0x10)
        return status(answer, CB_SW_OK);
    uint16_t word = carry_out(p, apdu, cb_buf_bytes(&p->chained));
    cb_buf_reset(&p->chained);
    return word == CB_SW_OK ? say(p, answer) : status(answer, word);
}

cb_error secure_piv_transmit(void *card, cb_bytes command, cb_buf *answer)
{
    static const uint8_t signer[] = {0x5C, 0x03, 0x5F, 0xC1, 0x22};
    secure_piv *p = card;
    cb_apdu apdu;
    if (cb_apdu_read(command, &apdu))
        return status(answer, CB_SW_LENGTH);
    if ((apdu.cla & 0xEF) == 0x0C)
        return secured(p, &apdu, answer);
    if (apdu.ins == 0xC0 && p->rest.len > 0)
        return say(p, answer);
    cb_buf_reset(&p->rest);
    if (apdu.ins == 0x87 && apdu.p1 == 0x27 && apdu.p2 == 0x04)
        return establish(p, apdu.data, answer);
    if (apdu.ins == 0xCB && cb_bytes_same(apdu.data, CB_BYTES_OF(signer)) && p->signer.len > 0) {
        cb_buf_put(&p->rest, cb_buf_bytes(&p->signer));
        return say(p, answer);
    }
    p->outside += apdu.ins == 0x87;
    return p->plain.transmit(p->plain.card, command, answer);
}
