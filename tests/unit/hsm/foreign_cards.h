/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that somebody else issued, for tests: PIV cards with keys of a kind, and the authority of
 * their certificates; JPKI and SCP03 cards.
 */
#ifndef CB_TESTS_HSM_FOREIGN_CARDS_H
#define CB_TESTS_HSM_FOREIGN_CARDS_H

#include "cardlink/card/card.h"
#include "cardlink/issuer/piv.h"
#include "cardlink/terminal/play.h"
#include "hsm/foreign.h"

#define PIV_PIN "271828"
#define PIV_WRONG_PIN "314159"
#define PIV_CONTENT_SIGNING "2.16.840.1.101.3.6.7"
#define JPKI_PIN "2718"

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

/* The same with secure messaging, whose key a content signer certifies. */
void piv_card_make_secured(piv_card *c, const agency *a, uint8_t kind_9a, uint8_t kind_9e,
                           const cb_issue_signer *signer);
void piv_card_free(piv_card *c);

/* A content signer of a key and its certificate, which an agency makes, with an extended usage
 * (NULL: none), so that it began so many tenths of a day later; appended. */
void content_signer_certify(const agency *by, const cb_vcard_key *key, const char *usage, int later,
                            cb_buf *out);
void content_signer_make(const cb_vcard_key *key, cb_bytes certificate, cb_issue_signer *out);

/* Both certificates in gzip from now on, as the card keeps them and in c. */
void piv_card_compress(piv_card *c);

/* Another certificate of 9A (0) or 9E (1), as the card keeps it and in c. */
void piv_card_update(piv_card *c, unsigned i, cb_bytes certificate);

/* Another key in the place of 9A (0) or 9E (1); its certificate on the card stays. */
void piv_card_exchange(piv_card *c, unsigned i, const cb_vcard_key *key);

/* Appends what the card says to the profile's first script. */
void piv_card_answers(const piv_card *c, cb_buf *answers);

/* Adds its certificates to what is read of it. */
void piv_card_show(const piv_card *c, cb_foreign_reading *reading);

/* It is chosen in its field, as each tap begins. */
void piv_card_select(const piv_card *c);

/* Appends the certificate of 9A (0) or 9E (1) made again: for a key (NULL: its own), with a name
 * (NULL: the same), beginning so many hours later. */
void piv_card_certify(const piv_card *c, const agency *a, unsigned i, const cb_vcard_key *key,
                      const char *name, int hours, cb_buf *out);

/* Both certificates made again, so that they name the card's FASC-N beside its UUID. */
void piv_card_name_fasc_n(piv_card *c, const agency *a);

/* Appends the state of a JPKI card, and its certificate for user authentication by an agency. */
void jpki_card_make(const agency *a, cb_buf *state, cb_buf *certificate);

/* Appends the state of an SCP03 card with parameter i; and has a host know its master key. */
void scp03_card_make(uint8_t i, cb_buf *state);
void scp03_card_trust(cb_profile_host *host);

/* A card with one application, in a state. store may be NULL. */
cb_vcard *card_lay(const cb_applet *applet, cb_bytes atr, cb_bytes state,
                   const cb_vcard_store *store);

#endif
