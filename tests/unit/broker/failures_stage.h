/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taps that fail, one after the other, and what is counted of them: for one file that includes it.
 */
#ifndef CB_TESTS_UNIT_BROKER_FAILURES_STAGE_H
#define CB_TESTS_UNIT_BROKER_FAILURES_STAGE_H

#include "tests/unit/broker/support.h"

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/core/failures.h"
#include "broker/evidence/tap_leaf.h"

#define DAY (24 * 3600 * CB_SECOND)
#define NOON (20000 * DAY + DAY / 2)

static const cb_failure_limits limits = {.pins_in_row = 4,
                                         .pins_a_day = 6,
                                         .claims_a_day = 5,
                                         .window = 3600 * CB_SECOND,
                                         .of_one_card = 2,
                                         .slow = 6,
                                         .slow_rate = 1,
                                         .stop = 10};

static cb_failure_effect last_effect; /* without what is affected */

static inline cb_error refuse(world *w, const cb_refusal *what)
{
    cb_failure_effect effect = {.noted = false};
    cb_refusal refusal = *what;
    refusal.tap = cb_id_random();
    refusal.terminal = w->terminal.id;
    refusal.limits = refusal.limits ? refusal.limits : &limits;
    cb_error error = cb_decide_refused(w->store, &refusal, &effect);
    last_effect = effect;
    last_effect.of_card = last_effect.of_terminal = (cb_affected){0};
    cb_failure_effect_free(&effect);
    return error;
}

/* As the card has signed it. */
static inline void wrong_pins(world *w, uint32_t count)
{
    cb_refusal refusal = {.card = w->card,
                          .holder = w->holder.id,
                          .profile = CB_PROFILE_NATIVE,
                          .error = CB_E_PIN_WRONG,
                          .wrong_pins = count};
    assert_int_equal(refuse(w, &refusal), CB_OK);
}

static inline void claim(world *w, const cb_id *card, cb_error error, uint8_t profile)
{
    cb_refusal refusal = {.card = *card,
                          .holder = w->holder.id,
                          .claimed = *card,
                          .profile = profile,
                          .error = error};
    assert_int_equal(refuse(w, &refusal), CB_OK);
}

static inline cb_failure_row of_card(world *w)
{
    cb_failure_row row;
    assert_int_equal(cb_failures_get(w->store, CB_OF_CARD, &w->card, &row), CB_OK);
    return row;
}

static inline cb_failure_row of_terminal(world *w)
{
    cb_failure_row row;
    assert_int_equal(cb_failures_get(w->store, CB_OF_TERMINAL, &w->terminal.id, &row), CB_OK);
    return row;
}

static inline cb_failure_row of_holder(world *w)
{
    cb_failure_row row;
    assert_int_equal(cb_failures_get(w->store, CB_OF_HOLDER, &w->holder.id, &row), CB_OK);
    return row;
}

static inline uint8_t card_state(world *w)
{
    cb_card card;
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w->store, &w->card, &card), CB_OK);
    uint8_t state = card.state;
    cb_card_free(&card);
    return state;
}

static inline uint8_t terminal_state(world *w)
{
    cb_terminal terminal;
    assert_int_equal(cb_terminal_get(w->store, &w->terminal.id, &terminal), CB_OK);
    return terminal.state;
}

typedef struct days {
    unsigned count;
    uint64_t pins;
} days;

static inline cb_error add_day(void *context, const cb_failure_day *day)
{
    days *d = context;
    d->count++;
    d->pins += day->count[CB_FAILURE_WRONG_PIN];
    return CB_OK;
}

/* ---- At a time of its own ---- */

typedef struct at_time {
    cb_failure failure;
    cb_failure_effect effect;
    bool recorded;
} at_time;

static inline cb_error record_at(cb_txn *txn, const cb_failure *f)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "tap.refused", f->time);
    cb_leaf_known_id(&leaf, "card", &f->card);
    cb_leaf_known_id(&leaf, "holder", &f->holder);
    cb_leaf_known_id(&leaf, "terminal", &f->terminal);
    cb_failure_leaf(&leaf, f);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static inline cb_error run_at(cb_txn *txn, void *context)
{
    at_time *at = context;
    cb_error error = at->recorded ? record_at(txn, &at->failure) : CB_OK;
    return error ? error : cb_failures_count(txn, &at->failure, &limits, &at->effect);
}

/* recorded: with a leaf. */
static inline void fail_then(world *w, uint8_t kind, const cb_id *card, int64_t time, bool recorded)
{
    at_time at = {.recorded = recorded,
                  .failure = {.kind = kind,
                              .count = 1,
                              .card = *card,
                              .holder = w->holder.id,
                              .terminal = w->terminal.id,
                              .place = *card,
                              .time = time}};
    cb_change change = {.run = run_at, .context = &at, .urgency = CB_WRITE_DUE};
    assert_int_equal(cb_store_write(w->store, &change), CB_OK);
    last_effect = at.effect;
    cb_failure_effect_free(&at.effect);
}

#endif
