/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * New PIV cards: keys with their certificates, and the objects that clients look for (NIST SP
 * 800-73-4, part 1, 3; 800-78-4).
 *
 * Certificates name the card by its GUID (subjectAltName, urn:uuid) and say what their keys are
 * for: 9A the policy of PIV authentication, 9E that of card authentication and its usage
 * (id-PIV-cardAuth).
 */
#ifndef CB_CARDLINK_ISSUER_PIV_H
#define CB_CARDLINK_ISSUER_PIV_H

#include "base/id.h"
#include "cardlink/card/piv/state.h"
#include "cardlink/issuer/x509.h"

typedef struct cb_issue_piv_order {
    uint8_t algorithm[CB_VPIV_SLOTS]; /* cb_vcard_algorithm, by cb_vpiv_slot; 0: no key there */
    const cb_issue_signer *signer;    /* NULL: each certificate by its own key */
    const cb_issue_signer *content_signer; /* piv_channel.h; NULL: no secure messaging */
    cb_bytes pairing_code; /* 8 digits, with a content signer only; of none: no virtual contact
                              interface */
    cb_bytes name;                    /* of the holder, in the certificates; at most 64 bytes; of
                                         none: the GUID */
    cb_bytes pin;                     /* 6 to 8 digits */
    cb_bytes puk;                     /* 8 digits */
    uint8_t management_algorithm;
    uint8_t management_key[CB_VPIV_MANAGEMENT_MAX];
    int64_t not_before, not_after; /* of the certificates, seconds since 1970 */
} cb_issue_piv_order;

/* A card with a random GUID, which goes to card. The caller ends state with cb_vpiv_state_free.
 * CB_E_ARGUMENT, CB_E_PIN_FORMAT, CB_E_CRYPTO, CB_E_MEMORY. */
cb_error cb_issue_piv(const cb_issue_piv_order *order, cb_vpiv_state *state, cb_id *card);

/* Makes a certificate (DER) the content of a data object. CB_E_TOO_LARGE, CB_E_MEMORY. */
cb_error cb_issue_piv_put_certificate(cb_vpiv_state *state, uint32_t tag, cb_bytes certificate);

/* The certificate of a slot; of no bytes: none. Borrowed. */
cb_bytes cb_issue_piv_certificate(const cb_vpiv_state *state, int slot);

#endif
