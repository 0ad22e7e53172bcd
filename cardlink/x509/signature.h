/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Signatures on certificates, revocation lists and OCSP answers.
 *
 * Accepted, and nothing else: ECDSA on P-256 and P-384, RSA (PKCS #1 v1.5, and PSS with a salt as
 * long as the digest) with 2,048 to 4,096 bits and an exponent from 65,537 on; SHA-256, SHA-384 and
 * SHA-512.
 */
#ifndef CB_CARDLINK_X509_SIGNATURE_H
#define CB_CARDLINK_X509_SIGNATURE_H

#include "cardlink/x509/der.h"

typedef enum cb_x509_key_kind {
    CB_X509_KEY_RSA = 1,
    CB_X509_KEY_P256,
    CB_X509_KEY_P384
} cb_x509_key_kind;

typedef struct cb_x509_key {
    cb_x509_key_kind kind;
    cb_bytes point;             /* ECDSA: 04 ‖ X ‖ Y, on the curve */
    cb_bytes modulus, exponent; /* RSA: without leading zeros */
} cb_x509_key;

/* Reads a SubjectPublicKeyInfo (RFC 3279, 2.3; RFC 5480). CB_E_CERTIFICATE_ALGORITHM for a key that
 * is not accepted, CB_E_MEMORY. */
cb_error cb_x509_key_read(cb_bytes public_key, cb_x509_key *out);

/* Whether a signature with an AlgorithmIdentifier is by the key. CB_E_CERTIFICATE_ALGORITHM (not
 * accepted, or not one for this key), CB_E_CRYPTO (it is not), CB_E_MEMORY. */
cb_error cb_x509_signature_check(cb_bytes public_key, cb_bytes algorithm, cb_bytes data,
                                 cb_bytes signature);

#endif
