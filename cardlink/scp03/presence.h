/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How an SCP03 card shows that it is present for a tap and no other.
 *
 * It has no key to sign with. Inside the channel, at security level 33, it is given the digest of
 * the tap's context (cb_tap_context_digest) and answers with that digest and a transaction counter:
 *
 *   80 88 00 00 20 <context digest(32)> 00  ->  01 ‖ counter(4) ‖ context digest(32)
 *
 * as they stand before they are wrapped. The C-MAC ties the digest to the session, the R-MAC ties
 * the answer to that command; both need the session keys, which a terminal does not have. Unlike a
 * signature this convinces only whoever holds the card's keys, and could have been made by it.
 *
 * The counter is of the application: 0 when the card was made, incremented and made durable before
 * each such answer, never set back; after 4,294,967,295 of them the card proves nothing more. So it
 * is never 0, and a number that is not greater than one of before is a copy's
 * (broker/core/card_proof.h). Cards have it whether their challenges are random or come from a
 * sequence counter (scp03.h), which is another number: that one counts for whoever asks.
 */
#ifndef CB_CARDLINK_SCP03_PRESENCE_H
#define CB_CARDLINK_SCP03_PRESENCE_H

#include "cardlink/scp03/scp03.h"

enum { CB_SCP03_PRESENCE_ANSWER = 1 + 4 + CB_SHA256_SIZE };

/* The host's end: appends the wrapped command; mark gets what the answer is opened with. */
cb_error cb_scp03_presence_put(cb_sm *sm, const cb_digest *context, cb_buf *out, cb_sm_mark *mark);

/* Opens the answer (with status word). CB_E_CARD_PROOF unless it was made with the channel's keys,
 * to that command; CB_E_CARD_ANSWER unless it is over that context, and a number from 1. */
cb_error cb_scp03_presence_open(const cb_sm *sm, const cb_sm_mark *mark, cb_bytes answer,
                                const cb_digest *context, uint32_t *counter);

/* The card's end: the answer's data. */
void cb_scp03_presence_answer(cb_buf *out, const cb_digest *context, uint32_t counter);

#endif
