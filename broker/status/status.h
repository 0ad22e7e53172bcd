/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether the issuers of foreign cards have revoked their certificates.
 *
 * For each issuer that is configured there are revocation lists (crl.h), a responder (ocsp.h), or
 * both. What they said is kept as long as it is fresh (fresh.h): lists also in the state folder, so
 * that a restart needs no network. Each issuer has threads of its own that fetch what is about to
 * get stale, so that one whose servers hang is no harm to the others.
 *
 * A question never waits longer than config.wait, and only for an answer of a responder; where
 * nothing fresh is known, it fails: CB_E_CERTIFICATE_STATUS. The broker's own revocation of a card
 * is another matter, and at once (core/revoke).
 */
#ifndef CB_BROKER_STATUS_STATUS_H
#define CB_BROKER_STATUS_STATUS_H

#include "broker/status/fetch.h"
#include "broker/status/fresh.h"
#include "cardlink/x509/path.h"

enum {
    CB_STATUS_ISSUERS_MAX = 16,
    CB_STATUS_LISTS_MAX = 8, /* of one issuer */
    CB_STATUS_CONNECTIONS_MAX = 8,
    CB_STATUS_DETAIL = 160
};

typedef struct cb_status_issuer {
    const char *name;                       /* for the log */
    cb_bytes certificate;                   /* DER; of a CA */
    const char *lists[CB_STATUS_LISTS_MAX]; /* URLs */
    size_t list_count;
    const char *responder; /* URL; NULL: none */
} cb_status_issuer;

/* Borrowed until cb_status_close. */
typedef struct cb_status_config {
    const cb_status_issuer *issuers;
    size_t issuer_count;
    const char *folder;          /* where lists are kept; NULL: nowhere */
    cb_fresh_limits list_limits; /* seconds */
    cb_fresh_limits answer_limits;
    int64_t refresh;      /* seconds after which anything is fetched again, fresh or not */
    int64_t wait;         /* microseconds that a question may wait for a responder */
    int64_t fetch_time;   /* microseconds that a fetch may take */
    size_t list_size;     /* most bytes of a list */
    unsigned answers;     /* of responders, remembered; rounded up to a multiple of 8 */
    unsigned connections; /* to each responder at a time */
    bool nonce;
    cb_error (*fetch)(void *context, const cb_fetch *what, cb_buf *answer); /* cb_fetcher_get */
    void *context;
    int64_t (*now)(void); /* seconds since 1970; NULL: the clock */
} cb_status_config;

typedef struct cb_status cb_status;

/* Reads kept lists and begins to fetch. CB_E_CONFIG (an issuer's certificate or URL; why says
 * which), CB_E_MEMORY. */
cb_error cb_status_open(const cb_status_config *config, cb_status **out, cb_buf *why);

void cb_status_close(cb_status **status); /* takes NULL */

/* About which certificate. */
typedef struct cb_status_question {
    cb_digest issuer_name; /* SHA-256 of the issuer's Name, as encoded */
    cb_digest issuer_key;  /* SHA-256 of its SubjectPublicKeyInfo */
    cb_bytes serial;
    cb_bytes crl_points; /* value of cRLDistributionPoints; none: no bytes. For lists in parts */
    bool is_ca;
} cb_status_question;

cb_status_question cb_status_question_of(const cb_x509 *certificate, const cb_x509 *issuer);

typedef struct cb_status_reason {
    uint8_t reason;                /* CRLReason (RFC 5280, 5.3.1) of what is revoked, or 0xFF */
    char detail[CB_STATUS_DETAIL]; /* a sentence for the log; no personal data */
} cb_status_reason;

/* CB_OK: the issuer said lately that it is good. CB_E_CERTIFICATE_REVOKED (suspended, too),
 * CB_E_CERTIFICATE_STATUS. Any thread, at any time between open and close. */
cb_error cb_status_check(cb_status *status, const cb_status_question *question,
                         cb_status_reason *reason);

/* All of a path but its anchor, the card's certificate first. */
cb_error cb_status_check_path(cb_status *status, const cb_x509_path *path,
                              cb_status_reason *reason);

/* For a tap, of which no path is known: a certificate that was validated when its card was bound.
 * Its dates, and its status as its configured issuer says it, then the same of that issuer, and on
 * up to the first that has no issuer among the configured ones: that one is trusted as the
 * configuration is. Besides the above CB_E_CERTIFICATE_FORM, _EARLY, _EXPIRED, CB_E_MEMORY. Checks
 * a signature for each. */
cb_error cb_status_check_certificate(cb_status *status, cb_bytes certificate,
                                     cb_status_reason *reason);

/* Counted since the start. */
typedef struct cb_status_counts {
    uint64_t good, revoked, unknown; /* questions, by what they were answered */
    uint64_t waited;                 /* of them, those that waited for a responder */
    uint64_t lists_fetched, list_failures, answers_fetched, answer_failures;
} cb_status_counts;

void cb_status_count(cb_status *status, cb_status_counts *out);

/* One list of an issuer, as it stands now. */
typedef struct cb_status_list {
    const char *issuer, *url;
    bool known, fresh;
    int64_t this_update, until; /* seconds since 1970; how long it counts */
    size_t entries;
    cb_error error; /* of the last fetch */
} cb_status_list;

/* The index-th list; false when there are no more. */
bool cb_status_list_at(cb_status *status, size_t index, cb_status_list *out);

#endif
