/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How taps end: answers that were lost, taps that are broken off, cards that are ended or get a new PIN.
 */
#include "tests/unit/broker/tap_world.h"

static void an_answer_that_was_lost_is_given_again_and_nothing_done_again(void **state)
{
    (void)state;
    static const uint8_t kinds[] = {CB_SESSION_RELAYED, CB_SESSION_TOKEN};
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_id tap;
        cb_tap_outcome first, again;
        login_kind = kinds[i];
        free(entered);
        entered = NULL;
        assert_int_equal(start(&tap), CB_OK);
        assert_int_equal(ask_for_tax(&tap), CB_OK);
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &first), CB_OK);
        trace[0] = 0;
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &again), CB_OK);
        assert_string_equal(trace, "again");
        assert_true(cb_bytes_same(cb_buf_bytes(&first.value), cb_buf_bytes(&again.value)));
        assert_true(cb_id_same(&first.session, &again.session));
        cb_tap_outcome_free(&again);
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("b"), &again),
                         CB_E_TAP_UNKNOWN);
        failing = "again";
        failure = CB_E_TAP_WITHDRAWN;
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &again),
                         CB_E_TAP_WITHDRAWN);
        assert_int_equal(again.value.len, 0);
        failing = NULL;
        cb_tap_outcome_free(&first);
    }
}

static void a_refusal_that_was_lost_is_said_again(void **state)
{
    (void)state;
    cb_id tap;
    cb_tap_outcome outcome;
    failing = "finish";
    failure = CB_E_PIN_WRONG;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &outcome),
                         CB_E_PIN_WRONG);
        assert_string_equal(trace, "begin allows challenge finish lookup refused end");
    }
}

static void a_tap_that_is_broken_off_ends_with_its_reason(void **state)
{
    (void)state;
    static const cb_id other = {{8}};
    cb_id tap;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(cb_tap_break_off(taps, &other, &tap, CB_E_CARD_REMOVED), CB_E_TAP_UNKNOWN);
    assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_CARD_REMOVED), CB_OK);
    assert_int_equal(recorded, CB_E_CARD_REMOVED);
    assert_string_equal(recorded_step, "begun");
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    trace[0] = 0;
    assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_BROKER_DOWN), CB_OK);
    assert_string_equal(trace, "refused end");
    assert_int_equal(recorded, CB_E_BROKER_DOWN);
    assert_string_equal(recorded_step, "challenged");
    assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_BROKER_DOWN), CB_E_TAP_UNKNOWN);
    assert_int_equal(cb_taps_count(taps), 0);
}

/* What is not recorded has not happened: the terminal may say it again. */
static void a_tap_whose_end_cannot_be_recorded_has_not_ended(void **state)
{
    (void)state;
    for (int challenged = 0; challenged < 2; challenged++) {
        cb_id tap;
        assert_int_equal(start(&tap), CB_OK);
        if (challenged)
            assert_int_equal(ask_for_tax(&tap), CB_OK);
        failing = "refused";
        failure = CB_E_STORE_FULL;
        trace[0] = 0;
        assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_CARD_REMOVED),
                         CB_E_STORE_FULL);
        assert_string_equal(trace, "refused");
        assert_int_equal(cb_taps_count(taps), 1);
        failing = NULL;
        assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_CARD_REMOVED), CB_OK);
        assert_string_equal(recorded_step, challenged ? "challenged" : "begun");
        assert_int_equal(cb_taps_count(taps), 0);
    }
}

/* Its time is over now. */
static void expire(const cb_id *tap, cb_tap_stage stage)
{
    cb_tap_entry *entry;
    assert_int_equal(cb_tap_table_take(taps->table, tap, &terminal, stage, &entry), CB_OK);
    entry->expires = cb_clock_monotonic_us() - 1;
    cb_tap_table_put(taps->table, entry);
}

/* Has the sweeper look now instead of within a second; what it did is done when this returns. */
static void sweep_and_close(void)
{
    for (int i = 0; i < 1000 && cb_taps_count(taps) > 0; i++) {
        pthread_mutex_lock(&taps->lock);
        pthread_cond_signal(&taps->wake);
        pthread_mutex_unlock(&taps->lock);
        usleep(10000);
    }
    assert_int_equal(cb_taps_count(taps), 0);
    cb_taps_close(&taps);
}

static void a_tap_that_nobody_goes_on_with_is_ended_and_recorded_once(void **state)
{
    (void)state;
    cb_id tap;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    trace[0] = 0;
    expire(&tap, CB_TAP_CHALLENGED);
    sweep_and_close(); /* which sweeps once more */
    assert_string_equal(trace, "refused end");
    assert_int_equal(recorded, CB_E_TAP_EXPIRED);
    assert_null(recorded_step); /* no terminal has said so */
}

/* Whoever begins taps without end does not fill the record. */
static void a_tap_that_was_only_begun_ends_without_a_trace(void **state)
{
    (void)state;
    cb_id tap;
    assert_int_equal(start(&tap), CB_OK);
    trace[0] = 0;
    expire(&tap, CB_TAP_BEGUN);
    sweep_and_close();
    assert_string_equal(trace, "end");
    assert_int_equal(recorded, CB_OK);
}

static void what_is_under_way_is_not_swept_away(void **state)
{
    (void)state;
    cb_id tap, other;
    cb_tap_outcome outcome;
    assert_int_equal(start(&other), CB_OK);
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    expire(&other, CB_TAP_BEGUN);
    for (int i = 0; i < 500 && cb_taps_count(taps) > 1; i++)
        usleep(10000);
    assert_int_equal(cb_taps_count(taps), 1);
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, CB_BYTES_OF("a"), &outcome), CB_OK);
    cb_tap_outcome_free(&outcome);
}

static void a_new_pin_without_the_code_is_for_a_card_that_is_named(void **state)
{
    (void)state;
    static const cb_id named = {{7}};
    cb_id tap;
    const cb_bytes pin = CB_BYTES_OF("pin");
    const cb_tap_question wrong[] = {
        {.purpose = CB_TAP_PIN_RESET, .pin = pin},
        {.purpose = CB_TAP_PIN_RESET, .pin = pin, .card = &named, .service = "tax"},
        {.purpose = CB_TAP_PIN_RESET, .card = &named},
        {.purpose = CB_TAP_PIN_UNBLOCK, .pin = pin, .card = &named},
        {.purpose = CB_TAP_PIN_CHANGE, .pin = pin, .card = &named},
        {.purpose = CB_TAP_CARD_END, .card = &named},
        {.purpose = CB_TAP_AUTHENTICATE, .service = "tax", .card = &named}};
    cb_tap_question question = {.purpose = CB_TAP_PIN_RESET, .pin = pin, .card = &named};
    cb_tap_outcome outcome;
    assert_int_equal(start(&tap), CB_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(ask(&tap, &wrong[i]), CB_E_ARGUMENT);
    trace[0] = 0;
    assert_int_equal(ask(&tap, &question), CB_OK);
    assert_string_equal(trace, "extend lookup state challenge");
    trace[0] = 0;
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_OK);
    assert_string_equal(trace, "finish lookup state activate pin end");
    cb_tap_outcome_free(&outcome);
    failing = "challenge";
    failure = CB_E_PIN_RESET_REFUSED;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_PIN_RESET_REFUSED);
}

/* And not when card and PIN have done their part. */
static void what_the_record_would_not_take_as_a_reason_is_refused_at_once(void **state)
{
    (void)state;
    static const uint8_t purposes[] = {CB_TAP_MAINTENANCE, CB_TAP_MAINTENANCE_END};
    for (size_t i = 0; i < sizeof purposes; i++) {
        cb_id tap;
        cb_tap_question question = {
            .purpose = purposes[i], .text = "new reader", .pin = CB_BYTES_OF("pin")};
        assert_int_equal(start(&tap), CB_OK);
        trace[0] = 0;
        assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
        assert_string_equal(trace, "");
        question.text = "new-reader"; /* the tap is as it was */
        assert_int_equal(ask(&tap, &question), CB_OK);
        assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_READER), CB_OK);
    }
}

/* The record has it as done, and not as refused as well. */
static void what_is_done_and_not_signed_in_time_is_no_refusal(void **state)
{
    (void)state;
    static const struct {
        cb_error error;
        const char *trace;
    } cases[] = {{CB_E_UNSIGNED, "finish lookup state activate maintenance end"},
                 {CB_E_MAINTAINER, "finish lookup state activate maintenance refused end"},
                 {CB_E_HSM_DOWN, "finish lookup state activate maintenance refused end"}};
    cb_tap_question question = {.purpose = CB_TAP_MAINTENANCE, .pin = CB_BYTES_OF("pin")};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_id tap;
        cb_tap_outcome outcome;
        failing = NULL;
        assert_int_equal(start(&tap), CB_OK);
        assert_int_equal(ask(&tap, &question), CB_OK);
        failing = "maintenance";
        failure = cases[i].error;
        trace[0] = 0;
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome),
                         cases[i].error);
        assert_string_equal(trace, cases[i].trace);
        cb_tap_outcome_free(&outcome);
    }
}

/* Neither by a word nor by what is done. The record says what it was, but names no card for having
 * been named. */
static void what_has_become_of_a_card_is_nobodys_to_ask_by_naming_it(void **state)
{
    (void)state;
    static const cb_id named = {{7}};
    static const struct {
        const char *step;
        cb_error error;
    } cases[] = {{"lookup", CB_E_CARD_UNKNOWN},   {"state", CB_E_CARD_NOT_ACTIVE},
                 {"state", CB_E_CARD_SUSPENDED},  {"state", CB_E_CARD_EXPIRED},
                 {"state", CB_E_CARD_REVOKED},    {"challenge", CB_E_CARD_REVOKED},
                 {"challenge", CB_E_CARD_EXPIRED}, {"challenge", CB_E_PIN_RESET_REFUSED}};
    cb_tap_question question = {
        .purpose = CB_TAP_PIN_RESET, .pin = CB_BYTES_OF("pin"), .card = &named};
    cb_id tap;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        failing = cases[i].step;
        failure = cases[i].error;
        fed = false;
        assert_int_equal(start(&tap), CB_OK);
        trace[0] = 0;
        assert_int_equal(ask(&tap, &question), CB_E_PIN_RESET_REFUSED);
        assert_non_null(strstr(trace, "extend lookup"));
        assert_non_null(strstr(trace, "challenge refused end"));
        assert_int_equal(recorded, cases[i].error);
        assert_true(cb_id_is_zero(&recorded_card));
    }
    failing = "challenge"; /* the card that lies there */
    failure = CB_E_CARD_CERTIFICATE;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_CARD_CERTIFICATE);
}

static void a_revoked_card_is_ended_when_its_terminal_says_in_which_tap_it_was(void **state)
{
    (void)state;
    static const cb_id other = {{8}};
    cb_id refused, tap;
    cb_tap_outcome outcome;
    cb_tap_question question = {.purpose = CB_TAP_CARD_END, .after = &refused};
    failing = "state";
    failure = CB_E_CARD_REVOKED;
    assert_int_equal(start(&refused), CB_OK);
    assert_int_equal(ask_for_tax(&refused), CB_OK);
    assert_int_equal(cb_tap_proof(taps, &terminal, &refused, (cb_bytes){0}, &outcome),
                     CB_E_CARD_REVOKED);
    assert_true(outcome.may_end);
    /* Nothing else with it, and not without. */
    assert_int_equal(start(&tap), CB_OK);
    question.service = "tax";
    assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
    question = (cb_tap_question){.purpose = CB_TAP_CARD_END};
    assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
    question =
        (cb_tap_question){.purpose = CB_TAP_CARD_END, .after = &refused, .pin = CB_BYTES_OF("pin")};
    assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
    question =
        (cb_tap_question){.purpose = CB_TAP_AUTHENTICATE, .service = "tax", .after = &refused};
    assert_int_equal(ask(&tap, &question), CB_E_ARGUMENT);
    question = (cb_tap_question){.purpose = CB_TAP_CARD_END, .after = &refused};
    trace[0] = 0;
    assert_int_equal(ask(&tap, &question), CB_OK);
    assert_string_equal(trace, "lookup state extend challenge");
    trace[0] = 0;
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_OK);
    assert_string_equal(trace, "finish lookup state activate card_end end");
    assert_true(outcome.ended);
    cb_tap_outcome_free(&outcome);
    /* A tap that was not refused for that, or another terminal's, names no card. */
    question.after = &tap;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_TAP_UNKNOWN);
    question.after = &other;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_TAP_UNKNOWN);
    /* Nor is one ended that is not revoked. */
    failing = NULL;
    question.after = &refused;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_E_STATE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(an_answer_that_was_lost_is_given_again_and_nothing_done_again),
        T(a_refusal_that_was_lost_is_said_again),
        T(a_tap_that_is_broken_off_ends_with_its_reason),
        T(a_tap_whose_end_cannot_be_recorded_has_not_ended),
        T(a_tap_that_nobody_goes_on_with_is_ended_and_recorded_once),
        T(a_tap_that_was_only_begun_ends_without_a_trace),
        T(what_is_under_way_is_not_swept_away),
        T(a_new_pin_without_the_code_is_for_a_card_that_is_named),
        T(what_the_record_would_not_take_as_a_reason_is_refused_at_once),
        T(what_is_done_and_not_signed_in_time_is_no_refusal),
        T(what_has_become_of_a_card_is_nobodys_to_ask_by_naming_it),
        T(a_revoked_card_is_ended_when_its_terminal_says_in_which_tap_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
