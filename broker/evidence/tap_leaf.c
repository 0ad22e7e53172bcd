/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/tap_leaf.h"

void cb_leaf_known_id(cb_buf *leaf, const char *name, const cb_id *id)
{
    if (id && !cb_id_is_zero(id))
        cb_leaf_id(leaf, name, id);
}

void cb_result_leaf(const cb_result_facts *facts, int64_t time, cb_buf *leaf)
{
    const cb_intent_row *intent = facts->intent;
    cb_leaf_begin(leaf, "tap.result", time);
    cb_leaf_id(leaf, "tap", &intent->tap);
    cb_leaf_number(leaf, "intent", intent->leaf);
    cb_leaf_text(leaf, "outcome", facts->outcome);
    cb_leaf_id(leaf, "card", &intent->card);
    cb_leaf_id(leaf, "holder", &intent->holder);
    cb_leaf_id(leaf, "terminal", &intent->terminal);
    if (facts->terminal_kind)
        cb_leaf_number(leaf, "terminal_kind", facts->terminal_kind);
    if (facts->pad)
        cb_leaf_text(leaf, "pin_entry", "pad");
    else if (facts->pin_seen && intent->reached != CB_LEVEL_TERMINAL_PIN)
        cb_leaf_text(leaf, "pin_entry", "terminal"); /* which the level would not tell */
    cb_leaf_id(leaf, "enrolment", &intent->enrolment);
    cb_leaf_text(leaf, "service", intent->service);
    cb_leaf_id(leaf, "key", &intent->key);
    cb_leaf_known_id(leaf, "session", facts->session);
    for (size_t i = 0; i < facts->receipt_count; i++)
        cb_leaf_hex(leaf, "receipt", facts->receipts[i]);
}

void cb_session_leaf(const cb_session_row *session, const char *why, int64_t time, cb_buf *leaf)
{
    cb_leaf_begin(leaf, "session.ended", time);
    cb_leaf_id(leaf, "session", &session->id);
    cb_leaf_id(leaf, "tap", &session->tap);
    cb_leaf_number(leaf, "result", session->leaf);
    cb_leaf_id(leaf, "card", &session->card);
    cb_leaf_id(leaf, "holder", &session->holder);
    cb_leaf_text(leaf, "service", session->service);
    cb_leaf_text(leaf, "why", why);
}
