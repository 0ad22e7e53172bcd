/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/registration.h"
#include "broker/core/state.h"
#include "broker/store/row_failure.h"

/* ---- Changing state ---- */

static cb_error write_change(cb_txn *txn, const cb_act *act, const cb_id *id,
                             const cb_card_act_row *row, uint8_t state)
{
    uint64_t number = 0;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, row->kind, act);
    cb_leaf_id(&leaf, "card", id);
    cb_leaf_text(&leaf, "state", cb_card_state_name(state));
    cb_error error = cb_row_card_state(txn, id, state, act->time);
    if (!error && row->feed)
        error = cb_txn_feed(txn, row->feed, id, act->time, &leaf, &number);
    else if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error && number && act->affected)
        act->affected->feed_number = number;
    cb_buf_free(&leaf);
    return error;
}

/* An activation that was found without a signature after a crash counts for nothing (said.h),
 * though the row has it: it may be repeated. */
static cb_error next_state(cb_txn *txn, const cb_card *card, uint8_t act, uint8_t *state)
{
    bool taken_back = card->state == CB_CARD_ACTIVE && act == CB_CARD_ACTIVATE &&
                      cb_txn_vouched(txn, 'i', &card->id, NULL);
    return cb_card_next(taken_back ? CB_CARD_ISSUED : card->state, act, state);
}

/* Of an act that the table allows. */
static cb_error change_now(cb_txn *txn, const cb_act *act, const cb_card *card,
                           const cb_card_act_row *row, uint8_t state)
{
    cb_error error = CB_OK;
    cb_tap_match match = {.card = &card->id};
    if (row->urgency != CB_WRITE_ORDINARY) /* the others end nothing */
        error = cb_act_affected(txn, &match, act->affected);
    if (!error && row->act == CB_CARD_RETURN && card->state != CB_CARD_REVOKED)
        error = write_change(txn, act, &card->id, cb_card_act_find(CB_CARD_REVOKE), CB_CARD_REVOKED);
    if (!error)
        error = write_change(txn, act, &card->id, row, state);
    if (!error && row->act == CB_CARD_RESUME) /* somebody who may has looked at it */
        error = cb_row_failure_forgive(txn, CB_OF_CARD, &card->id);
    return error;
}

cb_error cb_card_act_in(cb_txn *txn, const cb_act *act, const cb_id *id, uint8_t what)
{
    cb_card card;
    uint8_t state = 0;
    const cb_card_act_row *row = cb_card_act_find(what);
    cb_card_init(&card);
    cb_error error = row ? cb_row_card_get(txn, id, &card) : CB_E_ARGUMENT;
    if (!error)
        error = next_state(txn, &card, what, &state);
    if (!error && what == CB_CARD_EXPIRE && !cb_card_is_over(&card, act->time))
        error = CB_E_STATE;
    if (!error)
        error = change_now(txn, act, &card, row, state);
    cb_card_free(&card);
    return error;
}

typedef struct change_card {
    cb_act act;
    const cb_id *id;
    uint8_t what;
} change_card;

static cb_error run_change(cb_txn *txn, void *context)
{
    const change_card *change = context;
    cb_error error = cb_card_act_in(txn, &change->act, change->id, change->what);
    /* Of one that cannot be suspended only what puts another in its place is left to stop. */
    return error == CB_E_STATE && change->what == CB_CARD_SUSPEND
               ? cb_registration_report_in(txn, &change->act, change->id)
               : error;
}

cb_error cb_card_change(cb_store *store, const char *actor, const cb_id *id, cb_card_act act,
                        const char *reason, cb_affected *affected)
{
    change_card change = {{actor, reason, cb_clock_wall_us(), affected}, id, (uint8_t)act};
    const cb_card_act_row *row = cb_card_act_find((uint8_t)act);
    if (!row || cb_act_check(actor, reason))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_change, &change, row->urgency);
}

/* ---- Reading ---- */

typedef struct get_card {
    const cb_id *id;
    cb_card *out;
} get_card;

static cb_error run_get(cb_txn *txn, void *context)
{
    const get_card *get = context;
    return cb_row_card_get(txn, get->id, get->out);
}

cb_error cb_card_get(cb_store *store, const cb_id *id, cb_card *out)
{
    get_card get = {id, out};
    return cb_store_read(store, run_get, &get);
}

typedef struct list_cards {
    const cb_id *holder;
    const cb_id *after;
    unsigned limit;
    cb_card_visitor each;
    void *context;
} list_cards;

static cb_error run_list(cb_txn *txn, void *context)
{
    const list_cards *list = context;
    return cb_row_card_each(txn, list->holder, list->after, list->limit, list->each, list->context);
}

cb_error cb_card_list(cb_store *store, const cb_id *holder, const cb_id *after, unsigned limit,
                      cb_card_visitor each, void *context)
{
    list_cards list = {holder, after, limit, each, context};
    return cb_store_read(store, run_list, &list);
}
