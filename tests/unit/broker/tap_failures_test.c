/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a tap that fails counts as, and who is cut off for it.
 */
#include "tests/unit/broker/tap_world.h"

static cb_session_match cut_off;

static void note_ended(void *context, const cb_session_match *match, const cb_affected *affected)
{
    (void)context, (void)affected;
    cut_off = *match;
}

static void open_again_with_ended(void)
{
    cb_taps_parts parts = {.most = 100, .ended = note_ended};
    cb_taps_close(&taps);
    cut_off = (cb_session_match){.session = {{0}}};
    assert_int_equal(cb_taps_open(&parts, &taps), CB_OK);
}

static void wrong_pins_that_the_card_signed_count_once_and_before_the_login(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    signed_pins = 2;
    assert_int_equal(run(&outcome), CB_OK);
    assert_non_null(strstr(trace, "activate wrong_pins intent"));
    assert_int_equal(recorded_pins, 2);
    cb_tap_outcome_free(&outcome);
    trace[0] = 0; /* and not again with what the login comes to */
    failing = "intent";
    failure = CB_E_CARD_SUSPENDED;
    free(entered);
    entered = NULL;
    assert_int_equal(run(&outcome), CB_E_CARD_SUSPENDED);
    assert_non_null(strstr(trace, "wrong_pins intent refused"));
    assert_int_equal(recorded_pins, 0);
    cb_tap_outcome_free(&outcome);
}

/* The card has forgotten them with this very proof. */
static void wrong_pins_that_cannot_be_counted_end_the_tap(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    signed_pins = 2;
    failing = "wrong_pins";
    failure = CB_E_STORE;
    assert_int_equal(run(&outcome), CB_E_STORE);
    assert_non_null(strstr(trace, "activate wrong_pins refused end"));
    assert_int_equal(recorded, CB_E_STORE);
    assert_int_equal(recorded_pins, 2); /* if the refusal can be written, they are counted with it */
    cb_tap_outcome_free(&outcome);
}

static void what_hsmd_did_not_believe_is_no_word_of_the_card(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        cb_error error;
        uint32_t pins;
    } cases[] = {{"activate", CB_E_PIN_WRONG, 3},       {"activate", CB_E_PIN_BLOCKED, 3},
                 {"activate", CB_E_TAP_LEVEL, 3},       {"activate", CB_E_CARD_SUSPENDED, 3},
                 {"state", CB_E_CARD_NOT_ACTIVE, 3},    {"state", CB_E_CARD_SUSPENDED, 3},
                 {"state", CB_E_CARD_EXPIRED, 0},       {"state", CB_E_CARD_REVOKED, 0},
                 {"activate", CB_E_CARD_PROOF, 0},      {"activate", CB_E_HSM_RECORD, 0},
                 {"activate", CB_E_CARD_REVOKED, 0},    {"finish", CB_E_PIN_WRONG, 0},
                 {"finish", CB_E_CARD_PROOF, 0},        {"lookup", CB_E_CARD_UNKNOWN, 0},
                 {"activate", CB_E_TERMINAL_REVOKED, 0}};
    signed_pins = 3;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        recorded_pins = 99;
        failing = cases[i].step;
        failure = cases[i].error;
        assert_int_equal(run(&outcome), cases[i].error);
        assert_int_equal(recorded_pins, cases[i].pins);
        cb_tap_outcome_free(&outcome);
    }
    /* A card that says its PIN was wrong, and that none was, has tried one. */
    cb_tap_outcome outcome;
    signed_pins = 0;
    failing = "activate";
    failure = CB_E_PIN_WRONG;
    assert_int_equal(run(&outcome), CB_E_PIN_WRONG);
    assert_int_equal(recorded_pins, 1);
    cb_tap_outcome_free(&outcome);
}

/* hsmd takes no claim out of a channel in which somebody else answered. */
static void who_speaks_for_a_card_without_its_keys_is_counted_at_that_card(void **state)
{
    (void)state;
    static const char *const steps[] = {"challenge", "finish"};
    static const uint8_t nobody[2] = {0};
    cb_tap_outcome outcome;
    kind_of_card = CB_PROFILE_SCP03;
    failure = CB_E_CARD_PROOF;
    for (size_t i = 0; i < 2; i++) {
        failing = steps[i];
        recorded_card = (cb_id){{0}};
        assert_int_equal(run(&outcome), CB_E_CARD_PROOF);
        assert_int_equal(recorded, CB_E_CARD_PROOF);
        assert_int_equal(recorded_card.bytes[0], 3);
        assert_memory_equal(&outcome.card, nobody, sizeof nobody); /* nothing was proven */
        cb_tap_outcome_free(&outcome);
    }
}

/* PIV and JPKI cards say none. */
static void which_of_its_proofs_it_was_goes_with_the_tap_of_each_card_that_says_it(void **state)
{
    (void)state;
    static const uint8_t kinds[] = {CB_PROFILE_NATIVE, CB_PROFILE_SCP03};
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_tap_outcome outcome;
        kind_of_card = kinds[i];
        failing = NULL;
        said_counter = 7;
        intended_counter = 0;
        assert_int_equal(run(&outcome), CB_OK);
        assert_int_equal(intended_counter, 7);
        cb_tap_outcome_free(&outcome);
        free(entered);
        entered = NULL;
        failing = "intent";
        failure = CB_E_CARD_COUNTER;
        assert_int_equal(run(&outcome), CB_E_CARD_COUNTER);
        assert_int_equal(recorded_counter, 7);
        assert_true(recorded_heard);
        cb_tap_outcome_free(&outcome);
    }
}

/* What a card has counted is explained by its own proofs alone: not by what somebody with the key of a
 * batch says in its name. */
static void only_a_proof_that_hsmd_believed_is_heard(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        cb_error error;
        bool heard;
    } cases[] = {{"activate", CB_E_CARD_PROOF, false},   {"activate", CB_E_HSM_RECORD, false},
                 {"activate", CB_E_CARD_EXPIRED, false}, {"activate", CB_E_IO, false},
                 {"activate", CB_E_PIN_WRONG, true},     {"activate", CB_E_PIN_BLOCKED, true},
                 {"activate", CB_E_PIN_REQUIRED, true},  {"activate", CB_E_TAP_LEVEL, true},
                 {"activate", CB_E_CARD_SUSPENDED, true}, {"activate", CB_E_CARD_REVOKED, true},
                 {"activate", CB_E_CARD_GENERATION, true},
                 {"finish", CB_E_PIN_WRONG, false},      {"lookup", CB_E_CARD_UNKNOWN, false},
                 {"state", CB_E_CARD_NOT_ACTIVE, true},  {"state", CB_E_CARD_SUSPENDED, true},
                 {"state", CB_E_CARD_EXPIRED, false},    {"state", CB_E_CARD_REVOKED, false}};
    said_counter = 7;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        recorded_heard = !cases[i].heard;
        failing = cases[i].step;
        failure = cases[i].error;
        assert_int_equal(run(&outcome), cases[i].error);
        print_message("%s %s\n", cases[i].step, cb_error_code(cases[i].error));
        assert_int_equal(recorded_heard, cases[i].heard);
        cb_tap_outcome_free(&outcome);
    }
}

/* The registry's word stands, and hsmd is asked for nothing but whose proof that was. */
static void a_proof_of_a_card_that_is_not_active_is_looked_at_all_the_same(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    said_counter = 7;
    signed_pins = 2;
    recorded_pins = 99;
    failing = "state";
    failure = CB_E_CARD_NOT_ACTIVE;
    forged = true;
    assert_int_equal(run(&outcome), CB_E_CARD_NOT_ACTIVE);
    assert_non_null(strstr(trace, "state activate refused"));
    assert_int_equal(outcome.level, 0);
    assert_false(recorded_heard);
    assert_int_equal(recorded_pins, 0);
    cb_tap_outcome_free(&outcome);
}

/* So no terminal ends a card with a number that it has invented. */
static void a_number_that_hsmd_has_not_believed_is_nobodys(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        cb_error error;
    } cases[] = {{"challenge", CB_E_CARD_PROOF},  {"finish", CB_E_CARD_PROOF},
                 {"finish", CB_E_CARD_ANSWER},    {"lookup", CB_E_CARD_UNKNOWN},
                 {"state", CB_E_CARD_SUSPENDED},  {"activate", CB_E_CARD_PROOF},
                 {"activate", CB_E_HSM_RECORD},   {"activate", CB_E_TERMINAL_REVOKED}};
    kind_of_card = CB_PROFILE_SCP03;
    said_counter = 7;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        recorded_counter = 99;
        recorded_heard = true;
        failing = cases[i].step;
        failure = cases[i].error;
        assert_int_equal(run(&outcome), cases[i].error);
        assert_int_equal(recorded_counter, 0);
        assert_false(recorded_heard);
        cb_tap_outcome_free(&outcome);
    }
}

static void which_errors_another_tap_may_mend(void **state)
{
    (void)state;
    const cb_id tap = {{5}};
    for (unsigned error = 0; error < CB_ERROR_COUNT; error++)
        assert_int_equal(cb_tap_may_renew(taps, &terminal, &tap, (cb_error)error),
                         error == CB_E_CERTIFICATE_EXPIRED || error == CB_E_CERTIFICATE_REVOKED);
}

/* Where a proof fails: hsmd believes it not, or the answers in the channel of its keys. */
static cb_error fail_at(const char *step_that_fails, cb_id *tap, cb_tap_outcome *outcome)
{
    *outcome = (cb_tap_outcome){.kind = 0};
    failing = step_that_fails;
    failure = CB_E_CARD_PROOF;
    assert_int_equal(start(tap), CB_OK);
    cb_error error = ask_for_tax(tap);
    if (!error)
        error = cb_tap_proof(taps, &terminal, tap, (cb_bytes){0}, outcome);
    failing = NULL;
    return error;
}

/* And it is counted first: the renewal only takes it back. */
static void
a_failed_proof_of_a_card_that_may_have_another_key_says_that_it_may_be_renewed(void **state)
{
    static const char *const steps[] = {"challenge", "finish", "activate"};
    static const cb_id other = {{8}};
    (void)state;
    kind_of_card = CB_PROFILE_PIV;
    led_to = (cb_failure_effect){.kind = CB_FAILURE_PROOF, .count = 1, .time = 77, .counts = true};
    for (size_t i = 0; i < 3; i++) {
        cb_id tap;
        cb_tap_outcome outcome, again;
        cb_failed_proof failed;
        assert_int_equal(fail_at(steps[i], &tap, &outcome), CB_E_CARD_PROOF);
        assert_int_equal(recorded, CB_E_CARD_PROOF);
        assert_int_equal(cb_taps_failed(taps).failed[CB_FAILURE_PROOF], i + 1);
        assert_true(cb_tap_may_renew(taps, &terminal, &tap, CB_E_CARD_PROOF));
        assert_false(cb_tap_may_renew(taps, &other, &tap, CB_E_CARD_PROOF));
        assert_int_equal(outcome.may_renew, i > 0);
        if (i > 0) { /* who did not hear it is told the same */
            assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &again),
                             CB_E_CARD_PROOF);
            assert_true(again.may_renew);
        }
        cb_tap_unexplained_take(taps->unexplained, &recorded_card, &terminal, &failed);
        assert_true(cb_id_same(&failed.tap, &tap));
        assert_int_equal(failed.time, 77);
        assert_true(failed.counts);
    }
}

static void
of_a_card_that_is_its_certificate_or_has_none_or_that_was_not_recorded_it_says_nothing(void **state)
{
    static const uint8_t kinds[] = {CB_PROFILE_JPKI, CB_PROFILE_SCP03, CB_PROFILE_NATIVE,
                                    CB_PROFILE_PIV};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_id tap;
        cb_tap_outcome outcome;
        kind_of_card = kinds[i];
        led_to = (cb_failure_effect){.kind = CB_FAILURE_PROOF, .count = 1};
        if (kinds[i] == CB_PROFILE_PIV)
            led_to.kind = CB_FAILURE_NONE;
        assert_int_equal(fail_at("activate", &tap, &outcome), CB_E_CARD_PROOF);
        assert_false(outcome.may_renew);
        assert_false(cb_tap_may_renew(taps, &terminal, &tap, CB_E_CARD_PROOF));
    }
}

static void whom_counting_has_ended_is_cut_off(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    open_again_with_ended();
    failing = "activate";
    failure = CB_E_PIN_WRONG;
    led_to = (cb_failure_effect){.kind = CB_FAILURE_WRONG_PIN, .count = 1, .suspended = true};
    assert_int_equal(run(&outcome), CB_E_PIN_WRONG);
    assert_int_equal(cut_off.card.bytes[0], 1);
    assert_true(cb_id_is_zero(&cut_off.terminal));
    failure = CB_E_CARD_PROOF;
    led_to = (cb_failure_effect){.kind = CB_FAILURE_PROOF, .count = 1, .stopped = true};
    assert_int_equal(run(&outcome), CB_E_CARD_PROOF);
    assert_true(cb_id_is_zero(&cut_off.card));
    assert_int_equal(cut_off.terminal.bytes[0], 7);
    assert_int_equal(cb_taps_failed(taps).failed[CB_FAILURE_PROOF], 1);
    assert_int_equal(cb_taps_failed(taps).suspended, 1);
    assert_int_equal(cb_taps_failed(taps).stopped, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(wrong_pins_that_the_card_signed_count_once_and_before_the_login),
        T(wrong_pins_that_cannot_be_counted_end_the_tap),
        T(what_hsmd_did_not_believe_is_no_word_of_the_card),
        T(who_speaks_for_a_card_without_its_keys_is_counted_at_that_card),
        T(which_of_its_proofs_it_was_goes_with_the_tap_of_each_card_that_says_it),
        T(only_a_proof_that_hsmd_believed_is_heard),
        T(a_proof_of_a_card_that_is_not_active_is_looked_at_all_the_same),
        T(a_number_that_hsmd_has_not_believed_is_nobodys),
        T(which_errors_another_tap_may_mend),
        T(a_failed_proof_of_a_card_that_may_have_another_key_says_that_it_may_be_renewed),
        T(of_a_card_that_is_its_certificate_or_has_none_or_that_was_not_recorded_it_says_nothing),
        T(whom_counting_has_ended_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
