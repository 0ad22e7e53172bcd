/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a card issuer makes: authorities, brokers' certificates, batches, cards. Without files, so
 * that tests make their cards with it too; the program cardlink-issuer adds the files.
 *
 * There are two authorities, and they should be two: one stands above cards (GlobalPlatform's
 * CA-KLCC; the broker's trust anchor), the other above brokers (CA-KLOC; its public key is in each
 * card).
 */
#ifndef CB_CARDLINK_ISSUER_ISSUE_H
#define CB_CARDLINK_ISSUER_ISSUE_H

#include "cardlink/card/native/state.h"
#include "cardlink/native/certificate.h"

/* First and last day of validity, as in cvc.h. */
typedef struct cb_issue_days {
    uint32_t first;
    uint32_t last;
} cb_issue_days;

/* From today for a number of years, 1..30; the 29th of February becomes the 28th. */
cb_issue_days cb_issue_days_from_today(unsigned years);

typedef struct cb_issue_authority {
    cb_trust_anchor anchor;
    uint8_t scalar[CB_P256_SCALAR];
} cb_issue_authority;

/* A new authority; appends its self-signed certificate. name is 1..16 bytes. CB_E_ARGUMENT,
 * CB_E_CRYPTO. */
cb_error cb_issue_authority_make(cb_bytes name, cb_issue_days days, cb_issue_authority *out,
                                 cb_buf *certificate);

/* Appends a certificate for somebody's point, with a random serial number. CB_E_ARGUMENT,
 * CB_E_CRYPTO. */
cb_error cb_issue_certificate(const cb_issue_authority *authority, cb_bytes subject, uint16_t usage,
                              cb_bytes point, cb_issue_days days, cb_buf *certificate);

/* Appends a link certificate (link.h): by the authority's key of version previous, for the next
 * one, which has that version. CB_E_ARGUMENT, CB_E_CRYPTO. */
cb_error cb_issue_link(const cb_issue_authority *authority, const cb_trust_anchor *next,
                       uint8_t key_id, uint8_t previous, uint8_t version, cb_issue_days days,
                       cb_buf *link);

typedef struct cb_issue_batch {
    uint8_t scalar[CB_P256_SCALAR];
    uint8_t certificate[CB_NATIVE_CERTIFICATE_MAX];
    size_t certificate_len;
} cb_issue_batch;

cb_error cb_issue_batch_make(const cb_issue_authority *authority, cb_bytes name, cb_issue_days days,
                             cb_issue_batch *out);

/* What a new card is made of, beside authority and batch. */
typedef struct cb_issue_order {
    const cb_vcard_kloc *kloc; /* 1..CB_VCARD_KLOC_MAX */
    size_t kloc_count;
    cb_bytes pin;       /* digits; the transport PIN of a card in transit */
    cb_bytes code;      /* 8 digits */
    bool in_transit;    /* unusable until the holder has changed the PIN */
    cb_issue_days days; /* of the card; it ends with its batch at the latest */
} cb_issue_order;

/* A card with a new identity and key. Appends its own certificate, for registration at the broker.
 * The caller wipes state. CB_E_ARGUMENT, CB_E_PIN_FORMAT, CB_E_CRYPTO. */
cb_error cb_issue_card(const cb_issue_authority *authority, const cb_issue_batch *batch,
                       const cb_issue_order *order, cb_vcard_state *state, cb_buf *certificate);

/* len random digits, each of the ten equally likely. */
void cb_issue_digits(char *out, size_t len);

#endif
