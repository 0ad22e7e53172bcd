/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a PIV card needs for secure messaging (NIST SP 800-73-4, part 1, 3.3.7; part 2, 4.1.5): a
 * key that never leaves it, the key's card verifiable certificate, which names the card by its
 * GUID, and, for everybody to read (5FC122), the X.509 certificate of who signed that: a content
 * signer. Cipher suite 2, and so P-256 for both. A pairing code (5FC123; part 1, 3.3.8) gives it a
 * virtual contact interface, too.
 */
#ifndef CB_CARDLINK_ISSUER_PIV_CHANNEL_H
#define CB_CARDLINK_ISSUER_PIV_CHANNEL_H

#include "base/id.h"
#include "cardlink/card/piv/state.h"
#include "cardlink/issuer/x509.h"

/* id-PIV-content-signing (FIPS 201-3, B). */
#define CB_ISSUE_CONTENT_SIGNING "2.16.840.1.101.3.6.7"

/* Why somebody cannot be a content signer: a text; NULL: he can. His key must be P-256, his
 * certificate have a subjectKeyIdentifier of 8 bytes or more, be of no authority, and be for
 * id-PIV-content-signing and digital signatures. */
const char *cb_issue_content_signer_fault(const cb_issue_signer *signer);

/* Gives a card that has none its secure messaging key, the certificate, and 5FC122. CB_E_ARGUMENT
 * (the signer cannot be one), CB_E_TOO_LARGE (his certificate), CB_E_CRYPTO, CB_E_MEMORY; the
 * caller ends state either way. */
cb_error cb_issue_piv_channel(const cb_issue_signer *signer, const cb_id *card,
                              cb_vpiv_state *state);

/* Gives it a pairing code: eight digits, CB_E_ARGUMENT. */
cb_error cb_issue_piv_pairing(cb_bytes code, cb_vpiv_state *state);

#endif
