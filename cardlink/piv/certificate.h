/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Card verifiable certificates of PIV's secure messaging (NIST SP 800-73-4, part 2, 4.1.5).
 *
 * A PIV card that offers secure messaging shows the certificate of its key for that: its point, its
 * GUID, and a signature. It was signed by the issuer's key of an X.509 certificate for content
 * signing, which the card keeps beside it (part 1, 3.3.7), or by the key of an intermediate
 * certificate of the same form, which that one signed. It has no dates: those of the X.509
 * certificate count.
 *
 *   7F21{5F29 80, 42 issuer (8), 5F20 subject (16; intermediate: 8), 7F49{06 curve, 86 point},
 *        5F4C role (card: 00, intermediate: 12), 5F37 DER{algorithm, BIT STRING}}
 *
 * Curve P-256 only (cipher suite 2). Reading verifies nothing.
 */
#ifndef CB_CARDLINK_PIV_CERTIFICATE_H
#define CB_CARDLINK_PIV_CERTIFICATE_H

#include "base/crypto.h"
#include "cardlink/x509/certificate.h"

enum { CB_PIV_CVC_MAX = 1024, CB_PIV_CVC_NAME = 8, CB_PIV_GUID = 16 };

/* Borrowed. */
typedef struct cb_piv_cvc {
    cb_bytes whole;
    cb_bytes signed_bytes; /* the objects before the signature */
    cb_bytes issuer;       /* 8 bytes */
    cb_bytes subject;      /* a card's: its GUID; an intermediate's: 8 bytes */
    cb_bytes point;        /* on the curve */
    bool intermediate;
    cb_bytes algorithm; /* AlgorithmIdentifier, whole */
    cb_bytes signature;
} cb_piv_cvc;

/* The certificate that is all of these bytes. CB_E_CERTIFICATE_FORM; CB_E_CERTIFICATE_ALGORITHM for
 * a key on another curve, or none on this one. */
cb_error cb_piv_cvc_read(cb_bytes bytes, cb_piv_cvc *out);

/* Whether a card's certificate was signed by the key of an X.509 certificate, whose path and usage
 * are the caller's to check, or by that of an intermediate that this one signed (no bytes: there is
 * none). A card's is signed by ECDSA with SHA-256 on P-256, an intermediate one by RSA with PKCS #1
 * v1.5 and SHA-256; issuers are named by the first eight bytes of the signer's
 * subjectKeyIdentifier, or the intermediate's subject. CB_E_CARD_CERTIFICATE,
 * CB_E_CERTIFICATE_FORM, CB_E_CERTIFICATE_ALGORITHM, CB_E_MEMORY. */
cb_error cb_piv_cvc_verify(const cb_piv_cvc *card, cb_bytes intermediate, const cb_x509 *signer);

/* 2.16.840.1.101.3.6.7, which a certificate for content signing has for a usage (FIPS 201-3). */
extern const cb_bytes cb_oid_piv_content_signing;

#endif
