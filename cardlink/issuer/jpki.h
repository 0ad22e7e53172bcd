/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making a JPKI card for tests and demonstrations: two keys, their certificates, two PINs. Real
 * ones are made by Japan's municipalities alone; nothing here resembles a certificate of theirs but
 * in form.
 */
#ifndef CB_CARDLINK_ISSUER_JPKI_H
#define CB_CARDLINK_ISSUER_JPKI_H

#include "cardlink/card/jpki/state.h"
#include "cardlink/issuer/x509.h"

typedef struct cb_vjpki_secrets {
    char pin[CB_VJPKI_USES][CB_VJPKI_PIN_MAX + 1];
} cb_vjpki_secrets;

/* Policies of the certificates, as real ones have them. */
#define CB_VJPKI_POLICY_AUTHENTICATION "1.2.392.200149.8.5.1.3.30"
#define CB_VJPKI_POLICY_SIGNATURE "1.2.392.200149.8.5.1.1.10"

/* Two lines from a descriptor, the PIN for authentication and the one for signatures; -1: asks on
 * the terminal. CB_E_PIN_FORMAT, CB_E_IO. */
cb_error cb_vjpki_secrets_get(int fd, cb_vjpki_secrets *out);

/* Draws both by lot: four digits; eight digits and capital letters. */
void cb_vjpki_secrets_draw(cb_vjpki_secrets *out);

/* A new card's state. The signature certificate is in the holder's name (1 to 64 bytes); the other
 * one has a name drawn by lot, for it is readable by anybody. Without a signer (NULL) both sign
 * themselves. The caller wipes state. CB_E_PIN_FORMAT, CB_E_ARGUMENT, CB_E_CRYPTO, CB_E_MEMORY. */
cb_error cb_vjpki_make(const cb_issue_signer *signer, const char *holder, unsigned years,
                       const cb_vjpki_secrets *secrets, cb_vjpki_state *state);

#endif
