/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an X.509 certificate says (RFC 5280, 4).
 *
 * Reading verifies nothing: that is path.h's. All bytes are borrowed from the certificate, and
 * nothing is allocated. A certificate that a strict reader cannot make sense of is refused whole:
 * other than version 3 (1 where it has no extensions), a field twice, a known extension of the
 * wrong shape. Unknown extensions that are critical are noted, and end every path (RFC 5280, 4.2).
 */
#ifndef CB_CARDLINK_X509_CERTIFICATE_H
#define CB_CARDLINK_X509_CERTIFICATE_H

#include "base/crypto.h"
#include "cardlink/x509/der.h"

enum { CB_X509_MAX = 16 * 1024, CB_X509_SERIAL_MAX = 20, CB_X509_NO_LIMIT = -1 };

/* Key usages (RFC 5280, 4.2.1.3), bit 0 on top. */
enum {
    CB_X509_DIGITAL_SIGNATURE = 0x8000,
    CB_X509_CERTIFICATE_SIGN = 0x0400,
    CB_X509_CRL_SIGN = 0x0200
};

typedef struct cb_x509 {
    cb_bytes whole;
    cb_bytes signed_bytes;        /* TBSCertificate */
    cb_bytes signature_algorithm; /* AlgorithmIdentifier */
    cb_bytes signature;
    cb_bytes serial; /* most significant byte first, no sign byte; 1 to 20 bytes */
    cb_bytes issuer; /* Names, as encoded */
    cb_bytes subject;
    int64_t not_before, not_after; /* seconds since 1970, both included */
    cb_bytes public_key;           /* SubjectPublicKeyInfo */

    bool is_ca;
    int path_length; /* CB_X509_NO_LIMIT, or as basicConstraints says */
    bool has_key_usage;
    uint16_t key_usage;
    /* What follows is the value of an extension, of no bytes when the certificate has none. */
    cb_bytes extended_usages, policies, policy_mappings, alternative_name, crl_points, access,
        name_constraints;
    cb_bytes subject_key_id, authority_key_id; /* identifiers alone */
    int require_policy, inhibit_any_policy;    /* certificates until then, or CB_X509_NO_LIMIT */
    bool unknown_critical;
    bool no_status_check; /* id-pkix-ocsp-nocheck (RFC 6960, 4.2.2.2.1) */
} cb_x509;

/* CB_E_CERTIFICATE_FORM. */
cb_error cb_x509_parse(cb_bytes der, cb_x509 *out);


/* Object identifiers that are asked for in more than one place; see cb_oid_parse. */
extern const cb_bytes cb_oid_any_policy, cb_oid_any_usage, cb_oid_ocsp_signing;

/* Whether extended_usages, or the policies, name an identifier. */
bool cb_x509_has_usage(const cb_x509 *certificate, cb_bytes oid);
bool cb_x509_has_policy(const cb_x509 *certificate, cb_bytes oid);

/* Whether a CA maps a policy to another for those beneath it (policyMappings). */
bool cb_x509_maps_policy(const cb_x509 *certificate, cb_bytes oid);

/* The HTTP addresses that a certificate names, from the index-th on: of OCSP responders
 * (authorityInfoAccess) and of CRLs (cRLDistributionPoints). False when there are no more. Not
 * ended by a zero; anything may stand in it. */
bool cb_x509_ocsp_url(const cb_x509 *certificate, unsigned index, cb_bytes *url);
bool cb_x509_crl_url(const cb_x509 *certificate, unsigned index, cb_bytes *url);

/* Whether cRLDistributionPoints (the value of that extension) names this GeneralName, as encoded,
 * as a place of a list that is by the issuer itself and for all reasons. */
bool cb_crl_points_name(cb_bytes crl_points, cb_bytes general_name);

/* How a certificate that a card shows now compares with one that it showed before. */
typedef struct cb_x509_relation {
    bool same;         /* byte for byte */
    bool same_issuer;  /* name */
    bool same_subject; /* name */
    bool
        same_alternative; /* subjectAltName, where both have one: PIV cards' FASC-N and card UUID */
    bool same_key;
    bool later; /* begins later than the one before */
} cb_x509_relation;

cb_x509_relation cb_x509_compare(const cb_x509 *before, const cb_x509 *now);

/* What makes a certificate of the same card a renewal of the one it was bound with. */
typedef enum cb_x509_renewal {
    CB_X509_RENEWAL_NEVER = 0,   /* bind it anew */
    CB_X509_RENEWAL_SAME_KEY,    /* same key, issuer and subject; only dates and serial differ */
    CB_X509_RENEWAL_SAME_SUBJECT /* another key, too; same issuer, subject and, if any, alternative
                                    name: the issuer vouches that it is the same holder */
} cb_x509_renewal;

/* Whether now, which must have been validated by the caller as the one before was, renews before
 * under the rule: another certificate, and begun later. */
bool cb_x509_renews(const cb_x509 *before, const cb_x509 *now, cb_x509_renewal rule);

#endif
