/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows of what cards have proven of how many proofs they made (core/card_proof.h).
 */
#ifndef CB_BROKER_STORE_ROW_CARD_PROOF_H
#define CB_BROKER_STORE_ROW_CARD_PROOF_H

#include "broker/store/txn.h"

/* Of cards from before this was looked at, and of SCP03 cards. */
enum { CB_FIRST_USE_UNKNOWN = -1 };

typedef struct cb_card_proof_row {
    uint32_t counter;  /* the highest that it has proven */
    int64_t at;        /* wall clock; when that came here */
    uint64_t heard;    /* proofs that came here */
    int64_t first_use; /* wall clock; 0: not yet; CB_FIRST_USE_UNKNOWN */
    int64_t back;      /* when it first proved a number that does not follow; 0: never */
} cb_card_proof_row;

/* All zero when there is none. */
cb_error cb_row_card_proof_get(cb_txn *txn, const cb_id *card, cb_card_proof_row *out);
cb_error cb_row_card_proof_set(cb_txn *txn, const cb_id *card, const cb_card_proof_row *row);

#endif
