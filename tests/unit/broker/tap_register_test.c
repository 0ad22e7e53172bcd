/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a tap that registers its card.
 */
#include "broker/core/registration.h"
#include "tests/unit/broker/tap_binding_world.h"

/* ---- What is replaced ---- */

cb_error cb_hsm_tap_register(cb_hsm *hsm, const cb_tap_context *context,
                             const cb_foreign_reading *reading, const cb_registration_word *word,
                             cb_buf *script)
{
    (void)hsm, (void)script;
    assert_int_equal(context->purpose, CB_TAP_REGISTER);
    assert_int_equal(context->level, CB_LEVEL_NONE);
    assert_int_equal(reading->profile, CB_PROFILE_PIV);
    assert_int_equal(word->point[0], 4);
    return step("hsmd");
}

cb_error cb_registration_open(cb_store *store, const cb_id *code, const cb_id *card,
                              uint8_t profile, const cb_card_rules *rules)
{
    (void)store, (void)rules;
    assert_int_equal(profile, CB_PROFILE_PIV);
    assert_false(cb_id_is_zero(code));
    assert_int_equal(card->bytes[0], 1);
    return step("open");
}

cb_error cb_registration_sequence(cb_store *store, const cb_id *code, uint64_t *sequence)
{
    (void)store, (void)code;
    *sequence = 5;
    return step("sequence");
}

static cb_id replaced_now; /* what the code's other card is */

cb_error cb_registration_use_code(cb_store *store, const cb_registration_use *use, cb_card *out,
                                  cb_registration_replaced *replaced)
{
    (void)store;
    assert_int_equal(use->counter, PROOFS);
    fill_bound(use->binding, use->certificates, out);
    replaced->card = replaced_now;
    return step("record");
}

void cb_affected_free(cb_affected *affected) { assert_null(affected->sessions); }

/* ---- The tap ---- */

static int open_taps(void **state)
{
    (void)state;
    return open_taps_for(CB_TAP_REGISTER);
}

static cb_error ask(size_t keys)
{
    unsigned expires = 0;
    cb_buf script = CB_BUF(64);
    cb_tap_registration what = {.reading = reading_of(keys, CB_BYTES_OF(der)),
                                .word = {.point = {4}}};
    put_begun();
    cb_error error = cb_tap_register(&taps, &terminal, &tap, &what, &script, &expires);
    assert_int_equal(expires, error ? 0 : 60);
    cb_buf_free(&script);
    return error;
}

static cb_error end(cb_taps *of, const cb_tap_entry *entry, cb_bytes answers,
                    cb_tap_outcome *outcome)
{
    return cb_tap_register_end(of, entry, answers, outcome);
}

static void it_runs_in_order(void **state)
{
    (void)state;
    runs_in_order("permit recognise open issuer hsmd finish sequence bind bind record");
}

static void the_issuer_is_asked_about_each_certificate(void **state)
{
    (void)state;
    assert_int_equal(ask(3), CB_OK);
    assert_string_equal(trace, "permit recognise open issuer issuer issuer hsmd");
}

static void each_step_can_fail_and_none_comes_after_it(void **state)
{
    static const char *const steps[] = {"recognise", "open", "issuer", "hsmd"};
    (void)state;
    each_can_fail(steps, sizeof steps / sizeof *steps);
}

static void each_step_of_the_end_can_fail(void **state)
{
    static const char *const steps[] = {"finish", "sequence", "bind", "record"};
    (void)state;
    each_of_the_end_can_fail(steps, sizeof steps / sizeof *steps);
}

/* It is told of whom, so that the card is suspended that there are two of. */
static void a_card_whose_number_does_not_follow_is_named_with_it(void **state)
{
    cb_tap_outcome outcome;
    (void)state;
    assert_int_equal(ask(1), CB_OK);
    failing = "record";
    failure = CB_E_CARD_COUNTER;
    assert_int_equal(finish(&outcome), CB_E_CARD_COUNTER);
    assert_int_equal(outcome.card.bytes[0], 1);
    assert_int_equal(outcome.counter, PROOFS);
    assert_true(outcome.proof_heard);
}

static cb_session_match cut_off;

static void note_ended(void *context, const cb_session_match *match, const cb_affected *affected)
{
    (void)context, (void)affected;
    cut_off = *match;
}

/* Whether the record of it is signed yet or not: what the old card opened ends now. */
static void the_card_that_is_replaced_is_cut_off(void **state)
{
    static const cb_error ends[] = {CB_OK, CB_E_UNSIGNED};
    cb_tap_outcome outcome;
    (void)state;
    taps.parts.ended = note_ended;
    for (size_t i = 0; i < 2; i++) {
        for (uint8_t old = 0; old < 2; old++) {
            cut_off = (cb_session_match){.card = {{0}}};
            replaced_now = (cb_id){{old}};
            assert_int_equal(ask(1), CB_OK);
            failing = ends[i] ? "record" : NULL;
            failure = ends[i];
            assert_int_equal(finish(&outcome), ends[i]);
            assert_int_equal(cut_off.card.bytes[0], old);
            assert_int_equal(outcome.replaces.bytes[0], ends[i] ? 0 : old);
        }
    }
    replaced_now = (cb_id){{0}};
}

static void a_terminal_tries_few_a_minute_and_is_told_to_wait(void **state)
{
    (void)state;
    failing = "hsmd";
    failure = CB_E_REGISTRATION_CODE;
    for (int i = 0; i < CB_TAP_CODES_A_MINUTE; i++)
        assert_int_equal(ask(1), CB_E_REGISTRATION_CODE);
    trace[0] = 0;
    assert_int_equal(ask(1), CB_E_REGISTRATION_RATE);
    assert_string_equal(trace, "permit");
    assert_int_equal(early, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(it_runs_in_order),
        T(the_issuer_is_asked_about_each_certificate),
        T(each_step_can_fail_and_none_comes_after_it),
        T(no_issuer_that_is_known_means_no),
        T(each_step_of_the_end_can_fail),
        T(a_card_whose_number_does_not_follow_is_named_with_it),
        T(the_card_that_is_replaced_is_cut_off),
        T(a_card_of_the_brokers_own_is_not_bound_so),
        T(what_is_refused_before_its_rate_was_asked_takes_from_it),
        T(a_terminal_that_is_told_to_wait_has_its_tap_as_it_was),
        T(a_terminal_tries_few_a_minute_and_is_told_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
