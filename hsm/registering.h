/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A tap that binds its card, by a one-time code that a manager allowed its holder
 * (cardlink/registration.h). What the manager does for the card of somebody who stands before him,
 * hsmd does here by itself, for a front end that it does not believe:
 *
 *   – whose the card becomes, of which profile it may be and how far it may reach stands in hsmd's
 * memory of the code; – the code's key has signed what was read of this card in this tap; – the
 * card's certificates lead to an anchor, and say which card they are of; – one of the keys in them
 * signs for this tap, with the PIN where the level that is allowed asks for it; – the code is used,
 * durably, before the binding leaves hsmd: once, for this card with these keys.
 *
 * Whether the issuer has revoked a certificate is the front end's to ask, as in every tap. Callers
 * check the state (taps.h, and the table in request.c) and end the tap after any error but those
 * about the feed.
 */
#ifndef CB_HSM_REGISTERING_H
#define CB_HSM_REGISTERING_H

#include "hsm/taps.h"

/* As cb_hsm_tap_register. */
cb_error cb_registering_ask(cb_taps *taps, cb_tap *tap, const cb_tap_context *context,
                            const cb_foreign_reading *reading, const cb_registration_word *word,
                            cb_buf *script);

/* As cb_hsm_tap_bind; fills in what is to be bound, of which nothing is made yet. */
cb_error cb_registering_bind(cb_taps *taps, cb_tap *tap, uint64_t sequence,
                             const cb_feed_head *feed, cb_binding_info *out);

/* The code of a tap in which one was named. */
const cb_id *cb_registering_code(const cb_tap *tap);

#endif
