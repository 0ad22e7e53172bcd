/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From a card's certificate to a trust anchor (RFC 5280, 6).
 *
 * A path is the card's certificate, the one of its issuer, and so on up to an anchor. An anchor is
 * a CA's certificate that the administrator put there; it need not sign itself, and what it says of
 * itself (dates, being a CA, path length) holds for it like for any other.
 *
 * Stricter than the RFC, so that a mistake refuses a card and never accepts one:
 *  - names are the same only byte for byte;
 *  - every CA has basicConstraints and, if a keyUsage, keyCertSign in it; nothing of version 1;
 *  - whatever critical is not known ends the path, and so does a constraint on names of a kind that
 *    is not known, where there is such a name; a name that cannot be compared is in what is excluded,
 *    and not in what is permitted;
 *  - policies are followed by their own identifiers alone: a mapped policy is none beneath the map;
 *  - an issuer's key and signature are of the kinds in signature.h.
 * Nothing is allocated but by wolfCrypt; at most CB_X509_TRIES signatures are checked.
 */
#ifndef CB_CARDLINK_X509_PATH_H
#define CB_CARDLINK_X509_PATH_H

#include "cardlink/x509/certificate.h"

enum { CB_X509_PATH_MAX = 8, CB_X509_TRIES = 32 };

/* Borrowed DER certificates. One that cannot be read is passed over: see cb_x509_parse when
 * loading. */
typedef struct cb_x509_trust {
    const cb_bytes *anchors;
    size_t anchor_count;
    const cb_bytes *intermediates; /* what lies between; not trusted */
    size_t intermediate_count;
} cb_x509_trust;

/* What the card's certificate must say. */
typedef struct cb_x509_rules {
    int64_t time;       /* seconds since 1970 */
    uint16_t key_usage; /* all of these; a certificate without the extension does not do. 0: not
                           looked at */
    const cb_bytes *extended_usages; /* one of these object identifiers; none: not looked at */
    size_t extended_usage_count;
    bool extended_usage_optional; /* a certificate without the extension does, too */
    const cb_bytes *policies;     /* one of these, along the whole path; none: not looked at */
    size_t policy_count;
} cb_x509_rules;

/* The card's certificate first, the anchor last. */
typedef struct cb_x509_path {
    cb_x509 certificates[CB_X509_PATH_MAX];
    size_t count;
} cb_x509_path;

/* CB_E_CERTIFICATE_FORM, _EARLY, _EXPIRED, _PATH, _USAGE, _POLICY, _ALGORITHM as their sentences
 * say (error.h); CB_E_CARD_CERTIFICATE when no anchor is reached; CB_E_MEMORY. path is of use after
 * CB_OK only, as long as the certificates live. */
cb_error cb_x509_validate(cb_bytes certificate, const cb_x509_trust *trust,
                          const cb_x509_rules *rules, cb_x509_path *path);

/* Whether issued was signed by the issuer's key and names it. CB_E_CARD_CERTIFICATE if not,
 * CB_E_CERTIFICATE_ALGORITHM, CB_E_MEMORY. */
cb_error cb_x509_is_issued_by(const cb_x509 *issued, const cb_x509 *issuer);

/* CB_E_CERTIFICATE_EARLY, CB_E_CERTIFICATE_EXPIRED. */
cb_error cb_x509_check_dates(const cb_x509 *certificate, int64_t time);

/* The object identifiers that cards' certificates for authentication carry. */
extern const cb_bytes cb_oid_client_auth;     /* 1.3.6.1.5.5.7.3.2 */
extern const cb_bytes cb_oid_smartcard_logon; /* 1.3.6.1.4.1.311.20.2.2; PIV 9A often */
extern const cb_bytes cb_oid_piv_card_auth;   /* 2.16.840.1.101.3.6.8; PIV 9E (FIPS 201) */

#endif
