/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * New certificates for a card that others issued and hsmd has bound: brought by a manager, or in a
 * tap of that card, where nobody is believed.
 *
 * In a tap, beyond what a manager's reading has to pass:
 *
 *   – the profile's configuration allows it (renewal-at-taps);
 *   – card and terminal are neither revoked nor suspended, as far as hsmd was told;
 *   – the card itself signs for it in this tap, with a key of the new certificates, over what was
 *     read of it; for keys that change, with its PIN and as much as its binding may reach, and none
 *     is bound that has not been proven so: a second one that signs is a manager's to renew, and so
 *     is a certificate that does not say itself which card it is of.
 *
 * So whoever has the front end or the terminal can bring about no binding without the card, and
 * none to keys that the card does not have. That the issuer has not revoked the new certificates is
 * the front end's to ask, as in every tap. Callers check the state (taps.h, and the table in
 * request.c) and end the tap after any error but those about the feed.
 */
#ifndef CB_HSM_RENEWING_H
#define CB_HSM_RENEWING_H

#include "hsm/marks.h"
#include "hsm/taps.h"

/* A renewal as it would be bound, of which nothing is made or remembered yet. */
typedef struct cb_renewing {
    cb_binding_info before, info;
    cb_marks marks;
} cb_renewing;

/* What renews a binding, by certificates alone: it is genuine, and the certificates are those in
 * it; they are of the same card, lead to an anchor, and renew by the profile's rule (foreign.h).
 * The sequence is not looked at. CB_E_HSM_RECORD, CB_E_CERTIFICATE_RENEWAL, and as
 * cb_foreign_card_check. */
cb_error cb_renewing_judge(const cb_vault *vault, const cb_foreign_trust *trust,
                           const cb_foreign_reading *reading, cb_bytes binding,
                           cb_bytes certificates, cb_renewing *out);

/* Remembers it; returns after that is durable. CB_E_CARD_REVOKED, CB_E_HSM_KEY_RETIRED,
 * CB_E_CARD_BOUND, and what cb_feed_refresh and cb_memo_change return. */
cb_error cb_renewing_take(cb_feed *feed, cb_memo *bound, const cb_renewing *renewing);

/* As cb_hsm_tap_renew. */
cb_error cb_renewing_ask(cb_taps *taps, cb_tap *tap, const cb_tap_context *context,
                         const cb_foreign_reading *reading, cb_bytes binding, cb_bytes certificates,
                         cb_buf *script);

/* As cb_hsm_tap_bind, of a tap in which the former was asked. */
cb_error cb_renewing_bind(cb_taps *taps, cb_tap *tap, uint64_t sequence, const cb_feed_head *feed,
                          cb_binding_info *out);

#endif
