/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Secure messaging's commands (NIST SP 800-73-4, part 2, 4): GENERAL AUTHENTICATE that opens a
 * channel, and whatever comes inside of one.
 */
#include "cardlink/card/piv/application.h"

#include "base/secret.h"
#include "base/tlv.h"

enum {
    TAG_TEMPLATE = 0x7C,
    TAG_RESPONSE = 0x82,
    ESTABLISHED_MAX = 1 + CB_VPIV_CHANNEL_NONCE + CB_VPIV_CRYPTOGRAM + CB_VPIV_CVC_MAX,
    HEADERS_MAX = 8
};

/* The card's answer: CB_ICC, nonce, cryptogram and certificate (part 2, 4.1.8). */
static uint16_t put_answer(const cb_vpiv_agreement *in,
                           const uint8_t cryptogram[CB_VPIV_CRYPTOGRAM], cb_buf *data)
{
    cb_buf value = CB_BUF(ESTABLISHED_MAX), body = CB_BUF(ESTABLISHED_MAX + HEADERS_MAX);
    cb_buf_put_u8(&value, in->control & 0xF0);
    cb_buf_put(&value, in->nonce);
    cb_buf_put(&value, cb_bytes_make(cryptogram, CB_VPIV_CRYPTOGRAM));
    cb_buf_put(&value, in->certificate);
    cb_tlv_put(&body, TAG_RESPONSE, cb_buf_bytes(&value));
    bool whole = !cb_buf_error(&value) && !cb_buf_error(&body);
    if (whole)
        cb_tlv_put(data, TAG_TEMPLATE, cb_buf_bytes(&body));
    cb_buf_free(&value);
    cb_buf_free(&body);
    return whole && !cb_buf_error(data) ? CB_SW_OK : CB_SW_FAULT;
}

/* CB_H, ID_sH and Q_eH; false: they are not there. */
static bool read_host(const cb_vpiv_template *in, cb_vpiv_agreement *out)
{
    cb_cursor cursor = cb_cursor_over(in->challenge);
    out->control = cb_cursor_u8(&cursor);
    out->host = cb_cursor_take(&cursor, CB_VPIV_CHANNEL_ID);
    out->point = cb_cursor_take(&cursor, CB_P256_POINT);
    return in->has_challenge && in->has_response && in->response.len == 0 && !in->has_witness &&
           !in->has_exponentiation && cb_cursor_done(&cursor) && (out->control & 0xF0) == 0x00;
}

uint16_t cb_vpiv_establish(cb_vpiv_application *piv, uint8_t algorithm, const cb_vpiv_template *in,
                           cb_buf *data)
{
    const cb_vpiv_state *state = &piv->state;
    uint8_t nonce[CB_VPIV_CHANNEL_NONCE], cryptogram[CB_VPIV_CRYPTOGRAM];
    cb_vpiv_agreement agreement = {.certificate = cb_bytes_make(state->cvc, state->cvc_len),
                                   .nonce = CB_BYTES_OF(nonce)};
    cb_vpiv_channel_end(&piv->session.channel);
    if (state->channel_key.algorithm == CB_VCARD_NO_KEY || algorithm != CB_VPIV_CIPHER_SUITE_2)
        return CB_SW_PARAMETERS;
    if (!read_host(in, &agreement))
        return CB_SW_DATA;
    cb_buf secret = CB_BUF(CB_P256_SCALAR);
    cb_error error = cb_vcard_key_agree(&state->channel_key, agreement.point, &secret);
    if (!error) {
        cb_random(nonce, sizeof nonce);
        agreement.secret = cb_buf_bytes(&secret);
        error = cb_vpiv_channel_open(&agreement, &piv->session.channel, cryptogram);
    }
    cb_buf_free(&secret);
    uint16_t status = error == CB_E_ARGUMENT ? CB_SW_DATA
                      : error                ? CB_SW_FAULT
                                             : put_answer(&agreement, cryptogram, data);
    if (status != CB_SW_OK)
        cb_vpiv_channel_end(&piv->session.channel);
    return status;
}

/* What may come inside of a channel (part 2, 4.2): it is opened outside of one. */
static bool may_be_secured(const cb_apdu *apdu)
{
    switch (apdu->ins) {
    case CB_VPIV_INS_GET_DATA:
    case CB_INS_VERIFY:
    case CB_INS_CHANGE:
        return true;
    case CB_VPIV_INS_AUTHENTICATE:
        return apdu->p2 != CB_VPIV_SECURE_MESSAGING;
    default:
        return false;
    }
}

static uint16_t accept(const cb_vpiv_application *piv, const cb_apdu *apdu)
{
    if (piv->state.channel_key.algorithm == CB_VCARD_NO_KEY)
        return CB_VPIV_SW_NOT_SECURED;
    if (!piv->session.channel.open)
        return CB_SW_SECURITY;
    return may_be_secured(apdu) ? CB_SW_OK : CB_VPIV_SW_NOT_SECURED;
}

/* The answer's own status word tells of the command's fate, and goes inside. A card whose memory
 * has failed says nothing more inside. */
static uint16_t run(cb_vpiv_application *piv, const cb_apdu *command, cb_buf *answer)
{
    cb_buf data = CB_BUF(CB_CARD_ANSWER_MAX);
    piv->secured = true;
    uint16_t status = cb_vpiv_run(piv, command, &data);
    piv->secured = false;
    if (status == CB_SW_OK && cb_buf_error(&data))
        status = CB_SW_FAULT;
    cb_error error = cb_vpiv_channel_answer(
        &piv->session.channel, status == CB_SW_OK ? cb_buf_bytes(&data) : (cb_bytes){0}, status,
        answer);
    cb_buf_free(&data);
    if (status == CB_SW_MEMORY)
        cb_vpiv_channel_end(&piv->session.channel);
    return error ? CB_SW_FAULT : CB_SW_OK;
}

uint16_t cb_vpiv_secured(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *answer)
{
    cb_apdu command;
    cb_buf plain = CB_BUF(CB_VPIV_COMMAND_MAX);
    uint16_t status = accept(piv, apdu);
    if (status == CB_SW_OK)
        status = cb_vpiv_channel_take(&piv->session.channel, apdu, &plain, &command);
    if (status == CB_SW_OK)
        status = run(piv, &command, answer);
    cb_buf_free(&plain);
    if (status != CB_SW_OK)
        cb_vpiv_secured_failed(piv);
    return status;
}

void cb_vpiv_secured_failed(cb_vpiv_application *piv)
{
    piv->session.pending = CB_VPIV_NOTHING;
    cb_vpiv_channel_end(&piv->session.channel);
}
