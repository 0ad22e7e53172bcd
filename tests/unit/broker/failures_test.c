/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Failed proofs, wrong PINs and wrong passwords: what is counted, whom it ends, and whom it cannot.
 */
#include "broker/core/failures.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/evidence/tap_leaf.h"
#include "tests/unit/broker/support.h"

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

static cb_error refuse(world *w, const cb_refusal *what)
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
static void wrong_pins(world *w, uint32_t count)
{
    cb_refusal refusal = {.card = w->card,
                          .holder = w->holder.id,
                          .profile = CB_PROFILE_NATIVE,
                          .error = CB_E_PIN_WRONG,
                          .wrong_pins = count};
    assert_int_equal(refuse(w, &refusal), CB_OK);
}

static void claim(world *w, const cb_id *card, cb_error error, uint8_t profile)
{
    cb_refusal refusal = {.card = *card,
                          .holder = w->holder.id,
                          .claimed = *card,
                          .profile = profile,
                          .error = error};
    assert_int_equal(refuse(w, &refusal), CB_OK);
}

static cb_failure_row of_card(world *w)
{
    cb_failure_row row;
    assert_int_equal(cb_failures_get(w->store, CB_OF_CARD, &w->card, &row), CB_OK);
    return row;
}

static cb_failure_row of_terminal(world *w)
{
    cb_failure_row row;
    assert_int_equal(cb_failures_get(w->store, CB_OF_TERMINAL, &w->terminal.id, &row), CB_OK);
    return row;
}

static cb_failure_row of_holder(world *w)
{
    cb_failure_row row;
    assert_int_equal(cb_failures_get(w->store, CB_OF_HOLDER, &w->holder.id, &row), CB_OK);
    return row;
}

static uint8_t card_state(world *w)
{
    cb_card card;
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w->store, &w->card, &card), CB_OK);
    uint8_t state = card.state;
    cb_card_free(&card);
    return state;
}

static uint8_t terminal_state(world *w)
{
    cb_terminal terminal;
    assert_int_equal(cb_terminal_get(w->store, &w->terminal.id, &terminal), CB_OK);
    return terminal.state;
}

static void end_and_verify(world *w)
{
    world_close(w);
    assert_int_equal(verify_file(w, NULL), CB_OK);
    world_end(w);
}

/* ---- What is counted ---- */

typedef struct days {
    unsigned count;
    uint64_t pins;
} days;

static cb_error add_day(void *context, const cb_failure_day *day)
{
    days *d = context;
    d->count++;
    d->pins += day->count[CB_FAILURE_WRONG_PIN];
    return CB_OK;
}

static void a_wrong_pin_counts_for_card_holder_and_terminal(void **state)
{
    world w;
    days all = {0}, few = {0};
    cb_failure_query query = {.to = INT32_MAX, .least = 3};
    (void)state;
    world_begin(&w);
    wrong_pins(&w, 1);
    wrong_pins(&w, 2);
    assert_int_equal(of_card(&w).count[CB_FAILURE_WRONG_PIN], 3);
    assert_int_equal(of_card(&w).pins_row, 3);
    assert_int_equal(of_holder(&w).count[CB_FAILURE_WRONG_PIN], 3);
    assert_int_equal(of_terminal(&w).count[CB_FAILURE_WRONG_PIN], 3);
    assert_int_equal(cb_failures_report(w.store, &query, add_day, &all), CB_OK);
    assert_int_equal(all.count, 3);
    assert_int_equal(all.pins, 9);
    query.least = 4;
    assert_int_equal(cb_failures_report(w.store, &query, add_day, &few), CB_OK);
    assert_int_equal(few.count, 0);
    query = (cb_failure_query){.to = INT32_MAX, .of = CB_OF_TERMINAL};
    assert_int_equal(cb_failures_report(w.store, &query, add_day, &few), CB_OK);
    assert_int_equal(few.count, 1);
    end_and_verify(&w);
}

static void a_tap_that_succeeds_ends_the_row_and_only_one_with_the_pin_that_of_pins(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    wrong_pins(&w, 2);
    claim(&w, &w.card, CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
    cb_intent_grant grant;
    cb_intent_request request = intent_of(&w);
    request.reached = CB_LEVEL_POSSESSION;
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
    cb_intent_grant_free(&grant);
    cb_result_request result = {.tap = request.context.tap};
    assert_int_equal(cb_decide_result(w.store, &result), CB_OK);
    assert_int_equal(of_card(&w).proofs_row, 0);
    assert_int_equal(of_card(&w).pins_row, 2);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(of_card(&w).pins_row, 0);
    assert_int_equal(of_holder(&w).pins_row, 0);
    assert_int_equal(of_card(&w).count[CB_FAILURE_WRONG_PIN], 2);
    wrong_pins(&w, 3);
    request = intent_of(&w);
    request.context.purpose = CB_TAP_PIN_CHANGE;
    request.context.service[0] = 0;
    assert_int_equal(cb_decide_pin(w.store, &request), CB_OK);
    assert_int_equal(of_card(&w).pins_row, 0);
    end_and_verify(&w);
}

static void a_login_that_fails_ends_no_row(void **state)
{
    world w;
    cb_intent_grant grant;
    (void)state;
    world_begin(&w);
    wrong_pins(&w, 2);
    cb_intent_request request = intent_of(&w);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
    cb_intent_grant_free(&grant);
    cb_result_request result = {.tap = request.context.tap, .outcome = CB_E_SERVICE_DOWN};
    assert_int_equal(cb_decide_result(w.store, &result), CB_OK);
    assert_int_equal(of_card(&w).pins_row, 2);
    end_and_verify(&w);
}

/* ---- Cards ---- */

static void too_many_wrong_pins_in_a_row_suspend_the_card(void **state)
{
    world w;
    cb_id session = cb_id_new();
    cb_feed_head before, after;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_once(&w, NULL, &session), CB_OK);
    wrong_pins(&w, 3);
    assert_false(last_effect.suspended);
    assert_int_equal(cb_feed_head_now(w.store, &before), CB_OK);
    wrong_pins(&w, 1);
    assert_true(last_effect.suspended);
    assert_int_equal(card_state(&w), CB_CARD_SUSPENDED);
    assert_int_equal(cb_feed_head_now(w.store, &after), CB_OK);
    assert_int_equal(after.number, before.number + 1); /* hsmd will not believe it either */
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_SUSPENDED);
    wrong_pins(&w, 1); /* nothing more to suspend */
    assert_false(last_effect.suspended);
    assert_int_equal(end_session(w.store, &session, "revoked"), CB_OK);
    /* Who may resume it begins anew with it. */
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_RESUME, NULL, NULL), CB_OK);
    wrong_pins(&w, 3);
    assert_int_equal(card_state(&w), CB_CARD_ACTIVE);
    wrong_pins(&w, 1);
    assert_int_equal(card_state(&w), CB_CARD_SUSPENDED);
    end_and_verify(&w);
}

static void too_many_in_a_day_suspend_it_whatever_is_between(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (int i = 0; i < 2; i++) {
        wrong_pins(&w, 2);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    }
    assert_int_equal(card_state(&w), CB_CARD_ACTIVE);
    wrong_pins(&w, 2);
    assert_int_equal(card_state(&w), CB_CARD_SUSPENDED);
    end_and_verify(&w);
}

/* Wrong PINs that only the next proof tells of count before that tap goes on. */
static void wrong_pins_that_a_terminal_kept_to_itself_count_as_well(void **state)
{
    world w;
    cb_failure_effect effect = {.noted = false};
    (void)state;
    world_begin(&w);
    cb_refusal refusal = {.tap = cb_id_random(),
                          .card = w.card,
                          .holder = w.holder.id,
                          .terminal = w.terminal.id,
                          .profile = CB_PROFILE_NATIVE,
                          .wrong_pins = 4,
                          .limits = &limits};
    assert_int_equal(cb_decide_wrong_pins(w.store, &refusal, &effect), CB_OK);
    assert_true(effect.suspended);
    cb_failure_effect_free(&effect);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_SUSPENDED);
    refusal.wrong_pins = 0;
    assert_int_equal(cb_decide_wrong_pins(w.store, &refusal, &effect), CB_E_ARGUMENT);
    end_and_verify(&w);
}

static void zero_is_no_limit(void **state)
{
    world w;
    static const cb_failure_limits none = {.window = 1};
    (void)state;
    world_begin(&w);
    cb_refusal pins = {.card = w.card, .error = CB_E_PIN_WRONG, .wrong_pins = 500, .limits = &none};
    cb_refusal proof = {.card = w.card, .error = CB_E_CARD_PROOF, .limits = &none};
    for (int i = 0; i < 30; i++) {
        assert_int_equal(refuse(&w, &pins), CB_OK);
        assert_int_equal(refuse(&w, &proof), CB_OK);
        assert_false(last_effect.noted || last_effect.slowed || last_effect.stopped);
    }
    assert_int_equal(card_state(&w), CB_CARD_ACTIVE);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    assert_int_equal(of_card(&w).count[CB_FAILURE_WRONG_PIN], 15000);
    end_and_verify(&w);
}

/* ---- What nobody has to believe ---- */

static void guess(world *w, const cb_id *card, const cb_id *name)
{
    cb_refusal refusal = {.card = *card,
                          .claimed = *name,
                          .profile = CB_PROFILE_PASSWORD,
                          .error = cb_id_is_zero(card) ? CB_E_CARD_UNKNOWN : CB_E_PASSWORD_WRONG};
    assert_int_equal(refuse(w, &refusal), CB_OK);
}

/* Whoever guesses at a terminal sees when it is slowed down. */
static void when_a_terminal_is_slowed_down_does_not_tell_whether_there_is_a_name(void **state)
{
    static const cb_id nobody = {{0}};
    uint64_t counted[2] = {0};
    (void)state;
    for (int there = 0; there < 2; there++) {
        world w;
        world_begin(&w);
        const cb_id made_up[] = {cb_id_new(), cb_id_new()};
        const cb_id known[] = {add_card(&w, true), add_card(&w, true)};
        for (uint32_t i = 0; i < limits.of_one_card; i++)
            guess(&w, &nobody, &made_up[0]);
        while (of_terminal(&w).counted < limits.slow - 1) {
            const cb_id *name = &known[of_terminal(&w).counted < 4 ? 0 : 1];
            guess(&w, name, name);
        }
        if (there)
            guess(&w, &w.card, &w.card);
        else
            guess(&w, &nobody, &made_up[1]);
        assert_true(last_effect.slowed);
        counted[there] = of_terminal(&w).counted;
        end_and_verify(&w);
    }
    assert_int_equal(counted[0], counted[1]);
}

static void no_claim_ever_ends_somebody_elses_card(void **state)
{
    static const struct {
        cb_error error;
        uint8_t profile;
    } claims[] = {
        {CB_E_CARD_PROOF, CB_PROFILE_NATIVE},       {CB_E_CARD_PROOF, CB_PROFILE_PIV},
        {CB_E_PIN_WRONG, CB_PROFILE_PIV},           {CB_E_PIN_BLOCKED, CB_PROFILE_JPKI},
        {CB_E_PASSWORD_WRONG, CB_PROFILE_PASSWORD}, {CB_E_PASSWORD_DELAYED, CB_PROFILE_PASSWORD}};
    world w;
    unsigned noted = 0;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 120; i++) {
        claim(&w, &w.card, claims[i % 6].error, claims[i % 6].profile);
        assert_false(last_effect.suspended);
        noted += last_effect.noted;
    }
    assert_int_equal(card_state(&w), CB_CARD_ACTIVE);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE); /* for it is one card alone */
    assert_int_equal(of_card(&w).pins_row, 0);
    assert_int_equal(of_card(&w).count[CB_FAILURE_PROOF], 40);
    assert_int_equal(of_card(&w).count[CB_FAILURE_TOLD_PIN], 20);
    assert_int_equal(of_card(&w).count[CB_FAILURE_PASSWORD], 40);
    assert_int_equal(noted, 1); /* once a day, of card and holder at a time */
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    end_and_verify(&w);
}

static void many_cards_slow_a_terminal_down_and_then_end_it(void **state)
{
    world w;
    cb_id card[12];
    unsigned slowed = 0;
    cb_failure_row row;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 12; i++)
        card[i] = add_card(&w, true);
    for (unsigned i = 0; i < 9; i++) {
        claim(&w, &card[i], CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
        slowed += last_effect.slowed;
        assert_int_equal(last_effect.slowed, i == 5);
        row = of_terminal(&w);
        assert_int_equal(cb_failures_slow(&row, &limits, cb_clock_wall_us()), i >= 5);
    }
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    claim(&w, &card[9], CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
    assert_true(last_effect.stopped);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_DEACTIVATED);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_TERMINAL_INACTIVE);
    /* An administrator lets it go on, and it begins anew. */
    assert_int_equal(
        cb_terminal_change(w.store, "test", &w.terminal.id, CB_TERMINAL_REACTIVATE, NULL, NULL),
        CB_OK);
    claim(&w, &card[10], CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    row = of_terminal(&w);
    assert_false(cb_failures_slow(&row, &limits, cb_clock_wall_us()));
    assert_int_equal(slowed, 1);
    end_and_verify(&w);
}

/* Somebody at a kiosk with one card, or with toys that are no cards of ours. */
static void one_card_and_cards_that_nobody_knows_end_no_terminal(void **state)
{
    world w;
    static const cb_id nobody;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 60; i++) {
        claim(&w, &w.card, CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
        cb_refusal unknown = {.card = nobody, .error = CB_E_CARD_PROOF};
        assert_int_equal(refuse(&w, &unknown), CB_OK);
        assert_false(last_effect.slowed || last_effect.stopped);
    }
    assert_int_equal(of_terminal(&w).counted, 4);
    assert_int_equal(of_terminal(&w).count[CB_FAILURE_PROOF], 120);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    end_and_verify(&w);
}

static void a_busy_terminal_is_not_slowed_by_the_mistakes_of_some(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 12; i++) {
        cb_id card = add_card(&w, true);
        claim(&w, &card, CB_E_PIN_WRONG, CB_PROFILE_PIV);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        assert_false(last_effect.slowed);
    }
    cb_failure_row row = of_terminal(&w);
    assert_int_equal(row.counted, 12);
    assert_false(cb_failures_slow(&row, &limits, cb_clock_wall_us()));
    end_and_verify(&w);
}

static void what_cards_have_signed_is_not_held_against_the_terminal(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 30; i++) {
        w.card = add_card(&w, true);
        wrong_pins(&w, 3);
        assert_false(last_effect.slowed || last_effect.stopped);
    }
    assert_int_equal(of_terminal(&w).counted, 0);
    assert_int_equal(of_terminal(&w).count[CB_FAILURE_WRONG_PIN], 90);
    end_and_verify(&w);
}

static void passwords_slow_a_terminal_down_and_end_nothing(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 20; i++) {
        cb_id name = add_card(&w, true);
        claim(&w, &name, CB_E_PASSWORD_WRONG, CB_PROFILE_PASSWORD);
        assert_int_equal(last_effect.slowed, i == 5);
        assert_false(last_effect.stopped);
    }
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    end_and_verify(&w);
}

/* Or the time that it takes would tell which names there are. */
static void a_name_that_there_is_not_is_counted_like_one_that_there_is(void **state)
{
    world w;
    static const cb_id nobody;
    cb_failure_row row;
    (void)state;
    world_begin(&w);
    cb_refusal refusal = {.error = CB_E_CARD_UNKNOWN, .profile = CB_PROFILE_PASSWORD};
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(refuse(&w, &refusal), CB_OK);
        assert_false(last_effect.noted);
    }
    assert_int_equal(cb_failures_get(w.store, CB_OF_CARD, &nobody, &row), CB_OK);
    assert_int_equal(row.count[CB_FAILURE_PASSWORD], 7);
    refusal.profile = CB_PROFILE_NATIVE; /* a card that is not registered has failed at nothing */
    assert_int_equal(refuse(&w, &refusal), CB_OK);
    assert_int_equal(of_terminal(&w).count[CB_FAILURE_PROOF], 0);
    end_and_verify(&w);
}

/* ---- Clocks ---- */

typedef struct at_time {
    cb_failure failure;
    cb_failure_effect effect;
    bool recorded;
} at_time;

static cb_error record_at(cb_txn *txn, const cb_failure *f)
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

static cb_error run_at(cb_txn *txn, void *context)
{
    at_time *at = context;
    cb_error error = at->recorded ? record_at(txn, &at->failure) : CB_OK;
    return error ? error : cb_failures_count(txn, &at->failure, &limits, &at->effect);
}

static void fail_then(world *w, uint8_t kind, const cb_id *card, int64_t time, bool recorded)
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

/* Without a leaf: of these the record says nothing. */
static void fail_at(world *w, uint8_t kind, const cb_id *card, int64_t time)
{
    fail_then(w, kind, card, time, false);
}

static void a_clock_that_is_set_forgives_no_row_and_locks_nothing_up(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    fail_at(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON);
    fail_at(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON + 5000 * DAY); /* set forward by mistake */
    fail_at(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON);              /* and back */
    assert_int_equal(of_card(&w).pins_row, 3);
    assert_int_equal(of_card(&w).pins_today, 1);
    fail_at(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON - 5000 * DAY);
    assert_int_equal(card_state(&w), CB_CARD_SUSPENDED);
    for (unsigned i = 0; i < 9; i++) {
        cb_id card = add_card(&w, true);
        fail_at(&w, CB_FAILURE_PROOF, &card, NOON + 5000 * DAY);
    }
    cb_failure_row row = of_terminal(&w);
    assert_true(cb_failures_slow(&row, &limits, NOON + 5000 * DAY));
    assert_false(cb_failures_slow(&row, &limits, NOON));
    fail_at(&w, CB_FAILURE_PROOF, &w.card, NOON);
    assert_int_equal(of_terminal(&w).counted, 1);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    world_end(&w);
}

static void an_hour_later_a_terminal_is_as_before(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 9; i++) {
        cb_id card = add_card(&w, true);
        fail_at(&w, CB_FAILURE_PROOF, &card, NOON);
    }
    cb_failure_row row = of_terminal(&w);
    assert_true(cb_failures_slow(&row, &limits, NOON));
    assert_false(cb_failures_slow(&row, &limits, NOON + limits.window));
    fail_at(&w, CB_FAILURE_PROOF, &w.card, NOON + limits.window);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    world_end(&w);
}

static void of_each_only_so_many_days_are_kept(void **state)
{
    world w;
    days all = {0};
    cb_failure_query query = {.to = INT32_MAX, .of = CB_OF_CARD, .limit = CB_PAGE_LIMIT};
    (void)state;
    world_begin(&w);
    cb_id other = add_card(&w, true);
    for (int i = 0; i < CB_FAILURE_DAYS + 30; i++)
        fail_at(&w, CB_FAILURE_PASSWORD, &other, NOON + i * DAY);
    assert_int_equal(cb_failures_report(w.store, &query, add_day, &all), CB_OK);
    assert_int_equal(all.count, CB_FAILURE_DAYS);
    world_end(&w);
}

/* ---- Several at a time, and in the middle ---- */

static void *fail_often(void *context)
{
    world *w = context;
    static const cb_failure_limits none = {.window = 1};
    for (int i = 0; i < 100; i++) {
        cb_refusal refusal = {.tap = cb_id_random(),
                              .card = w->card,
                              .holder = w->holder.id,
                              .terminal = w->terminal.id,
                              .error = CB_E_PIN_WRONG,
                              .wrong_pins = 1,
                              .limits = &none};
        if (cb_decide_refused(w->store, &refusal, NULL) != CB_OK)
            return w;
    }
    return NULL;
}

static void threads_that_count_at_a_time_lose_nothing(void **state)
{
    world w;
    pthread_t thread[4];
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, fail_often, &w), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *failed = NULL;
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(of_card(&w).count[CB_FAILURE_WRONG_PIN], 400);
    assert_int_equal(of_terminal(&w).pins_row, 400);
    end_and_verify(&w);
}

typedef struct death {
    const char *step;
    int left; /* of such steps; then it dies */
} death;

static void die(void *context, const char *step)
{
    death *d = context;
    if (strcmp(step, d->step) == 0 && d->left-- == 0)
        kill(getpid(), SIGKILL);
}

/* Three wrong PINs, and a fourth that suspends the card: how many were answered. */
static int live_until(world *w, death *d)
{
    int told[2], status;
    char one;
    int count = 0;
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        w->options.probe = die;
        w->options.probe_context = d;
        if (cb_store_open(&w->options, &w->store) != CB_OK)
            _exit(3);
        for (int i = 0; i < 4; i++) {
            wrong_pins(w, 1);
            if (write(told[1], "x", 1) != 1)
                _exit(4);
        }
        cb_store_close(&w->store);
        _exit(0);
    }
    close(told[1]);
    while (read(told[0], &one, 1) == 1)
        count++;
    close(told[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return count;
}

static void a_crash_at_any_step_leaves_refusal_and_count_together(void **state)
{
    static const char *const steps[] = {"ran", "commit", "committed"};
    (void)state;
    for (unsigned s = 0; s < 3; s++) {
        for (int when = 0; when < 4; when++) {
            world w;
            death d = {steps[s], when};
            world_begin(&w);
            world_close(&w);
            int answered = live_until(&w, &d);
            assert_int_equal(verify_file(&w, NULL), CB_OK); /* counts are those of the leaves */
            world_open(&w);
            uint64_t counted = of_card(&w).count[CB_FAILURE_WRONG_PIN];
            assert_true(counted >= (uint64_t)answered && counted <= (uint64_t)answered + 1);
            assert_int_equal(card_state(&w), counted == 4 ? CB_CARD_SUSPENDED : CB_CARD_ACTIVE);
            world_close(&w);
            assert_int_equal(verify_file(&w, NULL), CB_OK);
            world_end(&w);
        }
    }
}

/* ---- Somebody writes the database ---- */

static void counts_that_were_edited_or_rolled_back_are_found(void **state)
{
    static const char *const edits[] = {
        "UPDATE failure SET wrong_pins = 0, pins_row = 0 WHERE kind = 'card'",
        "UPDATE failure SET pins_row = 0 WHERE kind = 'card'",
        "UPDATE failure SET pins_row = 9 WHERE kind = 'holder'",
        "UPDATE failure SET proofs_row = 0 WHERE kind = 'terminal'",
        "UPDATE failure SET told_pins = 0 WHERE kind = 'terminal'",
        "UPDATE failure SET passwords = 7",
        "UPDATE failure SET proofs = proofs + 1 WHERE kind = 'card'",
        "DELETE FROM failure WHERE kind = 'card'",
        "DELETE FROM failure; DELETE FROM failure_day",
        "DELETE FROM failure_day WHERE kind = 'holder'",
        "UPDATE failure_day SET wrong_pins = 1 WHERE kind = 'card'",
        "UPDATE failure SET pins_today = 0 WHERE kind = 'card'",
        "UPDATE failure SET pins_today = 0, day = day - 1 WHERE kind = 'card'",
        "UPDATE failure SET day = day + 1 WHERE kind = 'card'",
        "UPDATE failure SET claims_today = 1 WHERE kind = 'terminal'",
        "UPDATE failure SET claims_today = 9 WHERE kind = 'holder'",
        "UPDATE failure SET last = last - 1 WHERE kind = 'holder'",
        "INSERT INTO failure SELECT kind, randomblob(16), wrong_pins, proofs, told_pins, "
        "passwords, "
        "pins_row, proofs_row, last, day, pins_today, claims_today, window, counted, proofs_seen, "
        "accepted FROM failure WHERE kind = 'card'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        world w;
        world_begin(&w);
        wrong_pins(&w, 3);
        claim(&w, &w.card, CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
        claim(&w, &w.card, CB_E_PIN_WRONG, CB_PROFILE_PIV);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        tamper(&w, edits[i]);
        if (verify_file(&w, NULL) != CB_E_EVIDENCE || findings_of("failures.count") == 0)
            fail_msg("not found: %s", edits[i]);
        world_end(&w);
    }
}

/* Counted again from the leaves, whose clock was set forward and back. */
static void the_counts_of_the_day_are_those_of_the_record(void **state)
{
    static const int64_t later[] = {0, 0, 1, 5000, 1, 1, -1, -1};
    static const char *const edits[] = {
        "UPDATE failure SET pins_today = 1 WHERE kind = 'card'",
        "UPDATE failure SET claims_today = 0 WHERE kind = 'terminal'",
        "UPDATE failure SET day = day + 2 WHERE kind = 'card'",
        "UPDATE failure SET last = last + 1 WHERE kind = 'terminal'",
    };
    (void)state;
    for (size_t i = 0; i <= sizeof edits / sizeof *edits; i++) {
        world w;
        world_begin(&w);
        for (size_t k = 0; k < sizeof later / sizeof *later; k++) {
            fail_then(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON + later[k] * DAY, true);
            fail_then(&w, CB_FAILURE_TOLD_PIN, &w.card, NOON + later[k] * DAY, true);
        }
        assert_int_equal(of_card(&w).pins_today, 2);
        assert_int_equal(of_terminal(&w).claims_today, 2);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        if (i > 0) {
            tamper(&w, edits[i - 1]);
            if (verify_file(&w, NULL) != CB_E_EVIDENCE || findings_of("failures.count") == 0)
                fail_msg("not found: %s", edits[i - 1]);
        }
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counts_of_the_day_are_those_of_the_record),
        cmocka_unit_test(a_wrong_pin_counts_for_card_holder_and_terminal),
        cmocka_unit_test(a_tap_that_succeeds_ends_the_row_and_only_one_with_the_pin_that_of_pins),
        cmocka_unit_test(a_login_that_fails_ends_no_row),
        cmocka_unit_test(too_many_wrong_pins_in_a_row_suspend_the_card),
        cmocka_unit_test(too_many_in_a_day_suspend_it_whatever_is_between),
        cmocka_unit_test(wrong_pins_that_a_terminal_kept_to_itself_count_as_well),
        cmocka_unit_test(zero_is_no_limit),
        cmocka_unit_test(no_claim_ever_ends_somebody_elses_card),
        cmocka_unit_test(many_cards_slow_a_terminal_down_and_then_end_it),
        cmocka_unit_test(one_card_and_cards_that_nobody_knows_end_no_terminal),
        cmocka_unit_test(a_busy_terminal_is_not_slowed_by_the_mistakes_of_some),
        cmocka_unit_test(what_cards_have_signed_is_not_held_against_the_terminal),
        cmocka_unit_test(passwords_slow_a_terminal_down_and_end_nothing),
        cmocka_unit_test(a_name_that_there_is_not_is_counted_like_one_that_there_is),
        cmocka_unit_test(when_a_terminal_is_slowed_down_does_not_tell_whether_there_is_a_name),
        cmocka_unit_test(a_clock_that_is_set_forgives_no_row_and_locks_nothing_up),
        cmocka_unit_test(an_hour_later_a_terminal_is_as_before),
        cmocka_unit_test(of_each_only_so_many_days_are_kept),
        cmocka_unit_test(threads_that_count_at_a_time_lose_nothing),
        cmocka_unit_test(a_crash_at_any_step_leaves_refusal_and_count_together),
        cmocka_unit_test(counts_that_were_edited_or_rolled_back_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
