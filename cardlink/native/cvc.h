/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Card-verifiable certificates (GlobalPlatform Card Specification, Amendment F, 6.1): small enough
 * for one short command, and plain enough for a card to parse.
 *
 *   7F21 { 93 serial, 42 issuer, 5F20 subject, 95 usage, 5F25 first day, 5F24 last day, 53 and BF20
 * (optional), 7F49 { B0 point, F0 00 }, 5F37 signature }
 *
 * The signature is ECDSA P-256 with SHA-256, r ‖ s, over the objects before it as they stand. Days
 * are eight decimal digits, YYYYMMDD, in four bytes. BF20 limits what a certificate may be used
 * for; none of its limits is known here, so a certificate with a limit in it is refused.
 */
#ifndef CB_CARDLINK_NATIVE_CVC_H
#define CB_CARDLINK_NATIVE_CVC_H

#include "base/crypto.h"

enum { CB_CVC_NAME_MAX = 16, CB_CVC_MAX = 512 };

/* What a key is for. A certificate of one usage is never taken for another. The first byte is
 * GlobalPlatform's key usage qualifier (82: verification of signatures), the second
 * GlobalPlatform's (80) or this application's. */
typedef enum cb_cvc_usage {
    CB_CVC_AGREEMENT = 0x0080,        /* key agreement, of a broker or of a batch of cards */
    CB_CVC_AUTHORITY = 0x8200,        /* signs certificates */
    CB_CVC_BROKER_SIGNATURE = 0x8201, /* the broker's signature over a session's transcript */
    CB_CVC_CARD_PROOF = 0x8202,       /* one card's own key; the subject is the card id */
    CB_CVC_LINK = 0x8203              /* the next key of an authority above brokers (link.h) */
} cb_cvc_usage;

/* Fields, borrowed from the bytes they were parsed from. */
typedef struct cb_cvc {
    cb_bytes serial;  /* 1..16 bytes */
    cb_bytes issuer;  /* 1..16 */
    cb_bytes subject; /* 1..16 */
    uint16_t usage;
    uint32_t first_day; /* as the digits stand: 0x20260131 */
    uint32_t last_day;
    cb_bytes discretionary; /* of 53; at most 16, may be empty */
    cb_bytes point;        /* 65; not yet checked to be on the curve */
    cb_bytes signed_bytes; /* what the signature is over */
    cb_bytes signature;    /* 64 */
} cb_cvc;

/* Parses one certificate, with nothing after it. CB_E_FORMAT. */
cb_error cb_cvc_parse(cb_bytes bytes, cb_cvc *out);

/* Whether the signature is the issuer's. */
cb_error cb_cvc_check(const cb_cvc *cvc, cb_bytes issuer_point);
bool cb_cvc_verify(const cb_cvc *cvc, cb_bytes issuer_point);

/* Makes a certificate from serial, issuer, subject, usage, days, discretionary and point, signed
 * with the issuer's scalar. CB_E_ARGUMENT for a field out of range, CB_E_CRYPTO. */
cb_error cb_cvc_make(const cb_cvc *fields, const uint8_t issuer[CB_P256_SCALAR], cb_buf *out);

/* The day, in UTC, of a wall time; and whether a certificate is valid on that day. */
uint32_t cb_cvc_day(int64_t wall_us);
/* Whether these are the digits of a day, as far as a card looks. */
bool cb_cvc_day_ok(uint32_t day);
/* The end of such a day, microseconds since 1970 (UTC); 0 for what is no day after 1970. */
int64_t cb_cvc_day_end(uint32_t day);
bool cb_cvc_valid_on(const cb_cvc *cvc, uint32_t day);

#endif
