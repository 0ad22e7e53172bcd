/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Leaves about taps: one way to write each (kinds: docs/architecture.md).
 */
#ifndef CB_BROKER_EVIDENCE_TAP_LEAF_H
#define CB_BROKER_EVIDENCE_TAP_LEAF_H

#include "base/leaf.h"
#include "broker/store/rows.h"
#include "broker/store/txn.h"

/* "tap.result". outcome is "accepted", "interrupted" or an error's code. session may be NULL. */
typedef struct cb_result_facts {
    const cb_intent_row *intent;
    const char *outcome;
    const cb_id *session;
    uint8_t terminal_kind; /* as it was registered then; 0: not stated */
    bool pin_seen;         /* a PIN was verified that the terminal saw */
    bool pad;              /* by the word of a terminal that was registered with a PIN pad */
    const cb_bytes *receipts;
    size_t receipt_count;
} cb_result_facts;

void cb_result_leaf(const cb_result_facts *facts, int64_t time, cb_buf *leaf);

/* "session.ended". */
void cb_session_leaf(const cb_session_row *session, const char *why, int64_t time, cb_buf *leaf);

/* Adds a line unless the id is zero. */
void cb_leaf_known_id(cb_buf *leaf, const char *name, const cb_id *id);

#endif
