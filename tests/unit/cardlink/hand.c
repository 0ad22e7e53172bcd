/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hand.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/tlv.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

uint16_t hand_plain(cb_vcard *card, cb_apdu apdu, cb_buf *answer)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX), own = CB_BUF(512);
    cb_buf *to = answer ? answer : &own;
    cb_buf_reset(to);
    cb_apdu_put(&command, &apdu);
    cb_vcard_process(card, cb_buf_bytes(&command), to);
    uint16_t status = cb_answer_status(cb_buf_bytes(to));
    cb_buf_free(&command);
    cb_buf_free(&own);
    return status;
}

uint16_t hand_select(cb_vcard *card)
{
    return hand_plain(card, (cb_apdu){0, CB_INS_SELECT, 4, 0, CB_BYTES_OF(cb_native_aid), true},
                      NULL);
}

void hand_open(hand *h, world *w)
{
    uint8_t scalar[32], point[65], ephemeral[32], fixed[32], data[CB_CHANNEL_DATA], receipt[16];
    cb_buf answer = CB_BUF(512);
    cb_bytes found = {0};
    cb_cvc batch;
    *h = (hand){.w = w};
    cb_bytes agreement = cb_buf_bytes(&w->agreement_certificate);
    cb_bytes certificate = cb_bytes_make(w->batch.certificate, w->batch.certificate_len);
    MUST(hand_select(w->card) == CB_SW_OK);
    MUST(hand_plain(w->card, (cb_apdu){0x80, CB_INS_PSO, 1, 0x20, agreement, false}, NULL) ==
         CB_SW_OK);
    MUST(cb_p256_generate(scalar, point) == CB_OK);
    cb_channel_data_make(point, data);
    MUST(hand_plain(w->card, (cb_apdu){0x80, CB_INS_MUTUAL, 1, 0x11, CB_BYTES_OF(data), false},
                    &answer) == CB_SW_OK);
    MUST(cb_tlv_find(cb_answer_data(cb_buf_bytes(&answer)), CB_TAG_EPHEMERAL, &found));
    memcpy(h->card_point, found.data, sizeof h->card_point);
    MUST(cb_cvc_parse(certificate, &batch) == CB_OK);
    MUST(cb_p256_agree(scalar, found, ephemeral) == CB_OK);
    MUST(w->host.agree(w, batch.point.data, fixed) == CB_OK);
    MUST(cb_channel_open(ephemeral, fixed, data, h->card_point, &h->sm, receipt) == CB_OK);
    h->request.transcript = cb_channel_transcript(
        &(cb_channel_facts){0x20, 1, agreement, certificate, point, h->card_point, receipt});
    h->request.signer_certificate = cb_sha256(cb_buf_bytes(&w->signer_certificate));
    cb_buf_free(&answer);
}

uint16_t hand_secure(hand *h, uint8_t ins, uint8_t p1, uint8_t p2, cb_bytes data)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX), answer = CB_BUF(512);
    MUST(cb_sm_wrap_command(&h->sm, &(cb_apdu){0x80, ins, p1, p2, data, false}, &command,
                            &h->mark) == CB_OK);
    cb_vcard_process(h->w->card, cb_buf_bytes(&command), &answer);
    uint16_t status = cb_answer_status(cb_buf_bytes(&answer));
    cb_buf_free(&command);
    cb_buf_free(&answer);
    return status;
}

uint16_t hand_signer(hand *h)
{
    return hand_secure(h, CB_INS_PSO, 1, 0x20, cb_buf_bytes(&h->w->signer_certificate));
}

uint16_t hand_request(hand *h)
{
    uint8_t data[CB_PROOF_REQUEST + CB_PROOF_DATE] = {0};
    bool dated = cb_vcard_state_of(h->w->card)->version >= CB_VCARD_TELLS;
    if (dated && h->request.date == 0)
        h->request.date = cb_cvc_day(cb_clock_wall_us());
    cb_proof_date_put(h->request.date, &data[64]);
    size_t at = dated ? 68 : 64;
    cb_digest digest = cb_proof_request_digest(&h->request);
    MUST(h->w->host.sign(h->w, &digest, &data[at]) == CB_OK);
    return hand_secure(h, CB_INS_REQUEST, 0, 0, cb_bytes_make(data, at + CB_P256_SIGNATURE));
}

uint16_t hand_pin(hand *h, uint8_t ins, cb_pin_form form, const char *secret, const char *fresh)
{
    cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    MUST(cb_pin_encrypt(form, cb_bytes_str(secret), cb_bytes_str(fresh), h->card_point, &pin) ==
         CB_OK);
    uint16_t status = hand_secure(h, ins, 0, 0x80, cb_buf_bytes(&pin));
    cb_buf_free(&pin);
    return status;
}

uint16_t hand_verify(hand *h, const char *pin)
{
    return hand_pin(h, CB_INS_VERIFY, CB_PIN_FORM_VERIFY, pin, NULL);
}

uint16_t hand_prove(hand *h) { return hand_secure(h, CB_INS_PROVE, 0, 0, (cb_bytes){0}); }

void hand_authenticate(hand *h, world *w)
{
    hand_open(h, w);
    MUST(hand_signer(h) == CB_SW_OK);
    MUST(hand_request(h) == CB_SW_OK);
}
