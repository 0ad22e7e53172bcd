/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From SELECT to the open channel, and the proof.
 */
#include "cardlink/card/native/application.h"

#include "base/secret.h"
#include "base/tlv.h"

uint16_t cb_vcard_select(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    cb_vcard_session_end(card, CB_VCARD_IDLE);
    if (apdu->p1 != 0x04 || (apdu->p2 != 0x00 && apdu->p2 != 0x0C))
        return CB_SW_PARAMETERS;
    if (!cb_bytes_same(apdu->data, CB_BYTES_OF(cb_native_aid)))
        return CB_SW_FILE_NOT_FOUND;
    /* The last try of the unblocking code counts even if the power went before it was compared. */
    if (card->state.life_cycle == CB_LIFE_TERMINATED || card->state.code_tries == 0)
        return CB_SW_TERMINATED;
    if (cb_native_is_over(&card->state, card->state.today))
        return CB_SW_EXPIRED;
    card->session.step = CB_VCARD_SELECTED;
    if (apdu->p2 == 0x00) {
        cb_buf fci = CB_BUF(64);
        cb_tlv_put(&fci, CB_TAG_NAME, CB_BYTES_OF(cb_native_aid));
        cb_native_tell(&card->state, &fci);
        bool whole = cb_buf_error(&fci) == CB_OK;
        cb_tlv_put(data, CB_TAG_FCI, cb_buf_bytes(&fci));
        cb_buf_free(&fci);
        if (!whole)
            return CB_SW_FAULT;
    }
    return CB_SW_OK;
}

uint16_t cb_vcard_get_data(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    static const uint8_t store_of[] = {
        0xA6, 0x04, 0x83, 0x02, CB_NATIVE_CARD_KEY_ID, CB_NATIVE_CARD_KEY_VERSION};
    if (apdu->p1 != 0xBF || apdu->p2 != 0x21 || !cb_bytes_same(apdu->data, CB_BYTES_OF(store_of)))
        return CB_SW_NOT_FOUND;
    cb_tlv_put(data, CB_TAG_STORE,
               cb_bytes_make(card->state.batch_certificate, card->state.batch_certificate_len));
    return CB_SW_OK;
}

/* Whether certificate is the broker's, for this usage; point gets its key. What was verified once
 * is remembered with the state, and so becomes durable with the next proof. */
static uint16_t check_certificate(cb_native_application *card, const cb_apdu *apdu, uint16_t usage,
                                  cb_vcard_slot slot, uint8_t point[CB_P256_POINT])
{
    cb_vcard_remembered *remembered = &card->state.remembered[slot];
    cb_digest digest = cb_sha256(apdu->data);
    cb_cvc cvc;
    const cb_vcard_kloc *kloc = cb_native_kloc(&card->state, apdu->p2, apdu->p1);
    if (!kloc)
        return CB_SW_NOT_FOUND;
    if (cb_cvc_parse(apdu->data, &cvc) || apdu->data.len > CB_NATIVE_CERTIFICATE_MAX)
        return CB_SW_DATA;
    if (memcmp(&remembered->digest, &digest, sizeof digest) == 0 &&
        remembered->key_id == apdu->p2 && remembered->key_version == apdu->p1) {
        memcpy(point, remembered->point, CB_P256_POINT);
        return CB_SW_OK;
    }
    if (cvc.usage != usage || !cb_p256_is_point(cvc.point) ||
        !cb_bytes_same(cvc.issuer, cb_bytes_make(kloc->name, kloc->name_len)) ||
        !cb_cvc_verify(&cvc, CB_BYTES_OF(kloc->point)))
        return CB_SW_SECURITY;
    memcpy(point, cvc.point.data, CB_P256_POINT);
    *remembered = (cb_vcard_remembered){digest, apdu->p2, apdu->p1, {0}};
    memcpy(remembered->point, cvc.point.data, CB_P256_POINT);
    return CB_SW_OK;
}

uint16_t cb_vcard_pso(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    cb_vcard_session *session = &card->session;
    cb_vcard_session_end(card, CB_VCARD_SELECTED);
    if (apdu->p2 & CB_NATIVE_PSO_LINK)
        return cb_vcard_link(card, apdu, data);
    uint16_t status =
        check_certificate(card, apdu, CB_CVC_AGREEMENT, CB_VCARD_SLOT_AGREEMENT, session->broker);
    if (status != CB_SW_OK)
        return status;
    memcpy(session->certificate, apdu->data.data, apdu->data.len);
    session->certificate_len = apdu->data.len;
    session->kloc_id = apdu->p2;
    session->kloc_version = apdu->p1;
    session->step = CB_VCARD_CERTIFIED;
    return CB_SW_OK;
}

uint16_t cb_vcard_pso_signer(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    (void)data;
    uint16_t status = check_certificate(card, apdu, CB_CVC_BROKER_SIGNATURE, CB_VCARD_SLOT_SIGNER,
                                        card->session.signer);
    if (status != CB_SW_OK)
        return status;
    card->session.request.signer_certificate = cb_sha256(apdu->data);
    card->session.signer_same =
        apdu->p2 == card->session.kloc_id && apdu->p1 == card->session.kloc_version;
    card->session.step = CB_VCARD_IDENTIFIED;
    return CB_SW_OK;
}

/* The keys of the session, its transcript, and the receipt that tells the broker that it talks to
 * this card's batch. */
static cb_error open_channel(cb_native_application *card, cb_bytes command,
                             uint8_t receipt[CB_NATIVE_RECEIPT])
{
    cb_vcard_session *session = &card->session;
    uint8_t broker_point[CB_P256_POINT];
    uint8_t ephemeral[CB_P256_SCALAR] = {0}, fixed[CB_P256_SCALAR] = {0};
    cb_error error = cb_channel_data_read(command, broker_point);
    if (!error)
        error = cb_p256_generate(session->scalar, session->point);
    if (!error)
        error = cb_p256_agree(session->scalar, CB_BYTES_OF(broker_point), ephemeral);
    if (!error)
        error = cb_p256_agree(card->state.batch_scalar, CB_BYTES_OF(session->broker), fixed);
    if (!error)
        error =
            cb_channel_open(ephemeral, fixed, command.data, session->point, &session->sm, receipt);
    if (!error)
        session->request.transcript = cb_channel_transcript(&(cb_channel_facts){
            session->kloc_id, session->kloc_version,
            cb_bytes_make(session->certificate, session->certificate_len),
            cb_bytes_make(card->state.batch_certificate, card->state.batch_certificate_len),
            broker_point, session->point, receipt});
    cb_wipe(ephemeral, sizeof ephemeral);
    cb_wipe(fixed, sizeof fixed);
    return error;
}

uint16_t cb_vcard_mutual(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    uint8_t receipt[CB_NATIVE_RECEIPT];
    cb_error error = CB_OK;
    uint16_t status = CB_SW_OK;
    if (apdu->p1 != CB_NATIVE_CARD_KEY_VERSION || apdu->p2 != CB_NATIVE_CARD_KEY_ID)
        status = CB_SW_NOT_FOUND;
    else if ((error = open_channel(card, apdu->data, receipt)) != CB_OK)
        status = error == CB_E_FORMAT ? CB_SW_DATA : CB_SW_FAULT;
    if (status != CB_SW_OK) {
        cb_vcard_session_end(card, CB_VCARD_SELECTED);
        return status;
    }
    cb_tlv_put(data, CB_TAG_EPHEMERAL, CB_BYTES_OF(card->session.point));
    cb_tlv_put(data, CB_TAG_RECEIPT, CB_BYTES_OF(receipt));
    card->session.step = CB_VCARD_CHANNEL;
    return CB_SW_OK;
}

cb_proof_facts cb_native_facts(const cb_native_application *card)
{
    const cb_vcard_session *session = &card->session;
    bool presented = session->pin_form != CB_PIN_FORM_NONE;
    return (cb_proof_facts){.card = card->state.card,
                            .pin_form = session->pin_form,
                            .pin_state = session->pin_state,
                            .tries_left =
                                presented ? session->pin_tries_left : card->state.pin_tries,
                            .failures = card->state.failures,
                            .counter = card->state.counter + 1,
                            .life_cycle = card->state.life_cycle,
                            .generation = card->state.version >= CB_VCARD_TELLS
                                              ? cb_native_newest(&card->state, session->kloc_id)
                                              : 0};
}

/* By the date that the broker has signed: this is the last thing that the card does. */
static uint16_t expire(cb_native_application *card)
{
    card->state.today = card->session.today;
    return cb_native_save(card) ? CB_SW_EXPIRED : CB_SW_MEMORY;
}

/* The broker's signature over this session: until then no PIN is compared and nothing was said
 * about this very card. */
uint16_t cb_vcard_request(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    cb_proof_request *request = &card->session.request;
    cb_cursor cursor = cb_cursor_over(apdu->data);
    (void)data;
    cb_cursor_copy(&cursor, request->nonce, sizeof request->nonce);
    cb_cursor_copy(&cursor, request->context.bytes, CB_SHA256_SIZE);
    bool dated = card->state.version >= CB_VCARD_TELLS;
    request->date = dated ? cb_cursor_u32(&cursor) : 0;
    cb_bytes signature = cb_cursor_take(&cursor, CB_P256_SIGNATURE);
    if (apdu->p1 != 0 || apdu->p2 != 0)
        return CB_SW_PARAMETERS;
    if (!cb_cursor_done(&cursor) || (dated && !cb_cvc_day_ok(request->date)))
        return CB_SW_DATA;
    cb_digest digest = cb_proof_request_digest(request);
    if (!cb_p256_verify(CB_BYTES_OF(card->session.signer), &digest, signature))
        return CB_SW_SECURITY;
    if (dated)
        card->session.today = cb_native_next_date(card->state.today, request->date);
    if (cb_native_is_over(&card->state, card->session.today))
        return expire(card);
    card->session.step = CB_VCARD_AUTHENTICATED;
    return CB_SW_OK;
}

uint16_t cb_vcard_prove(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    uint8_t signature[CB_P256_SIGNATURE];
    if (apdu->p1 != 0 || apdu->p2 != 0)
        return CB_SW_PARAMETERS;
    if (apdu->data.len > 0)
        return CB_SW_DATA;
    bool in_transit = card->state.life_cycle == CB_LIFE_PERSONALISED;
    if ((in_transit && card->session.pin_form == CB_PIN_FORM_NONE) ||
        card->state.counter == UINT32_MAX)
        return CB_SW_CONDITIONS;
    cb_proof_facts facts = cb_native_facts(card);
    card->state.counter = facts.counter;
    card->state.failures = 0;
    if (card->state.version >= CB_VCARD_TELLS)
        card->state.today = card->session.today;
    cb_native_settle(card);
    if (!cb_native_save(card))
        return CB_SW_MEMORY;
    card->session.ends = true; /* one proof a session: so a PIN counts once */
    cb_digest digest = cb_proof_digest(&card->session.request, &facts);
    if (cb_p256_sign(card->state.scalar, &digest, signature))
        return CB_SW_FAULT;
    cb_proof_facts_put(data, &facts);
    cb_buf_put(data, CB_BYTES_OF(signature));
    return CB_SW_OK;
}
