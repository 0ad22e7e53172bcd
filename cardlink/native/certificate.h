/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which certificates the broker's side believes, and the files they come in.
 *
 * Card issuers' roots ("trust anchors") are files, each one self-signed certificate (cvc.h, usage
 * AUTHORITY) as cardlink-issuer writes it. Under a root stand the certificates of batches (key
 * agreement, shared by many cards, shown to anybody) and of single cards (their own key, shown at
 * registration only).
 */
#ifndef CB_CARDLINK_NATIVE_CERTIFICATE_H
#define CB_CARDLINK_NATIVE_CERTIFICATE_H

#include "cardlink/native/cvc.h"
#include "cardlink/profile.h"

/* Reads a trust anchor. The self-signature and the usage are checked, dates are not (what it signed
 * is dated). CB_E_FORMAT if it is not one; of the file: CB_E_NOT_FOUND, CB_E_TOO_LARGE, CB_E_IO. */
cb_error cb_trust_anchor_parse(cb_bytes cvc, cb_trust_anchor *out);
cb_error cb_trust_anchor_read(const char *path, cb_trust_anchor *out);

/* Checks a card's own certificate, today: signed under an anchor, usage CARD_PROOF, subject a card
 * id, key on the curve. CB_E_CARD_CERTIFICATE otherwise; out parameters are then untouched. */
cb_error cb_card_certificate_check(cb_bytes cvc, const cb_trust_anchor *anchors, size_t count,
                                   cb_id *card, uint8_t point[CB_P256_POINT]);

typedef struct cb_batch_facts {
    uint8_t point[CB_P256_POINT];
    uint32_t first_day; /* cb_cvc_day */
    bool over; /* its last day is over: a card of it may be told so, or ended, and no more */
} cb_batch_facts;

/* The same for a batch's certificate (usage AGREEMENT), but that one whose last day is over is said
 * to be that. What was verified is remembered by its digest, per thread and at most 32
 * certificates; the days, and that the anchor is among those given, are looked at every time. */
cb_error cb_batch_certificate_check(cb_bytes cvc, const cb_trust_anchor *anchors, size_t count,
                                    cb_batch_facts *out);

/* Appends a broker's certificate from its file, checking form, usage (cb_cvc_usage) and that it
 * fits into a command. point, which may be NULL, gets the key in it, to be compared with the key in
 * the HSM. Whether cards accept it, only they know. CB_E_FORMAT, and of the file as above. */
cb_error cb_broker_certificate_read(const char *path, uint16_t usage, cb_buf *out,
                                    uint8_t point[CB_P256_POINT]);

#endif
