/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What issuing and replacing share.
 */
#ifndef CB_BROKER_CORE_CARD_ISSUE_H
#define CB_BROKER_CORE_CARD_ISSUE_H

#include "broker/core/act.h"

/* 1 to CB_STOCK_NAME_MAX printable ASCII characters without spaces. */
bool cb_stock_name_ok(const char *name);

/* The row that a card will have, issued now. Errors as cb_card_issue. */
cb_error cb_card_prepare(const cb_card_new *fresh, int64_t now, cb_card *card);

/* Whether the rules let it be issued now; of the card: id, holder, profile. */
cb_error cb_card_issue_look(cb_txn *txn, const cb_card_new *fresh, const cb_card *card);

/* Writes it, how it was issued, and the leaf. */
cb_error cb_card_issue_in(cb_txn *txn, const cb_act *act, const cb_card_new *fresh,
                          const cb_card *card);

/* Whether a rule was not met, which is to be recorded. */
bool cb_card_issue_refused(cb_error error);

/* One card in the place of another of its holder's (fresh->replaces), active at once; the old one
 * is revoked, unless it is dead already, which alone has act's reason and what it ends. Errors as
 * cb_card_replace. */
cb_error cb_card_replace_in(cb_txn *txn, const cb_act *act, const cb_card_new *fresh,
                            const cb_card *card);

/* Revoked, given back or destroyed. */
bool cb_card_is_dead(uint8_t state);

cb_error cb_card_copy(const cb_card *from, cb_card *to);

#endif
