/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Keys of enrolments: taking them in, putting one in another's place, retiring them in the feed.
 */
#ifndef CB_BROKER_CORE_ENROLMENT_KEY_H
#define CB_BROKER_CORE_ENROLMENT_KEY_H

#include "broker/core/act.h"

/* Fills in a key from a sealed record, which must be for this holder and service: CB_E_ARGUMENT. */
cb_error cb_key_take(const cb_id *holder, const char *service, cb_bytes sealed, cb_bytes public_key,
                     cb_enrolment_key *out);

/* Adds key, algorithm and sequence to a leaf. */
void cb_key_leaf(cb_buf *leaf, const cb_enrolment_key *key);

/* Erases a key and retires it in the feed, with a leaf of its own. Nothing for a key that is none.
 */
cb_error cb_key_retire(cb_txn *txn, const cb_act *act, const cb_id *enrolment,
                       const cb_enrolment_key *key);

#endif
