/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that somebody else issued, for tests: PIV cards with keys of a kind, and the authority of their certificates.
 */
#ifndef CB_TESTS_HSM_FOREIGN_CARDS_H
#define CB_TESTS_HSM_FOREIGN_CARDS_H

#include "cardlink/card/card.h"
#include "cardlink/issuer/piv.h"
#include "cardlink/terminal/play.h"
#include "hsm/foreign.h"

#define PIV_PIN "271828"
#define PIV_WRONG_PIN "314159"

typedef struct agency {
    cb_issue_signer signer;
    cb_buf certificate;
} agency;

/* Made by openssl. */
void agency_make(agency *a);
void agency_free(agency *a);

/* Trust for a profile with this one anchor. */
void agency_trust(const agency *a, uint8_t profile, cb_foreign_trust *trust);

typedef struct piv_card {
    cb_vcard *card;
    cb_vpiv_state state;
    cb_bytes certificate[2]; /* of 9A and 9E */
    cb_card_io io;           /* without a PIN */
} piv_card;

/* A card with a random GUID; kinds are cb_vcard_algorithm, 0: no such key. */
void piv_card_make(piv_card *c, const agency *a, uint8_t kind_9a, uint8_t kind_9e);
void piv_card_free(piv_card *c);

#endif
