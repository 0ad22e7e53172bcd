/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/failures.h"

#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/evidence/tap_leaf.h"

#define DAY (24 * 3600 * CB_SECOND)

/* Why these: docs/decisions/0027. */
const cb_failure_limits cb_failure_limits_default = {.pins_in_row = 10,
                                                     .pins_a_day = 20,
                                                     .claims_a_day = 10,
                                                     .window = 3600 * CB_SECOND,
                                                     .of_one_card = 3,
                                                     .slow = 15,
                                                     .slow_rate = 6,
                                                     .stop = 60};

void cb_failure_effect_free(cb_failure_effect *effect)
{
    cb_affected_free(&effect->of_card);
    cb_affected_free(&effect->of_terminal);
}

void cb_failure_leaf(cb_buf *leaf, const cb_failure *failure)
{
    if (failure->kind == CB_FAILURE_NONE)
        return;
    cb_leaf_text(leaf, "failure", cb_failure_name(failure->kind));
    cb_leaf_number(leaf, "failures", failure->count);
}

/* Of a password nobody is to see in the time that it takes whether there is such a name, so that
 * one that there is not has rows as well. */
static bool has_rows(const cb_failure *f, const cb_id *id)
{
    return f->kind == CB_FAILURE_PASSWORD || !cb_id_is_zero(id);
}

/* ---- Counting ---- */

/* Not by its age: a clock that was set forward and back must leave nothing behind. */
static void begin_day(cb_failure_row *row, int64_t day)
{
    if (row->day != day)
        row->pins_today = row->claims_today = 0;
    row->day = day;
}

static void add(cb_failure_row *row, const cb_failure *f)
{
    begin_day(row, f->time / DAY);
    row->count[f->kind] += f->count;
    row->last = f->time;
    if (f->kind == CB_FAILURE_WRONG_PIN) {
        row->pins_row += f->count;
        row->pins_today += f->count;
    } else {
        row->claims_today += f->count;
    }
    if (f->kind == CB_FAILURE_PROOF)
        row->proofs_row += f->count;
}

static cb_error count_one(cb_txn *txn, const cb_failure *f, uint8_t of, const cb_id *id,
                          cb_failure_row *row)
{
    *row = (cb_failure_row){.last = 0};
    if (!has_rows(f, id))
        return CB_OK;
    cb_error error = cb_row_failure_get(txn, of, id, row);
    add(row, f);
    if (!error)
        error = cb_row_failure_set(txn, of, id, row);
    return error ? error : cb_row_failure_day(txn, of, id, row->day, f->kind, f->count);
}

/* ---- Cards and holders ---- */

static bool reached(uint64_t count, uint32_t limit) { return limit > 0 && count >= limit; }

static cb_error suspend(cb_txn *txn, const cb_failure *f, cb_failure_effect *effect)
{
    const cb_act act = {"cardbrokerd", "wrong-pins", f->time, &effect->of_card};
    cb_error error = cb_card_act_in(txn, &act, &f->card, CB_CARD_SUSPEND);
    effect->suspended = !error;
    /* It is suspended, or worse; or nobody's yet, for it is only being registered. */
    return error == CB_E_STATE || error == CB_E_NOT_FOUND ? CB_OK : error;
}

/* When the count comes to the limit, and not again on that day. */
static bool comes_to(const cb_failure_row *row, const cb_failure *f, uint32_t limit)
{
    return reached(row->claims_today, limit) && row->claims_today - f->count < limit;
}

static cb_error note(cb_txn *txn, const cb_failure *f, uint8_t of, const cb_id *id,
                     const cb_failure_row *row)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "failures.noted", f->time);
    cb_leaf_id(&leaf, cb_failing_name(of), id);
    cb_leaf_number(&leaf, "claims", row->claims_today);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error judge_holder(cb_txn *txn, const cb_failure *f, uint8_t of, const cb_id *id,
                             const cb_failure_row *row, const cb_failure_limits *limits,
                             cb_failure_effect *effect)
{
    if (f->kind == CB_FAILURE_WRONG_PIN || cb_id_is_zero(id) ||
        !comes_to(row, f, limits->claims_a_day))
        return CB_OK;
    effect->noted = true;
    return note(txn, f, of, id, row);
}

static cb_error judge_card(cb_txn *txn, const cb_failure *f, const cb_failure_row *row,
                           const cb_failure_limits *limits, cb_failure_effect *effect)
{
    bool too_many =
        reached(row->pins_row, limits->pins_in_row) || reached(row->pins_today, limits->pins_a_day);
    if (f->kind == CB_FAILURE_WRONG_PIN && too_many && !cb_id_is_zero(&f->card))
        return suspend(txn, f, effect);
    return judge_holder(txn, f, CB_OF_CARD, &f->card, row, limits, effect);
}

/* ---- Terminals ---- */

static int64_t window_of(const cb_failure_limits *limits, int64_t time)
{
    return time / (limits->window > 0 ? limits->window : cb_failure_limits_default.window);
}

/* Not by its age either: another window, also one of before, begins anew. */
static cb_error begin_window(cb_txn *txn, const cb_id *terminal, cb_failure_row *row,
                             int64_t window)
{
    if (row->window == window)
        return CB_OK;
    row->window = window;
    row->counted = row->proofs_seen = row->accepted = 0;
    return cb_row_failure_at_clear(txn, terminal);
}

bool cb_failures_slow(const cb_failure_row *terminal, const cb_failure_limits *limits, int64_t now)
{
    return terminal->window == window_of(limits, now) && reached(terminal->counted, limits->slow) &&
           terminal->counted > terminal->accepted;
}

static cb_error say_slowed(cb_txn *txn, const cb_failure *f, const cb_failure_row *row)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "failures.slowed", f->time);
    cb_leaf_id(&leaf, "terminal", &f->terminal);
    cb_leaf_number(&leaf, "counted", row->counted);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error stop(cb_txn *txn, const cb_failure *f, cb_failure_effect *effect)
{
    const cb_act act = {"cardbrokerd", "failed-proofs", f->time, &effect->of_terminal};
    cb_error error = cb_terminal_act_in(txn, &act, &f->terminal, CB_TERMINAL_DEACTIVATE);
    effect->stopped = !error;
    return error == CB_E_STATE || error == CB_E_NOT_FOUND ? CB_OK : error;
}

/* Counts a claim where it still counts: of one card, or name, only so many do. */
static cb_error count_at(cb_txn *txn, const cb_failure *f, const cb_failure_limits *limits,
                         cb_failure_row *row, bool *counts)
{
    uint64_t before = 0;
    cb_error error = begin_window(txn, &f->terminal, row, window_of(limits, f->time));
    if (!error)
        error = cb_row_failure_at(txn, &f->terminal, &f->place, &before);
    *counts = !limits->of_one_card || before < limits->of_one_card;
    if (!error && *counts)
        error = cb_row_failure_at_add(txn, &f->terminal, &f->place);
    if (error || !*counts)
        return error;
    row->counted++;
    row->proofs_seen += f->kind == CB_FAILURE_PROOF;
    return CB_OK;
}

static cb_error judge_terminal(cb_txn *txn, const cb_failure *f, const cb_failure_limits *limits,
                               cb_failure_row *row, cb_failure_effect *effect)
{
    bool counts = false;
    if (f->kind == CB_FAILURE_WRONG_PIN || cb_id_is_zero(&f->terminal))
        return CB_OK;
    bool slow = cb_failures_slow(row, limits, f->time);
    cb_error error = count_at(txn, f, limits, row, &counts);
    effect->counts = counts;
    if (!error)
        error = cb_row_failure_set(txn, CB_OF_TERMINAL, &f->terminal, row);
    if (error || !counts)
        return error;
    if (f->kind == CB_FAILURE_PROOF && reached(row->proofs_seen, limits->stop))
        return stop(txn, f, effect);
    effect->slowed = !slow && cb_failures_slow(row, limits, f->time);
    return effect->slowed ? say_slowed(txn, f, row) : CB_OK;
}

/* ---- All of it ---- */

static void begin_effect(cb_failure_effect *effect, const cb_failure *f)
{
    cb_failure_effect_free(effect);
    *effect =
        (cb_failure_effect){.kind = f->kind, .count = f->kind ? f->count : 0, .time = f->time};
}

cb_error cb_failures_count(cb_txn *txn, const cb_failure *failure, const cb_failure_limits *limits,
                           cb_failure_effect *effect)
{
    cb_failure_row card, holder, terminal;
    const cb_failure *f = failure;
    begin_effect(effect, f);
    if (f->kind == CB_FAILURE_NONE || f->count == 0)
        return CB_OK;
    cb_error error = count_one(txn, f, CB_OF_CARD, &f->card, &card);
    if (!error)
        error = count_one(txn, f, CB_OF_HOLDER, &f->holder, &holder);
    if (!error)
        error = count_one(txn, f, CB_OF_TERMINAL, &f->terminal, &terminal);
    if (error || !limits)
        return error;
    error = judge_card(txn, f, &card, limits, effect);
    if (!error)
        error = judge_holder(txn, f, CB_OF_HOLDER, &f->holder, &holder, limits, effect);
    return error ? error : judge_terminal(txn, f, limits, &terminal, effect);
}

cb_error cb_failures_end(cb_txn *txn, const cb_id *card, const cb_id *holder, const cb_id *terminal,
                         bool with_pin)
{
    cb_error error = cb_row_failure_end(txn, CB_OF_CARD, card, with_pin);
    if (!error)
        error = cb_row_failure_end(txn, CB_OF_HOLDER, holder, with_pin);
    return error ? error : cb_row_failure_end(txn, CB_OF_TERMINAL, terminal, with_pin);
}

/* ---- Taking back ---- */

static void lower(uint64_t *count) { *count -= *count > 0; }

/* In the window in which it counted, and while the terminal has it: who activated it again forgave
 * it that card. */
static cb_error take_back_at(cb_txn *txn, const cb_failed_proof *failed,
                             const cb_failure_limits *limits, cb_failure_row *row)
{
    uint64_t of_card = 0;
    if (!failed->counts || row->window != window_of(limits, failed->time))
        return CB_OK;
    cb_error error = cb_row_failure_at(txn, &failed->terminal, &failed->card, &of_card);
    if (error || of_card == 0)
        return error;
    lower(&row->counted);
    lower(&row->proofs_seen);
    return cb_row_failure_at_take(txn, &failed->terminal, &failed->card);
}

/* Of a row from which somebody has struck it already nothing is taken. */
static cb_error take_back(cb_txn *txn, const cb_failed_proof *failed, uint8_t of, const cb_id *id,
                          const cb_failure_limits *limits)
{
    cb_failure_row row;
    int64_t day = failed->time / DAY;
    cb_error error = cb_row_failure_get(txn, of, id, &row);
    if (error || row.count[CB_FAILURE_PROOF] == 0)
        return error;
    row.count[CB_FAILURE_PROOF]--;
    lower(&row.proofs_row);
    if (row.day == day)
        lower(&row.claims_today);
    if (of == CB_OF_TERMINAL)
        error = take_back_at(txn, failed, limits, &row);
    if (!error)
        error = cb_row_failure_set(txn, of, id, &row);
    return error ? error : cb_row_failure_day_take(txn, of, id, day);
}

static cb_error say_explained(cb_txn *txn, const cb_failed_proof *failed, int64_t now)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "failures.explained", now);
    cb_leaf_id(&leaf, "tap", &failed->tap);
    cb_leaf_id(&leaf, "card", &failed->card);
    cb_leaf_id(&leaf, "holder", &failed->holder);
    cb_leaf_id(&leaf, "terminal", &failed->terminal);
    cb_leaf_number(&leaf, "failed_at", (uint64_t)failed->time);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_failures_explain(cb_txn *txn, const cb_failed_proof *failed,
                             const cb_failure_limits *limits, int64_t now)
{
    cb_error error = say_explained(txn, failed, now);
    if (!error)
        error = take_back(txn, failed, CB_OF_CARD, &failed->card, limits);
    if (!error)
        error = take_back(txn, failed, CB_OF_HOLDER, &failed->holder, limits);
    return error ? error : take_back(txn, failed, CB_OF_TERMINAL, &failed->terminal, limits);
}

/* ---- Reading ---- */

typedef struct get_row {
    uint8_t of;
    const cb_id *id;
    cb_failure_row *out;
} get_row;

static cb_error run_get(cb_txn *txn, void *context)
{
    const get_row *get = context;
    return cb_row_failure_get(txn, get->of, get->id, get->out);
}

cb_error cb_failures_get(cb_store *store, uint8_t of, const cb_id *id, cb_failure_row *out)
{
    get_row get = {of, id, out};
    return cb_store_read(store, run_get, &get);
}

typedef struct report {
    const cb_failure_query *query;
    cb_failure_visitor each;
    void *context;
} report;

static cb_error run_report(cb_txn *txn, void *context)
{
    const report *r = context;
    return cb_row_failure_each(txn, r->query, r->each, r->context);
}

cb_error cb_failures_report(cb_store *store, const cb_failure_query *query, cb_failure_visitor each,
                            void *context)
{
    report r = {query, each, context};
    return cb_store_read(store, run_report, &r);
}
