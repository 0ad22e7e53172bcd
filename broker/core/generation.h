/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which generations of the authority above this broker cards have (docs/card-application.md), as
 * they signed it at their last tap; and the end of a generation.
 */
#ifndef CB_BROKER_CORE_GENERATION_H
#define CB_BROKER_CORE_GENERATION_H

#include "broker/store/txn.h"

/* Writes down what a card signed, within the transaction that its tap is decided in: the row, and a
 * leaf of kind "card.generation". */
cb_error cb_card_generation_in(cb_txn *txn, const cb_id *tap, const cb_id *card,
                               uint8_t generation);

/* Calls each with generation and state, and how many native cards in that state have it; of cards
 * that are issued, active or suspended. Generation 0: of cards that have not been heard of
 * yet. */
cb_error cb_generation_list(cb_store *store, cb_generation_visitor each, void *context);

/* How many cards would not be served any more. */
typedef struct cb_generation_loss {
    uint64_t cards;  /* known to have no newer generation */
    uint64_t unseen; /* not heard of yet: lost unless they are newer */
} cb_generation_loss;

/* Records that generations up to a version are retired (kind "generation.retired"), if the caller
 * knows how many cards that costs: lose is the sum of the two. hsmd does it when a manager says so.
 * *loss is filled in on CB_E_GENERATION_CARDS too. May be repeated. CB_E_ARGUMENT. */
cb_error cb_generation_retire(cb_store *store, const char *actor, uint8_t version, uint64_t lose,
                              const char *reason, cb_generation_loss *loss);

#endif
