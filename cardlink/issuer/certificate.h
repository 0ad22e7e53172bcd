/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * X.509 certificates for cards of kinds that others make, too: issued under somebody's authority,
 * or signed by the card's own key. Keys and signatures are RSA or P-256, with SHA-256.
 */
#ifndef CB_CARDLINK_ISSUER_CERTIFICATE_H
#define CB_CARDLINK_ISSUER_CERTIFICATE_H

#include "cardlink/card/key.h"

enum { CB_X509_NAME_MAX = 63, CB_X509_ISSUED_MAX = 4096 };

/* Who signs: a CA's certificate and its private key, both DER. */
typedef struct cb_x509_authority {
    cb_buf certificate;
    cb_buf key;
} cb_x509_authority;

/* Reads both from PEM files; the key's must be its owner's alone. Writes what is wrong to why. */
cb_error cb_x509_authority_read(const char *certificate, const char *key, cb_x509_authority *out,
                                cb_buf *why);
void cb_x509_authority_free(cb_x509_authority *authority);

typedef struct cb_x509_order {
    const cb_vcard_key *key; /* the subject's: RSA-2048 or P-256 */
    const char *name;        /* common name: 1 to 63 bytes of UTF-8 */
    const char *usage;       /* "digitalSignature" …, with commas */
    const char *extended;    /* "clientAuth" …; NULL: none */
    const char *policy;      /* one object identifier, "1.2.3"; NULL: none */
    unsigned years;          /* valid for so long, from yesterday */
} cb_x509_order;

/* Appends a certificate; without an authority (NULL) the key signs it itself. CB_E_ARGUMENT;
 * CB_E_CARD_CERTIFICATE when the authority's key is not the one in its certificate; CB_E_CRYPTO. */
cb_error cb_x509_issue(const cb_x509_authority *authority, const cb_x509_order *order,
                       cb_buf *certificate);

#endif
