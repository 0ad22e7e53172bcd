/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a tap: each step can fail in turn.
 */
#include "tests/unit/broker/tap_world.h"

static void a_tap_runs_in_order_and_gives_the_session_out_last(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    assert_int_equal(run(&outcome), CB_OK);
    assert_string_equal(trace, "begin allows challenge finish lookup state activate intent open login use "
                               "enter result end");
    assert_string_equal(cb_buf_cstr(&outcome.value), "https://one-time");
    assert_int_equal(outcome.kind, CB_SESSION_RELAYED);
    assert_int_equal(receipts_recorded, 1);
    cb_tap_outcome_free(&outcome);
}

/* A registration, for one. */
static void what_is_for_no_service_is_permitted_without_one(void **state)
{
    const cb_tap_context context = {
        .terminal = {{7}}, .profile = CB_PROFILE_NATIVE, .purpose = CB_TAP_REGISTER};
    (void)state;
    assert_int_equal(cb_tap_permit(taps, &context, NULL, false), CB_OK);
    terminal_state = CB_TERMINAL_REVOKED;
    assert_int_equal(cb_tap_permit(taps, &context, NULL, false), CB_E_TERMINAL_REVOKED);
}

static void a_token_is_given_out_and_no_session_kept(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    login_kind = CB_SESSION_TOKEN;
    assert_int_equal(run(&outcome), CB_OK);
    assert_null(strstr(trace, "enter"));
    assert_string_equal(cb_buf_cstr(&outcome.value), "{\"access_token\":\"t\"}");
    cb_tap_outcome_free(&outcome);
}

/* Whatever step fails: nothing is given out, the failure is recorded once, the tap ends in hsmd. */
static void every_step_can_fail(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        const char *after; /* what must have happened by the end */
        const char *never; /* and what must not */
    } cases[] = {
        {"challenge", "refused", "finish"}, {"finish", "refused", "lookup"},
        {"lookup", "refused", "activate"},  {"state", "refused", "activate"},
        {"activate", "refused", "intent"},  {"intent", "refused", "open"},
        {"open", "failed", "login"},        {"login", "failed", "result"},
        {"use", "failed", "enter"},         {"enter", "logout", "result"},
        {"result", "withdraw", "failed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        trace[0] = 0;
        failing = cases[i].step;
        failure = CB_E_CARD_REVOKED;
        free(entered);
        entered = NULL;
        assert_int_equal(run(&outcome), CB_E_CARD_REVOKED);
        assert_int_equal(outcome.value.len, 0);
        assert_true(cb_id_is_zero(&outcome.session));
        assert_non_null(strstr(trace, cases[i].after));
        assert_null(strstr(trace, cases[i].never));
        assert_string_equal(trace + strlen(trace) - 4, " end");
        if (strcmp(cases[i].step, "result") != 0)
            assert_int_equal(recorded, CB_E_CARD_REVOKED);
        cb_tap_outcome_free(&outcome);
    }
}

static void a_token_of_a_withdrawn_tap_is_logged_out_and_not_given(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    login_kind = CB_SESSION_TOKEN;
    failing = "result";
    failure = CB_E_TAP_WITHDRAWN;
    assert_int_equal(run(&outcome), CB_E_TAP_WITHDRAWN);
    assert_int_equal(outcome.value.len, 0);
    assert_non_null(strstr(trace, "result logout"));
    cb_tap_outcome_free(&outcome);
}

static void a_key_that_was_retired_after_the_intent_withdraws_the_tap(void **state)
{
    (void)state;
    static const char *const steps[] = {"open", "use"};
    for (size_t i = 0; i < 2; i++) {
        cb_tap_outcome outcome;
        failing = steps[i];
        failure = CB_E_HSM_KEY_RETIRED;
        assert_int_equal(run(&outcome), CB_E_TAP_WITHDRAWN);
        assert_int_equal(recorded, CB_E_TAP_WITHDRAWN);
        cb_tap_outcome_free(&outcome);
    }
}

static void hsmd_is_told_of_revocations_it_has_missed(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    behind = 1;
    assert_int_equal(run(&outcome), CB_OK);
    assert_non_null(strstr(trace, "behind extend activate"));
    cb_tap_outcome_free(&outcome);
    behind = 99;
    fed = false;
    assert_int_equal(run(&outcome), CB_E_HSM_FEED_BEHIND);
    cb_tap_outcome_free(&outcome);
}

/* Somebody else's revocation came between reading the head and hsmd's look at it. */
static void a_revocation_of_another_card_does_not_refuse_this_one(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    behind = 3;
    behind_error = CB_E_HSM_ROLLED_BACK;
    assert_int_equal(run(&outcome), CB_OK);
    cb_tap_outcome_free(&outcome);
    behind = 99;
    assert_int_equal(run(&outcome), CB_E_HSM_ROLLED_BACK);
    cb_tap_outcome_free(&outcome);
}

static void a_connector_cannot_use_the_key_without_end(void **state)
{
    (void)state;
    cb_tap_outcome outcome;
    uses = CB_RESULT_RECEIPTS + 1;
    assert_int_equal(run(&outcome), CB_E_HSM_ACTIVATION);
    assert_int_equal(receipts_recorded, CB_RESULT_RECEIPTS);
    cb_tap_outcome_free(&outcome);
}

/* Not when the card ends by a day of its own, which no certificate puts off. */
static void newer_certificates_are_asked_for_when_the_first_of_them_ends_soon(void **state)
{
    const int64_t day = 86400 * CB_SECOND, now = cb_clock_wall_us();
    const struct {
        int64_t card, first; /* ends in so many days; 0: never */
        bool asked;
    } ends[] = {{1, 700, false}, {700, 1, true}, {1, 1, true}, {700, 700, false}, {0, 1, true},
                {1, 0, false}};
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        for (int configured = 0; configured < 2; configured++) {
            cb_tap_outcome outcome;
            kind_of_card = CB_PROFILE_JPKI;
            taps->parts.renewal = configured * 10 * day;
            card_expires = ends[i].card ? now + ends[i].card * day : 0;
            certificate_ends = ends[i].first ? now + ends[i].first * day : 0;
            assert_int_equal(run(&outcome), CB_OK);
            assert_int_equal(outcome.may_renew, configured && ends[i].asked);
            cb_tap_outcome_free(&outcome);
            free(entered);
            entered = NULL;
        }
    }
}

static void steps_come_once_and_in_order_and_from_the_same_terminal(void **state)
{
    (void)state;
    static const cb_id other = {{8}};
    cb_id tap;
    cb_tap_outcome outcome;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(cb_tap_proof(taps, &other, &tap, (cb_bytes){0}, &outcome), CB_E_TAP_UNKNOWN);
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_E_TAP_ORDER);
    assert_int_equal(ask_for_tax(&tap), CB_E_TAP_UNKNOWN);
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TAP_ORDER);
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_E_TAP_UNKNOWN);
}

static void a_mistake_can_be_put_right_while_the_card_stays(void **state)
{
    (void)state;
    cb_id tap;
    service_level = CB_LEVEL_PIN;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_PIN_REQUIRED);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_AUTHENTICATE, .service = "no"}),
                     CB_E_SERVICE_UNKNOWN);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_PIN_CHANGE}), CB_E_ARGUMENT);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = 77, .pin = CB_BYTES_OF("p")}),
                     CB_E_ARGUMENT);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_AUTHENTICATE,
                                                  .service = "tax",
                                                  .pin = CB_BYTES_OF("pin")}),
                     CB_OK);
}

/* The next question may be another one: nothing of this may stand in its place. */
static void a_mistake_leaves_nothing_in_the_tap(void **state)
{
    (void)state;
    cb_id tap;
    cb_tap_entry *entry;
    service_level = CB_LEVEL_PIN;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_PIN_REQUIRED);
    assert_int_equal(cb_tap_table_take(taps->table, &tap, &terminal, CB_TAP_BEGUN, &entry), CB_OK);
    assert_string_equal(entry->context.service, "");
    assert_int_equal(entry->context.purpose, 0);
    assert_int_equal(entry->context.level, CB_LEVEL_NONE);
    cb_tap_table_put(taps->table, entry);
}

static void a_pin_change_uses_no_key_and_is_recorded(void **state)
{
    (void)state;
    cb_id tap;
    cb_tap_outcome outcome;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &(cb_tap_question){.purpose = CB_TAP_PIN_CHANGE,
                                                  .pin = CB_BYTES_OF("pin")}),
                     CB_OK);
    assert_int_equal(cb_tap_proof(taps, &terminal, &tap, (cb_bytes){0}, &outcome), CB_OK);
    assert_string_equal(trace, "begin challenge finish lookup state activate pin end");
    cb_tap_outcome_free(&outcome);
}

static void a_profile_that_is_not_known_begins_nothing(void **state)
{
    (void)state;
    cb_id tap;
    cb_buf script = CB_BUF(100);
    unsigned expires;
    assert_int_equal(cb_tap_start(taps, &terminal, 99, &tap, &script, &expires), CB_E_ARGUMENT);
    assert_string_equal(trace, "");
}

/* Some cards sign with their PIN alone: also where they are bound at a level that does not tell. */
static void a_pin_that_the_terminal_sees_is_known_whatever_level_it_reaches(void **state)
{
    (void)state;
    cb_id tap;
    cb_tap_outcome outcome;
    cb_tap_question question = {.purpose = CB_TAP_AUTHENTICATE, .service = "tax"};
    kind_of_card = CB_PROFILE_JPKI;
    asks_pin = CB_SCRIPT_PIN_ASCII;
    assert_int_equal(run(&outcome), CB_OK);
    assert_true(intended_pin_seen);
    cb_tap_outcome_free(&outcome);
    free(entered);
    entered = NULL;
    kind_of_card = CB_PROFILE_NATIVE; /* encrypted to the card */
    assert_int_equal(run(&outcome), CB_OK);
    assert_false(intended_pin_seen);
    cb_tap_outcome_free(&outcome);
    kind_of_card = CB_PROFILE_JPKI;
    pad_needed = true; /* then it is not asked for, let alone typed */
    assert_int_equal(start(&tap), CB_OK);
    trace[0] = 0;
    assert_int_equal(ask(&tap, &question), CB_E_PIN_PAD);
    assert_non_null(strstr(trace, "challenge refused end"));
    assert_int_equal(recorded, CB_E_PIN_PAD);
    question.pad = true;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_OK);
    asks_pin = 0; /* a key that signs without it */
    question.pad = false;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &question), CB_OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(a_tap_runs_in_order_and_gives_the_session_out_last),
        T(what_is_for_no_service_is_permitted_without_one),
        T(a_token_is_given_out_and_no_session_kept),
        T(every_step_can_fail),
        T(a_token_of_a_withdrawn_tap_is_logged_out_and_not_given),
        T(a_key_that_was_retired_after_the_intent_withdraws_the_tap),
        T(hsmd_is_told_of_revocations_it_has_missed),
        T(a_revocation_of_another_card_does_not_refuse_this_one),
        T(a_connector_cannot_use_the_key_without_end),
        T(steps_come_once_and_in_order_and_from_the_same_terminal),
        T(newer_certificates_are_asked_for_when_the_first_of_them_ends_soon),
        T(a_mistake_can_be_put_right_while_the_card_stays),
        T(a_mistake_leaves_nothing_in_the_tap),
        T(a_pin_change_uses_no_key_and_is_recorded),
        T(a_profile_that_is_not_known_begins_nothing),
        T(a_pin_that_the_terminal_sees_is_known_whatever_level_it_reaches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
