/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * VERIFY, CHANGE REFERENCE DATA and RESET RETRY COUNTER, which differ in what is compared and what
 * a success changes.
 */
#include "cardlink/card/native/application.h"

#include "base/secret.h"

static uint8_t form_of(uint8_t ins)
{
    switch (ins) {
    case CB_INS_VERIFY:
        return CB_PIN_FORM_VERIFY;
    case CB_INS_CHANGE:
        return CB_PIN_FORM_CHANGE;
    default:
        return CB_PIN_FORM_UNBLOCK;
    }
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

uint16_t cb_vcard_pin(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    cb_vcard_session *session = &card->session;
    uint8_t form = form_of(apdu->ins);
    cb_pin_block block;
    (void)data;
    if (apdu->p1 != 0x00 || apdu->p2 != 0x80)
        return CB_SW_PARAMETERS;
    if (session->pin_used ||
        (card->state.life_cycle == CB_LIFE_PERSONALISED && form != CB_PIN_FORM_CHANGE))
        return CB_SW_CONDITIONS;
    session->pin_used = true;
    cb_error error = cb_pin_decrypt(apdu->data, session->scalar, session->point, &block);
    cb_wipe(session->scalar, sizeof session->scalar);
    uint16_t status;
    if (error)
        status = error == CB_E_PIN_FORMAT ? CB_SW_DATA : CB_SW_SM_DATA;
    else if (block.form != form)
        status = CB_SW_DATA;
    else
        status = compare(card, &block);
    cb_wipe(&block, sizeof block);
    return status;
}
