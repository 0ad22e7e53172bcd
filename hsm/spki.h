/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Public keys of PKCS#11 objects as DER SubjectPublicKeyInfo (RFC 5280, RFC 5480, RFC 8017), and the little DER that this takes.
 * Inside hsm/ only.
 */
#ifndef CB_HSM_SPKI_H
#define CB_HSM_SPKI_H

#include "hsm/records.h"
#include "hsm/token.h"

/* The DER object identifiers of the curves, for CKA_EC_PARAMS. Empty for algorithms that have none. */
cb_bytes cb_curve_oid(uint8_t algorithm);

/* Appends 04 ‖ X ‖ Y of a public (CKA_EC_POINT) object. */
cb_error cb_spki_point(cb_token *token, CK_OBJECT_HANDLE object, cb_buf *out);

/* Append SubjectPublicKeyInfo: of an EC public key of that algorithm's curve, and of an RSA key (public or private object). */
cb_error cb_spki_ec(cb_token *token, CK_OBJECT_HANDLE object, uint8_t algorithm, cb_buf *out);
cb_error cb_spki_rsa(cb_token *token, CK_OBJECT_HANDLE object, cb_buf *out);

/* The same for a point. */
void cb_spki_ec_point(uint8_t algorithm, cb_bytes point, cb_buf *out);

/* DER: SEQUENCE of the content; unsigned INTEGER; BIT STRING without unused bits. */
void cb_der_put_sequence(cb_buf *out, cb_bytes content);
void cb_der_put_unsigned(cb_buf *out, cb_bytes magnitude);
void cb_der_put_bits(cb_buf *out, cb_bytes bits);

#endif
