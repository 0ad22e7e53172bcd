/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vpiv_host.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/x509/certificate.h"

#define MUST(holds)                                                                                \
    do {                                                                                           \
        if (!(holds))                                                                              \
            abort();                                                                               \
    } while (0)

enum { PART = 255, FIELD_MAX = 8192 };

void vpiv_signer_make(cb_issue_signer *out)
{
    cb_x509 read;
    cb_buf extensions = CB_BUF(512);
    *out = (cb_issue_signer){.name = CB_BUF(CB_ISSUE_NAME_MAX),
                             .key_id = CB_BUF(64),
                             .certificate = CB_BUF(CB_ISSUE_X509_MAX)};
    MUST(cb_vcard_key_generate(CB_VCARD_EC_P256, &out->key) == CB_OK);
    MUST(cb_issue_name(cb_bytes_str("Content signer"), &out->name) == CB_OK);
    cb_issue_key_usage(&extensions, 0x80);
    cb_issue_extended_usage(&extensions, CB_ISSUE_CONTENT_SIGNING, true);
    MUST(cb_issue_x509_make(&(cb_issue_x509){cb_buf_bytes(&out->name), &out->key,
                                             cb_buf_bytes(&extensions), 1780000000, 1880000000},
                            NULL, &out->certificate) == CB_OK);
    MUST(cb_x509_parse(cb_buf_bytes(&out->certificate), &read) == CB_OK);
    cb_buf_put(&out->key_id, read.subject_key_id);
    cb_buf_free(&extensions);
}

void vpiv_card_make_secured(vpiv_card *p, const uint8_t algorithm[CB_VPIV_SLOTS],
                            uint8_t management)
{
    cb_issue_signer signer;
    vpiv_signer_make(&signer);
    vpiv_card_make_with(p, algorithm, management, &signer);
    cb_issue_signer_end(&signer);
}

void vpiv_host_request(uint8_t control, cb_bytes point, cb_buf *out)
{
    static const uint8_t host[CB_VPIV_CHANNEL_ID];
    cb_buf value = CB_BUF(256), body = CB_BUF(256);
    cb_buf_put_u8(&value, control);
    cb_buf_put(&value, CB_BYTES_OF(host));
    cb_buf_put(&value, point);
    cb_tlv_put(&body, 0x81, cb_buf_bytes(&value));
    cb_tlv_put(&body, 0x82, (cb_bytes){0});
    cb_tlv_put(out, 0x7C, cb_buf_bytes(&body));
    cb_buf_free(&value);
    cb_buf_free(&body);
}

/* The point of a certificate, wherever it stands in it. */
static cb_bytes point_of(cb_bytes cvc)
{
    cb_bytes body, holder, point;
    MUST(cb_tlv_find(cvc, 0x7F21, &body) && cb_tlv_find(body, 0x7F49, &holder) &&
         cb_tlv_find(holder, 0x86, &point));
    return point;
}

static void derive(vpiv_host *host, uint8_t control, const uint8_t *scalar, cb_bytes answer)
{
    static const uint8_t id[CB_VPIV_CHANNEL_ID];
    uint8_t secret[CB_P256_SCALAR], expected[CB_VPIV_CRYPTOGRAM];
    cb_bytes template, value;
    MUST(cb_tlv_find(answer, 0x7C, &template) && cb_tlv_find(template, 0x82, &value));
    cb_cursor cursor = cb_cursor_over(value);
    MUST(cb_cursor_u8(&cursor) == (control & 0xF0));
    cb_bytes nonce = cb_cursor_take(&cursor, CB_VPIV_CHANNEL_NONCE);
    cb_bytes cryptogram = cb_cursor_take(&cursor, CB_VPIV_CRYPTOGRAM);
    cb_bytes cvc = cb_cursor_rest(&cursor);
    MUST(cb_p256_agree(scalar, point_of(cvc), secret) == CB_OK);
    const cb_vpiv_agreement agreement = {
        control, CB_BYTES_OF(id), CB_BYTES_OF(host->point), CB_BYTES_OF(secret), cvc, nonce};
    MUST(cb_vpiv_channel_open(&agreement, &host->keys, expected) == CB_OK);
    MUST(cb_bytes_same(cryptogram, CB_BYTES_OF(expected)));
}

uint16_t vpiv_host_open(vpiv_host *host, cb_vcard *card, uint8_t control)
{
    uint8_t scalar[CB_P256_SCALAR];
    cb_buf request = CB_BUF(256), answer = CB_BUF(512);
    *host = (vpiv_host){.card = card};
    MUST(cb_p256_generate(scalar, host->point) == CB_OK);
    vpiv_host_request(control, CB_BYTES_OF(host->point), &request);
    uint16_t status =
        vpiv_send(card, VPIV_USE, CB_VPIV_CIPHER_SUITE_2, 0x04, cb_buf_bytes(&request), &answer);
    if (status == CB_SW_OK)
        derive(host, control, scalar, cb_buf_bytes(&answer));
    cb_buf_free(&request);
    cb_buf_free(&answer);
    return status;
}

static void vector(const vpiv_host *host, uint8_t first, uint8_t iv[CB_AES_BLOCK])
{
    uint8_t counter[CB_AES_BLOCK] = {first};
    counter[14] = (uint8_t)(host->keys.counter >> 8);
    counter[15] = (uint8_t)host->keys.counter;
    MUST(cb_aes_block(CB_BYTES_OF(host->keys.enc), counter, iv) == CB_OK);
}

void vpiv_host_encrypt(const vpiv_host *host, cb_bytes padded, cb_buf *objects)
{
    uint8_t iv[CB_AES_BLOCK];
    cb_buf value = CB_BUF(FIELD_MAX);
    vector(host, 0x00, iv);
    cb_buf_put_u8(&value, 0x01);
    MUST(cb_aes_cbc_encrypt(CB_BYTES_OF(host->keys.enc), iv, padded,
                            cb_buf_extend(&value, padded.len)) == CB_OK);
    cb_tlv_put(objects, 0x87, cb_buf_bytes(&value));
    cb_buf_free(&value);
}

void vpiv_host_wrap_objects(vpiv_host *host, const cb_apdu *header, cb_bytes objects, cb_buf *out)
{
    const uint8_t first[CB_AES_BLOCK] = {0x0C, header->ins, header->p1, header->p2, 0x80};
    const cb_bytes parts[] = {CB_BYTES_OF(host->keys.command_chain), CB_BYTES_OF(first), objects};
    uint8_t mac[CB_AES_BLOCK];
    MUST(cb_aes_cmac(CB_BYTES_OF(host->keys.mac), parts, 3, mac) == CB_OK);
    memcpy(host->keys.command_chain, mac, sizeof mac);
    cb_buf_put(out, objects);
    cb_tlv_put(out, 0x8E, cb_bytes_make(mac, 8));
}

void vpiv_host_wrap(vpiv_host *host, const cb_apdu *plain, cb_buf *out)
{
    static const uint8_t zeros[CB_AES_BLOCK];
    cb_buf padded = CB_BUF(FIELD_MAX), objects = CB_BUF(FIELD_MAX);
    cb_buf_put(&padded, plain->data);
    cb_buf_put_u8(&padded, 0x80);
    cb_buf_put(&padded, cb_bytes_make(zeros, (0 - padded.len) % CB_AES_BLOCK));
    if (plain->data.len > 0)
        vpiv_host_encrypt(host, cb_buf_bytes(&padded), &objects);
    if (plain->le)
        cb_tlv_put(&objects, 0x97, cb_bytes_make("\x00", 1));
    vpiv_host_wrap_objects(host, plain, cb_buf_bytes(&objects), out);
    cb_buf_free(&padded);
    cb_buf_free(&objects);
}

static uint16_t send_part(cb_vcard *card, cb_apdu apdu, cb_buf *out)
{
    cb_buf command = CB_BUF(300);
    cb_apdu_put(&command, &apdu);
    uint16_t status = vpiv_raw(card, cb_buf_bytes(&command), out);
    cb_buf_free(&command);
    return status;
}

uint16_t vpiv_host_raw(vpiv_host *host, const cb_apdu *header, cb_bytes field, cb_buf *answer)
{
    cb_cursor cursor = cb_cursor_over(field);
    cb_apdu part = {0x1C, header->ins, header->p1, header->p2, {0}, false};
    while (cursor.rest.len > PART) {
        part.data = cb_cursor_take(&cursor, PART);
        uint16_t status = send_part(host->card, part, NULL);
        if (status != CB_SW_OK)
            return status;
    }
    part = (cb_apdu){0x0C, header->ins, header->p1, header->p2, cursor.rest, true};
    uint16_t status = send_part(host->card, part, answer);
    while ((status & 0xFF00) == CB_SW_MORE)
        status = send_part(host->card, (cb_apdu){0x00, 0xC0, 0, 0, {0}, true}, answer);
    return status;
}

static void decrypt(const vpiv_host *host, cb_bytes value, cb_buf *out)
{
    uint8_t iv[CB_AES_BLOCK];
    cb_cursor cursor = cb_cursor_over(value);
    cb_buf plain = CB_BUF(FIELD_MAX);
    MUST(cb_cursor_u8(&cursor) == 0x01 && cursor.rest.len > 0);
    vector(host, 0x80, iv);
    MUST(cb_aes_cbc_decrypt(CB_BYTES_OF(host->keys.enc), iv, cursor.rest,
                            cb_buf_extend(&plain, cursor.rest.len)) == CB_OK);
    size_t len = plain.len;
    while (len > 0 && plain.data[len - 1] == 0x00)
        len--;
    MUST(len > 0 && plain.data[len - 1] == 0x80 && plain.len - len < CB_AES_BLOCK);
    if (out)
        cb_buf_put(out, cb_bytes_make(plain.data, len - 1));
    cb_buf_free(&plain);
}

uint16_t vpiv_host_read(vpiv_host *host, cb_bytes answer, cb_buf *out)
{
    enum { MAC_OBJECT = 10 };
    uint8_t mac[CB_AES_BLOCK];
    cb_bytes status, given, value;
    MUST(answer.len > MAC_OBJECT);
    const cb_bytes parts[] = {CB_BYTES_OF(host->keys.answer_chain),
                              cb_bytes_make(answer.data, answer.len - MAC_OBJECT)};
    MUST(cb_tlv_find(answer, 0x99, &status) && status.len == 2);
    MUST(cb_tlv_find(answer, 0x8E, &given) && given.len == 8);
    MUST(cb_aes_cmac(CB_BYTES_OF(host->keys.rmac), parts, 2, mac) == CB_OK);
    MUST(cb_bytes_same(given, cb_bytes_make(mac, 8)));
    memcpy(host->keys.answer_chain, mac, sizeof mac);
    if (cb_tlv_find(answer, 0x87, &value))
        decrypt(host, value, out);
    host->keys.counter++;
    return (uint16_t)(status.data[0] << 8 | status.data[1]);
}

uint16_t vpiv_host_send(vpiv_host *host, uint8_t ins, uint8_t p1, uint8_t p2, cb_bytes data,
                        cb_buf *out)
{
    const cb_apdu plain = {0x00, ins, p1, p2, data, ins == VPIV_GET || ins == VPIV_USE};
    cb_buf field = CB_BUF(FIELD_MAX), answer = CB_BUF(FIELD_MAX);
    vpiv_host_wrap(host, &plain, &field);
    uint16_t status = vpiv_host_raw(host, &plain, cb_buf_bytes(&field), &answer);
    if (status == CB_SW_OK)
        status = vpiv_host_read(host, cb_buf_bytes(&answer), out);
    else
        MUST(answer.len == 0);
    cb_buf_free(&field);
    cb_buf_free(&answer);
    return status;
}

uint16_t vpiv_host_verify(vpiv_host *host, const char *pin)
{
    uint8_t block[CB_VPIV_PIN];
    MUST(cb_vpiv_pin_pad(cb_bytes_str(pin), block));
    return vpiv_host_send(host, 0x20, 0x00, 0x80, CB_BYTES_OF(block), NULL);
}

uint16_t vpiv_host_get(vpiv_host *host, cb_bytes list, cb_buf *out)
{
    return vpiv_host_send(host, VPIV_GET, 0x3F, 0xFF, list, out);
}

bool vpiv_host_is_open(const vpiv_card *p)
{
    static const uint8_t none[CB_VPIV_CHANNEL_KEY];
    const cb_vpiv_application *piv = cb_vcard_applet(p->card, &cb_applet_piv);
    const cb_vpiv_channel *channel = &piv->session.channel;
    MUST(channel->open || cb_bytes_same(CB_BYTES_OF(channel->enc), CB_BYTES_OF(none)));
    return channel->open;
}

vpiv_host vpiv_host_opened(const vpiv_card *p)
{
    vpiv_host host;
    MUST(vpiv_host_open(&host, p->card, 0x00) == CB_SW_OK && vpiv_host_is_open(p));
    return host;
}
