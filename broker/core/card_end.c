/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The end of cards: their last day, and the day by which they are to be given back.
 */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/state.h"

enum { STEP = 32 };

/* ---- Asking for a card ---- */

typedef struct recall {
    cb_act act;
    const cb_id *id;
    int64_t due;
} recall;

static cb_error write_recall(cb_txn *txn, const recall *r)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "card.recalled", &r->act);
    cb_leaf_id(&leaf, "card", r->id);
    cb_leaf_number(&leaf, "due", (uint64_t)r->due);
    cb_error error = cb_row_card_due(txn, r->id, r->due);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

/* Of what could still be revoked. */
static cb_error run_recall(cb_txn *txn, void *context)
{
    const recall *r = context;
    cb_card card;
    uint8_t state;
    cb_card_init(&card);
    cb_error error = cb_row_card_get(txn, r->id, &card);
    if (!error)
        error = cb_card_next(card.state, CB_CARD_REVOKE, &state);
    if (!error)
        error = write_recall(txn, r);
    cb_card_free(&card);
    return error;
}

cb_error cb_card_recall(cb_store *store, const char *actor, const cb_id *id, int64_t due,
                        const char *reason)
{
    recall r = {{.actor = actor, .reason = reason, .time = cb_clock_wall_us()}, id, due};
    if (cb_act_check(actor, reason) || due < 0)
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_recall, &r, CB_WRITE_ORDINARY);
}

/* ---- What time alone does ---- */

typedef struct over {
    cb_act act;
    cb_id id;
    bool due;
    int64_t return_time;
} over;

/* Read again here: it may have been given back, or renewed, since it was found. */
static cb_error is_still_due(cb_txn *txn, const over *o, cb_card *card)
{
    cb_error error = cb_row_card_get(txn, &o->id, card);
    bool due = card->due > 0 && card->due <= o->act.time;
    return error ? error : due || !o->due ? CB_OK : CB_E_STATE;
}

static cb_error run_over(cb_txn *txn, void *context)
{
    const over *o = context;
    cb_card card;
    cb_card_init(&card);
    cb_error error = is_still_due(txn, o, &card);
    if (!error)
        error = cb_card_act_in(txn, &o->act, &o->id, o->due ? CB_CARD_REVOKE : CB_CARD_EXPIRE);
    if (!error && !o->due && o->return_time > 0 && card.due == 0)
        error = cb_row_card_due(txn, &o->id, o->act.time + o->return_time);
    cb_card_free(&card);
    return error;
}

typedef struct find_over {
    bool due;
    int64_t now;
    cb_id id[STEP];
    size_t count;
} find_over;

static cb_error run_find(cb_txn *txn, void *context)
{
    find_over *f = context;
    return cb_row_card_over(txn, f->due, f->now, f->id, STEP, &f->count);
}

static cb_error sweep_kind(cb_store *store, bool due, const cb_card_sweep *sweep, size_t *done)
{
    find_over found = {.due = due, .now = sweep->now};
    cb_error error = cb_store_read(store, run_find, &found);
    for (size_t i = 0; !error && i < found.count; i++) {
        cb_affected affected = {0};
        over o = {{"cardbrokerd", due ? "not-returned" : NULL, sweep->now, &affected},
                  found.id[i],
                  due,
                  sweep->return_time};
        error = cb_act_write(store, run_over, &o, due ? CB_WRITE_URGENT : CB_WRITE_DUE);
        if (!error && sweep->ended)
            sweep->ended(sweep->context, &o.id, &affected);
        *done += error ? 0 : 1;
        error = error == CB_E_STATE ? CB_OK : error;
        cb_affected_free(&affected);
    }
    return error;
}

cb_error cb_card_sweep_step(cb_store *store, const cb_card_sweep *sweep, size_t *done)
{
    *done = 0;
    cb_error error = sweep_kind(store, false, sweep, done);
    return error ? error : sweep_kind(store, true, sweep, done);
}
