/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Another card takes the place of one: nothing lies between the death of the old and the first use
 * of the new.
 */
#include "base/clock.h"
#include "broker/core/card_issue.h"
#include "broker/core/stock.h"

bool cb_card_is_dead(uint8_t state)
{
    return state == CB_CARD_REVOKED || state == CB_CARD_RETURNED || state == CB_CARD_DESTROYED;
}

static cb_error end_old(cb_txn *txn, const cb_act *act, const cb_id *id, const cb_card *new)
{
    cb_card old;
    cb_card_init(&old);
    cb_error error = cb_row_card_get(txn, id, &old);
    if (!error && (!cb_id_same(&old.holder, &new->holder) || cb_id_same(&old.id, &new->id)))
        error = CB_E_ARGUMENT;
    if (!error && !cb_card_is_dead(old.state))
        error = cb_card_act_in(txn, act, &old.id, CB_CARD_REVOKE);
    cb_card_free(&old);
    return error;
}

cb_error cb_card_replace_in(cb_txn *txn, const cb_act *act, const cb_card_new *fresh,
                            const cb_card *card)
{
    cb_act begin = *act; /* what it ends is said of the old card alone */
    begin.affected = NULL;
    begin.reason = NULL;
    cb_error error = end_old(txn, act, &fresh->replaces, card);
    if (!error)
        error = cb_card_issue_in(txn, &begin, fresh, card);
    return error ? error : cb_card_act_in(txn, &begin, &card->id, CB_CARD_ACTIVATE);
}

typedef struct replace_card {
    cb_act act;
    const cb_card_new *fresh;
    cb_card *card;
} replace_card;

static cb_error run_replace(cb_txn *txn, void *context)
{
    const replace_card *replace = context;
    return cb_card_replace_in(txn, &replace->act, replace->fresh, replace->card);
}

cb_error cb_card_replace(cb_store *store, const char *actor, const cb_id *old,
                         const cb_card_new *fresh, const char *reason, cb_card *out,
                         cb_affected *affected)
{
    cb_card_new new = *fresh;
    new.replaces = *old;
    replace_card replace = {{actor, reason, cb_clock_wall_us(), affected}, &new, out};
    cb_error error = cb_act_check(actor, reason);
    if (!error)
        error = cb_card_prepare(&new, replace.act.time, out);
    if (!error)
        error = cb_act_write(store, run_replace, &replace, CB_WRITE_ORDINARY);
    if (cb_card_issue_refused(error))
        cb_mismatch_of_issue(store, actor, &new, &out->id, error);
    if (!error)
        out->state = CB_CARD_ACTIVE;
    return error;
}
