/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which holder each card was bound to: hsmd's memory of it, in front of every binding that is made.
 *
 * A card is bound once: a second binding would stay genuine beside the first, and whoever has the
 * front end could choose between the two. It is remembered before the binding is made, so that no
 * crash in between leaves one that is not, and all workers share the memory.
 */
#ifndef CB_HSM_BOUND_H
#define CB_HSM_BOUND_H

#include "hsm/feed.h"
#include "hsm/memo.h"
#include "hsm/records.h"

/* Revoked cards, and keys that were renewed, never come back: CB_E_CARD_REVOKED,
 * CB_E_HSM_KEY_RETIRED, and what cb_feed_refresh returns. */
cb_error cb_bound_still_good(cb_feed *feed, const cb_binding_info *info);

/* Whether the card could be bound so: CB_E_CARD_BOUND, and as cb_memo_get. */
cb_error cb_bound_free(const cb_memo *bound, const cb_binding_info *info);

/* Remembers it, or finds it remembered so already: CB_E_CARD_BOUND, and as cb_memo_put. Of two that
 * come at a time for one card, the first has it. */
cb_error cb_bound_take(cb_memo *bound, const cb_binding_info *info);

/* Whether a binding could be renewed so: CB_E_CARD_BOUND if what is remembered is neither of the
 * two, and as cb_memo_get. */
cb_error cb_bound_renewable(const cb_memo *bound, const cb_binding_info *before,
                            const cb_binding_info *info);

/* Remembers what renews it in the place of a binding; a card of which nothing is remembered was
 * bound before that was done. Errors as above, and of cb_memo_change. Of two that come at a time, the first has it. */
cb_error cb_bound_renew(cb_memo *bound, const cb_binding_info *before, const cb_binding_info *info);

#endif
