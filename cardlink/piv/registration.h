/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is read and looked at when a PIV card is registered: the certificates of its keys, and
 * whether they are of this card. Calls of cb_card_profile, which says what they promise.
 */
#ifndef CB_CARDLINK_PIV_REGISTRATION_H
#define CB_CARDLINK_PIV_REGISTRATION_H

#include "cardlink/profile.h"
#include "cardlink/x509/certificate.h"

/* 9A, 9E, and who signed the certificate of the key for secure messaging. */
enum { CB_PIV_CERTIFIED = 3 };

/* The last is asked for only where the card took the offer. */
void cb_piv_survey(const cb_script *first, cb_buf *script);

/* As the card has it, DER or that in gzip: the bytes tell, and CertInfo beside them is not asked,
 * for cards were made by editions that placed its bit differently (part 1, appendix A). The signer's
 * is followed by the intermediate one, if the card has one. */
cb_error cb_piv_certificate(const cb_script *answers, size_t index, uint8_t *use, cb_buf *der);

/* Of 9A and 9E. The second: with the card's UUID in the certificate. */
bool cb_piv_fits(const cb_script *answers, const cb_x509 *certificate);
bool cb_piv_named(const cb_script *answers, const cb_x509 *certificate);

/* UUID and FASC-N, where the certificate has them. Not the FASC-N of an agency 9999: outside the
 * federal government many cards have the same. */
size_t cb_piv_marks(const cb_script *answers, const cb_x509 *certificate,
                    cb_bytes out[CB_PROFILE_MARKS_MAX]);

/* The key for secure messaging. */
cb_error cb_piv_attest(const cb_script *answers, const cb_x509 *signer, cb_bytes between,
                       cb_card_key *key);

#endif
