/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How many proofs a card has made, as it proves it itself, and how many of them came here (decision
 * 31): what a native card was used for before its first tap here, and whether there are two of a
 * card. Native cards sign that number, SCP03 cards say it in the channel that only their keys open;
 * PIV and JPKI cards have none.
 *
 * A card counts when it is asked for a proof, in a session with a key service of its authority, or
 * in a channel with who has its keys, before it answers. What came here is less: of a proof whose
 * answer was lost on its way nobody here knows.
 */
#ifndef CB_BROKER_CORE_CARD_PROOF_H
#define CB_BROKER_CORE_CARD_PROOF_H

#include "broker/core/failures.h"
#include "broker/store/txn.h"

/* A proof that hsmd has believed, within the transaction that goes on with its tap. counter: as the
 * card said it. CB_E_CARD_COUNTER, and nothing is written: it is no more than one of before,
 * which one card alone does not sign. */
cb_error cb_card_proof_in(cb_txn *txn, const cb_id *card, uint32_t counter, int64_t now);

typedef struct cb_card_proof {
    cb_id card;
    uint32_t counter; /* 0: hsmd has not believed it */
    int64_t begun;    /* its tap; wall clock */
    cb_error why;     /* it came to nothing */
} cb_card_proof;

/* A proof that came to nothing, within the transaction that records why. One for CB_E_CARD_COUNTER
 * that is not merely late is a copy's: the card is suspended, and the first time that is a
 * mismatch. */
cb_error cb_card_proof_refused_in(cb_txn *txn, const cb_card_proof *proof, int64_t now,
                                  cb_failure_effect *effect);

typedef struct cb_card_use {
    bool first;
    uint32_t counter;
    uint64_t heard;
} cb_card_use;

/* A tap is accepted, within the transaction that records it: if it is a native card's first one, a
 * leaf of kind "card.first_use", and a mismatch where the card has made more proofs than came here.
 * After cb_card_proof_in of the same tap. */
cb_error cb_card_used_in(cb_txn *txn, const cb_id *tap, const cb_id *card, int64_t now,
                         cb_card_use *out);

/* Warns of a mismatch in the log of the program; after the transaction. */
void cb_card_use_tell(const cb_id *card, const cb_card_use *use);

#endif
