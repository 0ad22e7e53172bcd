/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/piv/interface.h"

#include "base/secret.h"
#include "base/tlv.h"

enum { TAG_CODE = 0x99, FORGET = 0xFF };

static bool is_code(cb_bytes code)
{
    for (size_t i = 0; i < code.len; i++) {
        if (code.data[i] < '0' || code.data[i] > '9')
            return false;
    }
    return code.len == CB_VPIV_PAIRING_CODE;
}

cb_bytes cb_vpiv_pairing_code(const cb_vpiv_state *state)
{
    cb_bytes code;
    bool has = state->channel_key.algorithm != CB_VCARD_NO_KEY &&
               cb_tlv_find(cb_vpiv_object_get(state, CB_VPIV_PAIRING), TAG_CODE, &code) &&
               is_code(code);
    return has ? code : (cb_bytes){0};
}

bool cb_vpiv_at_contacts(const cb_vpiv_application *piv)
{
    return !cb_vcard_is_contactless(piv->card);
}

bool cb_vpiv_in_contact(const cb_vpiv_application *piv)
{
    return cb_vpiv_at_contacts(piv) ||
           (piv->secured && piv->session.paired && cb_vpiv_pairing_code(&piv->state).len > 0);
}

bool cb_vpiv_may_read(const cb_vpiv_application *piv, uint32_t tag)
{
    switch (tag) {
    case CB_VPIV_DISCOVERY:
    case CB_VPIV_CHUID:
    case CB_VPIV_CARD_AUTHENTICATION_CERTIFICATE:
    case CB_VPIV_SECURE_MESSAGING_SIGNER:
        return true;
    default:
        return cb_vpiv_in_contact(piv);
    }
}

/* There is no counter of tries (part 2, 3.2.1.3). */
uint16_t cb_vpiv_verify_pairing(cb_vpiv_application *piv, const cb_apdu *apdu)
{
    cb_bytes code = cb_vpiv_pairing_code(&piv->state);
    if (code.len == 0)
        return CB_SW_NOT_FOUND;
    if (!cb_vpiv_at_contacts(piv) && !piv->secured)
        return CB_SW_SECURITY;
    if (apdu->p1 == FORGET) {
        if (apdu->data.len > 0)
            return CB_SW_DATA;
        piv->session.paired = false;
        return CB_SW_OK;
    }
    if (apdu->data.len == 0)
        return piv->session.paired ? CB_SW_OK : CB_VPIV_SW_FAILED;
    if (!is_code(apdu->data))
        return CB_SW_DATA;
    piv->session.paired = cb_equal(apdu->data, code);
    return piv->session.paired ? CB_SW_OK : CB_VPIV_SW_FAILED;
}
