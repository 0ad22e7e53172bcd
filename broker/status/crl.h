/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificate revocation lists (RFC 5280, 5): which certificates of an issuer are revoked.
 *
 * A list is read and its signature checked once; afterwards a search takes as many comparisons as
 * the binary logarithm of its length. It costs its own bytes and four more for each entry.
 *
 * Taken are whole lists that the issuer signed itself: no delta lists (what they say is in the
 * whole ones, too), no indirect lists, none of some reasons only, nothing critical that is not
 * known.
 */
#ifndef CB_BROKER_STATUS_CRL_H
#define CB_BROKER_STATUS_CRL_H

#include "cardlink/x509/certificate.h"

enum { CB_CRL_ENTRIES_MAX = 8 * 1024 * 1024, CB_CRL_NO_REASON = 0xFF };

typedef struct cb_crl {
    cb_buf der;                       /* its own; what follows points into it */
    int64_t this_update, next_update; /* seconds since 1970 */
    cb_bytes number;                  /* cRLNumber, most significant byte first; none: no bytes */
    cb_bytes point; /* names (content of fullName) whose certificates alone it covers; none: all */
    bool users_only, cas_only;
    cb_bytes entries;
    uint32_t *index; /* where each entry begins in entries, ordered by serial number */
    size_t count;
} cb_crl;

/* Takes der over, also after an error. CB_E_FORMAT (what it is, or asks to be understood, is not as
 * above), CB_E_CRYPTO (not by this issuer), CB_E_DENIED (the issuer may not sign lists),
 * CB_E_CERTIFICATE_ALGORITHM, CB_E_TOO_LARGE, CB_E_MEMORY. */
cb_error cb_crl_read(cb_buf *der, const cb_x509 *issuer, cb_crl **out);

void cb_crl_free(cb_crl **crl); /* takes NULL */

/* Whether the list speaks of a certificate of this kind with these cRLDistributionPoints (none: no
 * bytes). */
bool cb_crl_covers(const cb_crl *crl, bool is_ca, cb_bytes crl_points);

/* Whether a serial number is on it, and why: a CRLReason, or CB_CRL_NO_REASON. */
bool cb_crl_has(const cb_crl *crl, cb_bytes serial, uint8_t *reason);

/* Whether two lists of one issuer are about the same certificates: point and kinds are the same,
 * byte for byte. Only such lists are numbered in one row (RFC 5280, 5.2.3). */
bool cb_crl_same_scope(const cb_crl *crl, const cb_crl *other);

/* Whether a list says nothing that the other, by the same issuer and about the same certificates,
 * does not know better. */
bool cb_crl_is_older(const cb_crl *crl, const cb_crl *other);

#endif
