/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * VERIFY, CHANGE REFERENCE DATA and RESET RETRY COUNTER, which differ in what is compared and what
 * a success changes.
 */
#include "cardlink/card/native/application.h"

#include "base/secret.h"

static uint8_t form_of(const cb_apdu *apdu)
{
    switch (apdu->ins) {
    case CB_INS_VERIFY:
        return CB_PIN_FORM_VERIFY;
    case CB_INS_CHANGE:
        return CB_PIN_FORM_CHANGE;
    default:
        return apdu->p1 == CB_NATIVE_UNBLOCK_SIGNED ? CB_PIN_FORM_RESET : CB_PIN_FORM_UNBLOCK;
    }
}

/* The ciphertext, which is all of the data unless a signature follows. */
static cb_bytes ciphertext(const cb_apdu *apdu, uint8_t form)
{
    bool more = form == CB_PIN_FORM_RESET && apdu->data.len > CB_PIN_CIPHERTEXT;
    return more ? cb_bytes_make(apdu->data.data, CB_PIN_CIPHERTEXT) : apdu->data;
}

static uint16_t presented(cb_native_application *card, uint8_t form, cb_pin_state state,
                          uint8_t tries_left)
{
    card->session.pin_form = form;
    card->session.pin_state = (uint8_t)state;
    card->session.pin_tries_left = tries_left;
    if (state == CB_PIN_VERIFIED)
        return CB_SW_OK;
    return state == CB_PIN_BLOCKED ? CB_SW_BLOCKED : (uint16_t)(CB_SW_TRIES_LEFT | tries_left);
}

static uint16_t wrong(cb_native_application *card, uint8_t form, uint8_t tries_left)
{
    if (form == CB_PIN_FORM_UNBLOCK && tries_left == 0) {
        card->state.life_cycle = CB_LIFE_TERMINATED;
        if (!cb_native_save(card))
            return CB_SW_MEMORY;
    }
    return presented(card, form, tries_left == 0 ? CB_PIN_BLOCKED : CB_PIN_WRONG, tries_left);
}

static uint16_t right(cb_native_application *card, const cb_pin_block *block, uint16_t failures)
{
    cb_vcard_state *state = &card->state;
    uint8_t tries = CB_VCARD_PIN_TRIES;
    state->failures = failures;
    state->pin_tries = CB_VCARD_PIN_TRIES;
    if (block->form != CB_PIN_FORM_VERIFY)
        memcpy(state->pin, block->fresh, CB_PIN_MAX);
    if (block->form == CB_PIN_FORM_UNBLOCK)
        state->code_tries = tries = CB_VCARD_CODE_TRIES;
    if (state->life_cycle == CB_LIFE_PERSONALISED)
        state->life_cycle = CB_LIFE_ACTIVE; /* the transport PIN is gone */
    return cb_native_save(card) ? presented(card, block->form, CB_PIN_VERIFIED, tries)
                                : CB_SW_MEMORY;
}

/* The try is taken away, durably, before anything can be known of its result. */
static uint16_t compare(cb_native_application *card, const cb_pin_block *block)
{
    cb_vcard_state *state = &card->state;
    bool code = block->form == CB_PIN_FORM_UNBLOCK;
    uint8_t *tries = code ? &state->code_tries : &state->pin_tries;
    const uint8_t *stored = code ? state->code : state->pin;
    uint16_t failures = state->failures;
    if (*tries == 0)
        return presented(card, block->form, CB_PIN_BLOCKED, 0);
    --*tries;
    if (state->failures < UINT16_MAX)
        state->failures++;
    if (!cb_native_save(card))
        return CB_SW_MEMORY;
    if (!cb_equal(CB_BYTES_OF(block->secret), cb_bytes_make(stored, CB_PIN_MAX)))
        return wrong(card, block->form, *tries);
    return right(card, block, failures);
}

/* A new PIN that the broker allows this card in this session: nothing is compared, and the code
 * keeps the tries that it has. */
static uint16_t reset(cb_native_application *card, const cb_apdu *apdu, const cb_pin_block *block)
{
    cb_id named;
    cb_cursor cursor = cb_cursor_over(apdu->data);
    cb_bytes pin = cb_cursor_take(&cursor, CB_PIN_CIPHERTEXT);
    cb_cursor_copy(&cursor, named.bytes, CB_ID_SIZE);
    cb_bytes signature = cb_cursor_take(&cursor, CB_P256_SIGNATURE);
    if (!cb_cursor_done(&cursor))
        return CB_SW_DATA;
    if (!cb_id_same(&named, &card->state.card))
        return CB_SW_NOT_FOUND;
    cb_digest digest = cb_proof_pin_reset_digest(&card->session.request, &named, pin);
    if (!cb_p256_verify(CB_BYTES_OF(card->session.signer), &digest, signature))
        return CB_SW_SECURITY;
    return right(card, block, card->state.failures);
}

uint16_t cb_vcard_pin(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    cb_vcard_session *session = &card->session;
    uint8_t form = form_of(apdu);
    cb_pin_block block;
    (void)data;
    if (apdu->p1 != (form == CB_PIN_FORM_RESET ? CB_NATIVE_UNBLOCK_SIGNED : 0x00) ||
        apdu->p2 != 0x80)
        return CB_SW_PARAMETERS;
    if (session->pin_used ||
        (card->state.life_cycle == CB_LIFE_PERSONALISED && form != CB_PIN_FORM_CHANGE))
        return CB_SW_CONDITIONS;
    session->pin_used = true;
    cb_error error =
        cb_pin_decrypt(ciphertext(apdu, form), session->scalar, session->point, &block);
    cb_wipe(session->scalar, sizeof session->scalar);
    uint16_t status;
    if (error)
        status = error == CB_E_PIN_FORMAT ? CB_SW_DATA : CB_SW_SM_DATA;
    else if (block.form != form)
        status = CB_SW_DATA;
    else
        status = form == CB_PIN_FORM_RESET ? reset(card, apdu, &block) : compare(card, &block);
    cb_wipe(&block, sizeof block);
    return status;
}
