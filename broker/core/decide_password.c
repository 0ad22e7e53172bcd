/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A password that its holder changed himself.
 */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/decide.h"
#include "broker/core/still.h"

typedef struct password_change {
    const cb_intent_request *request;
    const cb_digest *before;
    cb_bytes binding;
    int64_t time;
} password_change;

/* What hsmd has put another in the place of is still the one that counts. */
static cb_error is_current(const password_change *change, const cb_card *card)
{
    cb_digest now = cb_sha256(cb_buf_bytes(&card->binding));
    if (!cb_bytes_same(cb_digest_bytes(&now), cb_digest_bytes(change->before)))
        return CB_E_TAP_WITHDRAWN;
    return cb_card_refusal(card);
}

static cb_error write_leaf(cb_txn *txn, const password_change *change)
{
    const cb_intent_request *r = change->request;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "tap.password", change->time);
    cb_leaf_id(&leaf, "tap", &r->context.tap);
    cb_leaf_text(&leaf, "outcome", "changed");
    cb_leaf_id(&leaf, "card", &r->card);
    cb_leaf_id(&leaf, "holder", &r->holder);
    cb_leaf_id(&leaf, "terminal", &r->context.terminal);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error run_change(cb_txn *txn, void *context)
{
    const password_change *change = context;
    const cb_intent_request *r = change->request;
    const cb_act act = {.actor = "holder", .time = change->time};
    cb_card card;
    cb_card_init(&card);
    cb_error error = cb_still_terminal(txn, &r->context.terminal, NULL, 0);
    if (!error)
        error = cb_still_password(txn, &r->context.terminal, &r->card, CB_LEVEL_PASSWORD, 0);
    if (!error)
        error = cb_row_card_get(txn, &r->card, &card);
    if (!error)
        error = is_current(change, &card);
    if (!error)
        error = write_leaf(txn, change);
    if (!error)
        error = cb_card_renew_in(txn, &act, &card, change->binding);
    cb_card_free(&card);
    return error;
}

cb_error cb_decide_ready(cb_store *store)
{
    return cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
}

cb_error cb_decide_password(cb_store *store, const cb_intent_request *request,
                            const cb_digest *before, cb_bytes binding)
{
    password_change change = {request, before, binding, cb_clock_wall_us()};
    return cb_act_write(store, run_change, &change, CB_WRITE_ORDINARY);
}
