/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making X.509 certificates (RFC 5280, 4) for cards whose applications others have specified.
 */
#ifndef CB_CARDLINK_ISSUER_X509_H
#define CB_CARDLINK_ISSUER_X509_H

#include "cardlink/card/key.h"

enum { CB_ISSUE_X509_MAX = 3072, CB_ISSUE_NAME_MAX = 1024 };

/* Who signs: a certification authority, or the subject itself. The caller ends one that was loaded.
 */
typedef struct cb_issue_signer {
    cb_vcard_key key;   /* no algorithm: there is none */
    cb_buf name;        /* Name, DER */
    cb_buf key_id;      /* the value of its certificate's subjectKeyIdentifier, if it has one */
    cb_buf certificate; /* its own, DER */
} cb_issue_signer;

/* From the PEM files of a certificate and its private key (P-256, P-384 or RSA-2048; not
 * encrypted, and its owner's alone). Writes what is wrong to why: CB_E_FORMAT, CB_E_NOT_FOUND,
 * CB_E_DENIED, CB_E_ARGUMENT (they do not belong together). */
cb_error cb_issue_signer_load(const char *certificate, const char *key, cb_issue_signer *out,
                              cb_buf *why);
void cb_issue_signer_end(cb_issue_signer *signer);

/* Appends a Name of one commonName (UTF-8, 1 to 64 bytes: CB_E_ARGUMENT). */
cb_error cb_issue_name(cb_bytes common, cb_buf *der);

/* Appends an Extension. oid is the identifier's bytes. */
void cb_issue_extension(cb_buf *extensions, cb_bytes oid, bool critical, cb_bytes value);

/* Appends keyUsage (its first eight bits, the first one on top), extendedKeyUsage and
 * certificatePolicies of one identifier each, given as text like "1.2.3". */
void cb_issue_key_usage(cb_buf *extensions, uint8_t bits);
void cb_issue_extended_usage(cb_buf *extensions, const char *oid, bool critical);
void cb_issue_policy(cb_buf *extensions, const char *oid);

/* From today's first second (UTC) for a number of years. */
void cb_issue_dates(unsigned years, int64_t *not_before, int64_t *not_after);

typedef struct cb_issue_x509 {
    cb_bytes subject; /* Name, DER */
    const cb_vcard_key *key;
    cb_bytes extensions;           /* any number, as cb_issue_extension writes them; key identifiers
                                      are added */
    int64_t not_before, not_after; /* seconds since 1970 */
} cb_issue_x509;

/* Appends a certificate with a random serial number. signer NULL: signed by its own key. */
cb_error cb_issue_x509_make(const cb_issue_x509 *what, const cb_issue_signer *signer,
                            cb_buf *certificate);

/* Appends a certificate in PEM (RFC 7468). */
void cb_issue_pem(cb_bytes certificate, cb_buf *text);

#endif
