/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards before somebody holds one: what manufacturers say they have made, what was sent, what has
 * arrived. And who asked for a card. Errors in common: registry.h.
 *
 * A card is known by its manufacturer's serial, and by its identity where the list has it (a native
 * card's identifier). Only what was listed, sent and received is in stock. What does not fit
 * changes nothing but this: it is written down as a mismatch, with a leaf, for people to look into;
 * and of two cards with one serial neither is ever in stock.
 */
#ifndef CB_BROKER_CORE_STOCK_H
#define CB_BROKER_CORE_STOCK_H

#include "broker/core/act.h"
#include "broker/store/row_stock.h"

enum { CB_STOCK_STEP_MAX = 1000 }; /* cards in one act */

typedef struct cb_stock_list {
    const char *manufacturer;
    const char *name; /* of the batch, or of the delivery */
    const char *const *serials;
    const cb_id *identities; /* NULL, or as many; zero: not known */
    size_t count;            /* at most CB_STOCK_STEP_MAX */
    int64_t first; /* place of the first serial among all that may come, such as its line; from 1 */
    bool last;     /* of a delivery received: nothing follows, what is not there is missing */
} cb_stock_list;

typedef struct cb_stock_outcome {
    size_t done, mismatches;
    bool more; /* more are missing than one act says: again, with no serials and "last" */
} cb_stock_outcome;

/* Enters cards of a batch, which is made if there is none of that name. Cards that it has already
 * are passed over. */
cb_error cb_stock_enter(cb_store *store, const char *actor, const cb_stock_list *list,
                        cb_stock_outcome *out);

/* CB_CARD_SEND, CB_CARD_RECEIVE (of a delivery; the same place of it may be received again, to
 * repeat an act whose answer was lost), CB_CARD_REVOKE, CB_CARD_DESTROY. */
cb_error cb_stock_act(cb_store *store, const char *actor, cb_card_act act,
                      const cb_stock_list *list, cb_stock_outcome *out);

/* state and delivery: NULL: any. after: a serial or "". */
cb_error cb_stock_page(cb_store *store, const char *manufacturer, const char *state,
                       const char *delivery, const char *after, unsigned limit,
                       cb_stock_visitor each, void *context);
cb_error cb_mismatch_page(cb_store *store, const cb_id *after, unsigned limit,
                          cb_mismatch_visitor each, void *context);

/* ---- Applications: entered → approved → issued, or refused ---- */

/* profile: cb_profile_id; reason "first" or "replacement". */
cb_error cb_application_add(cb_store *store, const char *actor, const cb_id *holder,
                            uint8_t profile, const char *reason, cb_application *out);

typedef struct cb_application_new {
    cb_id id; /* of one that may be entered again, which changes nothing: CB_E_EXISTS; zero: a new one */
    cb_id holder;
    const char *holder_name; /* enters the holder by this name in the same act, unless he is there: CB_E_EXISTS if by another name; NULL: he is there */
    uint8_t profile;
    const char *reason;
} cb_application_new;

cb_error cb_application_enter(cb_store *store, const char *actor, const cb_application_new *fresh,
                              cb_application *out);

/* CB_E_APPLICATION_SELF: who entered it may not approve it. */
cb_error cb_application_approve(cb_store *store, const char *actor, const cb_id *id,
                                const char *reason, cb_application *out);
cb_error cb_application_refuse(cb_store *store, const char *actor, const cb_id *id,
                               const char *reason, cb_application *out);
cb_error cb_application_get(cb_store *store, const cb_id *id, cb_application *out);
cb_error cb_application_page(cb_store *store, const cb_id *holder, const char *state,
                             const cb_id *after, unsigned limit, cb_application_visitor each,
                             void *context);

/* ---- For issuing, within its transaction ---- */

/* What cb_stock_take would take, in the state that it would have then, and whether it would: found
 * is empty (no serial) where the card is not listed and need not be. CB_E_CARD_UNLISTED. */
cb_error cb_stock_look(cb_txn *txn, const cb_card *card, const cb_card_new *fresh, cb_stock *found);

/* Takes the card out of stock: by what the operator says its serial is, or by its identity. Where
 * it is on no list, CB_E_CARD_UNLISTED if rules demand one for its profile, or a serial was named.
 * *serial is filled in, or "". */
cb_error cb_stock_take(cb_txn *txn, const cb_card *card, const cb_card_new *fresh, int64_t now,
                       cb_stock *taken);

/* The same for the application that is to be used; found is empty (no id) where none is needed. */
cb_error cb_application_look(cb_txn *txn, const cb_card *card, const cb_card_new *fresh,
                             cb_application *found);

/* Uses up an approved application, where rules demand one or one is named. *used: zero if none.
 * CB_E_APPLICATION_NONE. */
cb_error cb_application_use(cb_txn *txn, const cb_card *card, const cb_card_new *fresh,
                            const cb_act *act, cb_id *used);

/* Writes down that a card was not issued for one of these two reasons; its own transaction. */
void cb_mismatch_of_issue(cb_store *store, const char *actor, const cb_card_new *fresh,
                          const cb_id *card, cb_error error);

/* Writes down what does not fit of a card that was issued, as found by the broker itself; within a
 * transaction. */
cb_error cb_mismatch_of_card_in(cb_txn *txn, const char *kind, const cb_id *card, int64_t now);

#endif
