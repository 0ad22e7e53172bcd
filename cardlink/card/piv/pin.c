/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * VERIFY, CHANGE REFERENCE DATA and RESET RETRY COUNTER (SP 800-73-4, part 2, 3.2.1 to 3.2.3).
 */
#include "cardlink/card/piv/interface.h"

#include "base/secret.h"

enum { KEY_PIN = 0x80, KEY_PUK = 0x81, KEY_PAIRING = 0x98, FORGET = 0xFF };

static void forget(cb_vpiv_application *piv)
{
    piv->session.pin_verified = false;
    piv->session.pin_fresh = false;
}

static uint16_t tries_left(uint8_t tries)
{
    return tries > 0 ? (uint16_t)(CB_SW_TRIES_LEFT | tries) : CB_SW_BLOCKED;
}

/* From afar nobody blocks the PIN. */
static bool keeps_tries(const cb_vpiv_application *piv)
{
    return !cb_vpiv_at_contacts(piv) && piv->state.pin_tries <= CB_VPIV_TRIES_KEPT;
}

/* The try is taken away, durably, before anything can be known of its result. */
static uint16_t compare(cb_vpiv_application *piv, uint8_t *tries, const uint8_t stored[CB_VPIV_PIN],
                        cb_bytes given)
{
    if (*tries == 0)
        return CB_SW_BLOCKED;
    --*tries;
    if (!cb_vcard_save(piv->card))
        return CB_SW_MEMORY;
    return cb_equal(given, cb_bytes_make(stored, CB_VPIV_PIN)) ? CB_SW_OK : tries_left(*tries);
}

uint16_t cb_vpiv_verify(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    cb_vpiv_state *state = &piv->state;
    (void)data;
    if (apdu->p1 != 0x00 && apdu->p1 != FORGET)
        return CB_SW_PARAMETERS;
    if (apdu->p2 == KEY_PAIRING)
        return cb_vpiv_verify_pairing(piv, apdu);
    if (apdu->p2 != KEY_PIN)
        return CB_SW_NOT_FOUND;
    if (!cb_vpiv_in_contact(piv))
        return CB_SW_SECURITY;
    if (apdu->p1 == FORGET) {
        if (apdu->data.len > 0)
            return CB_SW_DATA;
        forget(piv);
        return CB_SW_OK;
    }
    if (apdu->data.len == 0)
        return piv->session.pin_verified ? CB_SW_OK : tries_left(state->pin_tries);
    if (!cb_vpiv_pin_ok(apdu->data))
        return CB_SW_DATA;
    if (keeps_tries(piv))
        return CB_SW_BLOCKED;
    forget(piv);
    uint16_t status = compare(piv, &state->pin_tries, state->pin, apdu->data);
    if (status != CB_SW_OK)
        return status;
    state->pin_tries = CB_VPIV_PIN_TRIES;
    if (!cb_vcard_save(piv->card))
        return CB_SW_MEMORY;
    piv->session.pin_verified = piv->session.pin_fresh = true;
    return CB_SW_OK;
}

/* Old and new, eight bytes each; false: they are not there. */
static bool take_both(const cb_apdu *apdu, cb_bytes *given, cb_bytes *fresh)
{
    cb_cursor cursor = cb_cursor_over(apdu->data);
    *given = cb_cursor_take(&cursor, CB_VPIV_PIN);
    *fresh = cb_cursor_take(&cursor, CB_VPIV_PIN);
    return cb_cursor_done(&cursor);
}

uint16_t cb_vpiv_change(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    cb_vpiv_state *state = &piv->state;
    bool pin = apdu->p2 == KEY_PIN;
    uint8_t *tries = pin ? &state->pin_tries : &state->puk_tries;
    uint8_t *stored = pin ? state->pin : state->puk;
    cb_bytes given, fresh;
    (void)data;
    if (apdu->p1 != 0x00)
        return CB_SW_PARAMETERS;
    if (!pin && apdu->p2 != KEY_PUK)
        return CB_SW_NOT_FOUND;
    if (pin ? !cb_vpiv_in_contact(piv) : !cb_vpiv_at_contacts(piv))
        return CB_SW_SECURITY;
    if (!take_both(apdu, &given, &fresh) || (pin && !cb_vpiv_pin_ok(fresh)))
        return CB_SW_DATA;
    if (pin && keeps_tries(piv))
        return CB_SW_BLOCKED;
    if (pin)
        forget(piv);
    uint16_t status = compare(piv, tries, stored, given);
    if (status != CB_SW_OK)
        return status;
    memcpy(stored, fresh.data, CB_VPIV_PIN);
    *tries = pin ? CB_VPIV_PIN_TRIES : CB_VPIV_PUK_TRIES;
    if (!cb_vcard_save(piv->card))
        return CB_SW_MEMORY;
    if (pin)
        piv->session.pin_verified = true; /* but not for a signature by 9C */
    return CB_SW_OK;
}

uint16_t cb_vpiv_unblock(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    cb_vpiv_state *state = &piv->state;
    cb_bytes given, fresh;
    (void)data;
    if (apdu->p1 != 0x00)
        return CB_SW_PARAMETERS;
    if (apdu->p2 != KEY_PIN)
        return CB_SW_NOT_FOUND;
    if (!take_both(apdu, &given, &fresh) || !cb_vpiv_pin_ok(fresh))
        return CB_SW_DATA;
    uint16_t status = compare(piv, &state->puk_tries, state->puk, given);
    if (status != CB_SW_OK) {
        forget(piv);
        return status;
    }
    memcpy(state->pin, fresh.data, CB_VPIV_PIN);
    state->pin_tries = CB_VPIV_PIN_TRIES;
    state->puk_tries = CB_VPIV_PUK_TRIES;
    return cb_vcard_save(piv->card) ? CB_SW_OK : CB_SW_MEMORY;
}
