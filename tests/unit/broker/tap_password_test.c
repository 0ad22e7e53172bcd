/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taps without a card: a name and a password.
 */
#include "tests/unit/broker/tap_world.h"

static void passwords_are_taken_where_terminal_and_service_do(void **state)
{
    (void)state;
    cb_id tap;
    const cb_tap_question change = {.purpose = CB_TAP_PIN_CHANGE, .pin = cb_bytes_str("x")};
    kind_of_card = CB_PROFILE_PASSWORD;
    service_level = CB_LEVEL_PASSWORD;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_PASSWORDS);
    terminal_passwords = true;
    for (uint8_t level = CB_LEVEL_POSSESSION; level <= CB_LEVEL_PASSWORD; level++) {
        assert_int_equal(start(&tap), CB_OK);
        service_level = level;
        trace[0] = 0;
        assert_int_equal(ask_for_tax(&tap), level == CB_LEVEL_PASSWORD ? CB_OK : CB_E_TAP_LEVEL);
        assert_int_equal(strstr(trace, "challenge") != NULL, level == CB_LEVEL_PASSWORD);
    }
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &change), CB_E_CARD_FOREIGN);
}

/* What hsmd is asked, what is recorded, what is told. */
static void nobody_is_told_whether_there_is_a_name(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        cb_error error, told;
    } cases[] = {{"lookup", CB_E_CARD_UNKNOWN, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_PASSWORD_WRONG, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_PASSWORD_DELAYED, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_CARD_SUSPENDED, CB_E_CARD_SUSPENDED},
                 {"activate", CB_E_HSM_DOWN, CB_E_HSM_DOWN},
                 {"lookup", CB_E_STORE, CB_E_STORE},
                 {"state", CB_E_CARD_NOT_ACTIVE, CB_E_CARD_NOT_ACTIVE}};
    kind_of_card = CB_PROFILE_PASSWORD;
    service_level = CB_LEVEL_PASSWORD;
    terminal_passwords = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        trace[0] = 0;
        failing = cases[i].step;
        failure = cases[i].error;
        assert_int_equal(run(&outcome), cases[i].told);
        assert_int_equal(recorded, cases[i].error);
        assert_int_equal(recorded_claimed.bytes[0], 1); /* where it counts */
        assert_int_equal(strstr(trace, "activate") != NULL, failure != CB_E_STORE);
        assert_null(strstr(trace, "intent"));
        cb_tap_outcome_free(&outcome);
    }
    failing = NULL;
}

/* hsmd has believed the old one by then: a proof that was good is not lost without a trace. */
static void a_change_that_is_refused_after_its_proof_is_recorded(void **state)
{
    (void)state;
    static const struct {
        cb_error error;
        bool refused;
    } cases[] = {{CB_OK, false},
                 {CB_E_UNSIGNED, false}, /* it was committed */
                 {CB_E_TERMINAL_INACTIVE, true},
                 {CB_E_TAP_WITHDRAWN, true},
                 {CB_E_STORE_FULL, true}};
    kind_of_card = CB_PROFILE_PASSWORD;
    terminal_passwords = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_id tap;
        cb_tap_outcome outcome;
        failing = "password";
        failure = cases[i].error;
        recorded = CB_OK;
        recorded_card = (cb_id){{0}};
        assert_int_equal(start(&tap), CB_OK);
        assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_PASSWORD_CHANGE}), CB_OK);
        trace[0] = 0;
        assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome),
                         cases[i].error);
        assert_non_null(strstr(trace, "change state password"));
        assert_int_equal(strstr(trace, "refused") != NULL, cases[i].refused);
        assert_int_equal(recorded, cases[i].refused ? cases[i].error : CB_OK);
        assert_int_equal(recorded_card.bytes[0], cases[i].refused ? 1 : 0);
        cb_tap_outcome_free(&outcome);
    }
}

static cb_id second;
static cb_error said_to_the_second;

static cb_error change(const cb_id *tap)
{
    cb_tap_outcome outcome;
    cb_error error = cb_tap_proof(taps, &terminal, tap, (cb_bytes){0}, &outcome);
    assert_int_equal(recorded_claimed.bytes[0], error ? 1 : recorded_claimed.bytes[0]);
    cb_tap_outcome_free(&outcome);
    return error;
}

static void begin_a_change(cb_id *tap)
{
    assert_int_equal(start(tap), CB_OK);
    assert_int_equal(ask(tap, &(cb_tap_question){.purpose = CB_TAP_PASSWORD_CHANGE}), CB_OK);
}

static void another_change(void)
{
    while_it_is_recorded = NULL;
    trace[0] = 0;
    said_to_the_second = change(&second);
    assert_null(strstr(trace, "change")); /* hsmd hears of one at a time */
}

/* hsmd believes the last one it heard of, and the record takes the first. */
static void of_two_changes_of_one_password_hsmd_hears_of_one_until_it_is_recorded(void **state)
{
    (void)state;
    cb_id tap;
    kind_of_card = CB_PROFILE_PASSWORD;
    terminal_passwords = true;
    begin_a_change(&tap);
    begin_a_change(&second);
    while_it_is_recorded = another_change;
    assert_int_equal(change(&tap), CB_OK);
    assert_int_equal(said_to_the_second, CB_E_BUSY);
    begin_a_change(&tap);
    assert_int_equal(change(&tap), CB_OK);
    /* The turn is given back also where hsmd, or the record, refuses. */
    static const char *const steps[] = {"change", "password", "lookup"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        begin_a_change(&tap);
        failing = steps[i];
        failure = CB_E_STORE;
        assert_int_equal(change(&tap), CB_E_STORE);
        failing = NULL;
        begin_a_change(&tap);
        assert_int_equal(change(&tap), CB_OK);
    }
}

/* A person who sees nothing happen tries again with another password. */
static void while_the_record_is_not_read_again_hsmd_changes_nothing(void **state)
{
    (void)state;
    cb_id tap;
    kind_of_card = CB_PROFILE_PASSWORD;
    terminal_passwords = true;
    begin_a_change(&tap);
    trace[0] = 0;
    not_ready = CB_E_BUSY;
    assert_int_equal(change(&tap), CB_E_BUSY);
    assert_null(strstr(trace, "change"));
    not_ready = CB_OK;
    begin_a_change(&tap);
    assert_int_equal(change(&tap), CB_OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(passwords_are_taken_where_terminal_and_service_do),
        T(nobody_is_told_whether_there_is_a_name),
        T(a_change_that_is_refused_after_its_proof_is_recorded),
        T(of_two_changes_of_one_password_hsmd_hears_of_one_until_it_is_recorded),
        T(while_the_record_is_not_read_again_hsmd_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
