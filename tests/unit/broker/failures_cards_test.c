/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is counted of wrong PINs and failed proofs, and which cards it suspends.
 */
#include "failures_stage.h"

/* ---- What is counted ---- */

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
    verify_and_end(&w);
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
    verify_and_end(&w);
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
    verify_and_end(&w);
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
    verify_and_end(&w);
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
    verify_and_end(&w);
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
    verify_and_end(&w);
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
    verify_and_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_pin_counts_for_card_holder_and_terminal),
        cmocka_unit_test(a_tap_that_succeeds_ends_the_row_and_only_one_with_the_pin_that_of_pins),
        cmocka_unit_test(a_login_that_fails_ends_no_row),
        cmocka_unit_test(too_many_wrong_pins_in_a_row_suspend_the_card),
        cmocka_unit_test(too_many_in_a_day_suspend_it_whatever_is_between),
        cmocka_unit_test(wrong_pins_that_a_terminal_kept_to_itself_count_as_well),
        cmocka_unit_test(zero_is_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
