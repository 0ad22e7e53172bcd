/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What no two cards have alike: hsmd's memory of the one card that each of these was bound with.
 *
 * A card of some profiles is known by what it says to everybody, of which its certificates may
 * vouch for a part only (a PIV card's UUID and no FASC-N). Whoever changes the rest on the way has
 * a card of another name, with the same keys: one that was revoked under its own could be bound
 * again. So hsmd remembers, beside whose a card is (bound.h), under which name each of its keys was
 * bound, and each name in its certificates that it has for itself. They stay with that name for
 * good, also after the card was renewed or revoked.
 *
 * In the file of bound.h, under the first 16 bytes of
 *   SHA-256("cardbroker bound mark 1" 00 ‖ profile (1) ‖ 0 (key), kind (1), key; or 1, the name),
 * is the card (16) ‖ zero (16).
 */
#ifndef CB_HSM_MARKS_H
#define CB_HSM_MARKS_H

#include "cardlink/profile.h"
#include "hsm/client.h"
#include "hsm/memo.h"

enum { CB_MARKS_MAX = CB_CARD_KEYS_MAX + CB_PROFILE_MARKS_MAX };

typedef struct cb_marks {
    size_t count;
    cb_id mark[CB_MARKS_MAX];
} cb_marks;

/* Of a card that cb_foreign_card_check has passed and info has the keys of; none, if its profile's
 * cards are known by nothing but what is vouched for. CB_E_CERTIFICATE_FORM, CB_E_CARD_ANSWER,
 * CB_E_MEMORY. */
cb_error cb_marks_of(const cb_foreign_reading *card, const cb_binding_info *info, cb_marks *out);

/* Whether they are no other card's: CB_E_CARD_BOUND, and as cb_memo_get. */
cb_error cb_marks_free(const cb_memo *bound, const cb_id *card, const cb_marks *marks);

/* Remembers them as this card's; returns after that is durable. CB_E_CARD_BOUND, and as
 * cb_memo_put. Of two names for one card that come at a time, the first has it. */
cb_error cb_marks_take(cb_memo *bound, const cb_id *card, const cb_marks *marks);

#endif
