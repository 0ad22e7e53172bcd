/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The card's end, by the broker's command.
 */
#include "cardlink/card/native/application.h"

#include "base/secret.h"

/* Whether the command is for this card, and the broker's. */
static uint16_t check(const cb_native_application *card, const cb_apdu *apdu)
{
    cb_id named;
    cb_cursor cursor = cb_cursor_over(apdu->data);
    if (apdu->p1 != 0 || apdu->p2 != 0)
        return CB_SW_PARAMETERS;
    cb_cursor_copy(&cursor, named.bytes, CB_ID_SIZE);
    cb_bytes signature = cb_cursor_take(&cursor, CB_P256_SIGNATURE);
    if (!cb_cursor_done(&cursor))
        return CB_SW_DATA;
    if (!cb_id_same(&named, &card->state.card))
        return CB_SW_NOT_FOUND;
    cb_digest digest = cb_proof_termination_digest(&card->session.request, &named);
    return cb_p256_verify(CB_BYTES_OF(card->session.signer), &digest, signature) ? CB_SW_OK
                                                                                 : CB_SW_SECURITY;
}

/* Nothing that could be used is left, for whoever reads the chip either. */
static void erase(cb_vcard_state *state)
{
    state->life_cycle = CB_LIFE_TERMINATED;
    cb_wipe(state->scalar, sizeof state->scalar);
    cb_wipe(state->batch_scalar, sizeof state->batch_scalar);
    cb_wipe(state->pin, sizeof state->pin);
    cb_wipe(state->code, sizeof state->code);
    state->pin_tries = 0;
    state->code_tries = 0;
    state->failures = 0;
}

uint16_t cb_vcard_terminate(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    uint8_t signature[CB_P256_SIGNATURE];
    uint16_t status = check(card, apdu);
    if (status != CB_SW_OK)
        return status;
    /* The last signature, before its key is erased: it is given out when that is durable. */
    cb_proof_facts facts = cb_native_facts(card);
    facts.life_cycle = CB_LIFE_TERMINATED;
    if (card->state.counter == UINT32_MAX)
        facts.counter = UINT32_MAX;
    cb_digest digest = cb_proof_digest(&card->session.request, &facts);
    if (cb_p256_sign(card->state.scalar, &digest, signature))
        return CB_SW_FAULT;
    card->state.counter = facts.counter;
    erase(&card->state);
    if (!cb_native_save(card))
        return CB_SW_MEMORY;
    card->session.ends = true;
    cb_proof_facts_put(data, &facts);
    cb_buf_put(data, CB_BYTES_OF(signature));
    return CB_SW_OK;
}
