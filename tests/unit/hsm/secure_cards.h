/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PIV cards with secure messaging, for tests of hsmd: one card, who certified its key for that, the
 * agency above both, and a lane that trusts the agency. A test begins with all of them anew.
 */
#ifndef CB_TESTS_HSM_SECURE_CARDS_H
#define CB_TESTS_HSM_SECURE_CARDS_H

#include "fake.h"
#include "foreign_cards.h"
#include "test.h"
#include "tests/support/secure_piv.h"

enum { SECURE_USES = 3 }; /* keys of the card that can be bound */

extern cb_lane secure_lane;
extern agency secure_issuer;
extern const cb_id secure_holder;
extern cb_buf secure_binding; /* that secure_bind has made */

extern piv_card secure_card;
extern secure_piv secure_far;   /* secure messaging around it */
extern bool secure_card_itself; /* the card within is used as it is */
extern cb_vcard_key secure_signer;
extern cb_buf secure_signer_certificate;

/* For cmocka: of all tests, and of each. */
int secure_setup(void **state);
int secure_teardown(void **state);
int secure_begin_test(void **state);
int secure_end_test(void **state);

/* A card with keys of a kind (cb_vcard_algorithm), in place of the one that was freed. */
void secure_make_card(uint8_t kind);
void secure_free_card(void);

/* The virtual card with keys of these kinds in the place of the one that there is: with what it has
 * of its own for secure messaging, and used as it is. */
void secure_use_virtual_card(uint8_t kind_9a, uint8_t kind_9e);

/* Appends a certificate of the signer's key by an agency, with an extended usage (NULL: none), that
 * began so many tenths of a day later. */
void secure_make_signer(const agency *by, const char *usage, int later, cb_buf *out);

/* The certificate of the card's key, by the signer, for a GUID; and what the card shows as the
 * signer's, with the intermediate one behind it (no bytes: none). */
void secure_certify(secure_piv *p, cb_bytes guid);
void secure_show_signer(secure_piv *p, cb_bytes between);

/* Signs with a cb_vcard_key on P-256. */
cb_error secure_sign(const void *key, cb_bytes digest, cb_buf *der);
cb_bytes secure_guid_of(const piv_card *c);

/* The power goes and comes; the card as a terminal has it. */
void secure_power(void);
cb_card_io secure_io_of(const char *pin);

/* What a terminal reads, in the form in which hsmd gets it. */
typedef struct reading {
    cb_foreign_reading card;
    cb_buf answers, der[SECURE_USES];
} reading;

void secure_read_card(reading *r);
void secure_forget(reading *r);

/* As hsmd looks at it; the card is read before. */
cb_error secure_check(const reading *r, cb_binding_info *info);
cb_error secure_check_card(cb_binding_info *info);

/* Registers the card. */
void secure_bind(cb_binding_info *info);

#endif
