/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/leaf.h"
#include "hsm/records.h"

void cb_intent_leaf(const cb_intent *intent, cb_buf *leaf)
{
    const cb_tap_context *context = &intent->context;
    cb_leaf_begin(leaf, "tap.intent", intent->time);
    cb_leaf_id(leaf, "tap", &context->tap);
    cb_leaf_id(leaf, "terminal", &context->terminal);
    cb_leaf_number(leaf, "profile", context->profile);
    cb_leaf_number(leaf, "purpose", context->purpose);
    cb_leaf_number(leaf, "level", context->level);
    cb_leaf_text(leaf, "service", context->service);
    cb_leaf_hex(leaf, "text", cb_digest_bytes(&context->text));
    cb_leaf_id(leaf, "card", &intent->card);
    cb_leaf_id(leaf, "holder", &intent->holder);
    cb_leaf_id(leaf, "key", &intent->key);
    cb_leaf_number(leaf, "reached", intent->reached);
}
