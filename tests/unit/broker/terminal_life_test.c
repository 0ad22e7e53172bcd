/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The life of a terminal at the broker: which states follow which, and what each lets it do.
 */
#include "broker/core/state.h"
#include "tests/unit/broker/support.h"

static cb_error change(world *w, cb_terminal_act act)
{
    return cb_terminal_change(w->store, "test", &w->terminal.id, act, NULL, NULL);
}

static cb_error found(world *w)
{
    cb_terminal terminal;
    return cb_terminal_find(w->store, &w->terminal.key, &terminal);
}

static void only_what_the_table_lists_follows(void **state)
{
    static const uint8_t acts[] = {CB_TERMINAL_ACTIVATE,   CB_TERMINAL_DEACTIVATE,
                                   CB_TERMINAL_REACTIVATE, CB_TERMINAL_MAINTAIN,
                                   CB_TERMINAL_MAINTAINED, CB_TERMINAL_REVOKE,
                                   CB_TERMINAL_DISPOSE};
    static const struct {
        uint8_t from, to[7];
    } rows[] = {
        {CB_TERMINAL_REGISTERED, {CB_TERMINAL_ACTIVE, 0, 0, 0, 0, CB_TERMINAL_REVOKED, 0}},
        {CB_TERMINAL_ACTIVE,
         {0, CB_TERMINAL_DEACTIVATED, 0, CB_TERMINAL_MAINTENANCE, 0, CB_TERMINAL_REVOKED, 0}},
        {CB_TERMINAL_DEACTIVATED, {0, 0, CB_TERMINAL_ACTIVE, 0, 0, CB_TERMINAL_REVOKED, 0}},
        {CB_TERMINAL_MAINTENANCE, {0, 0, 0, 0, CB_TERMINAL_ACTIVE, CB_TERMINAL_REVOKED, 0}},
        {CB_TERMINAL_REVOKED, {0, 0, 0, 0, 0, 0, CB_TERMINAL_DISPOSED}},
        {CB_TERMINAL_DISPOSED, {0}},
        {0, {0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t j = 0; j < sizeof acts; j++) {
            uint8_t next = 0;
            cb_error error = cb_terminal_next(rows[i].from, acts[j], &next);
            assert_int_equal(error, rows[i].to[j] ? CB_OK : CB_E_STATE);
            assert_int_equal(next, rows[i].to[j]);
        }
    }
}

static void a_terminal_that_is_not_active_is_refused_with_its_reason(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_E_STATE);
    assert_int_equal(change(&w, CB_TERMINAL_ACTIVATE), CB_E_ARGUMENT); /* takes a code */
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
    assert_int_equal(found(&w), CB_E_TERMINAL_INACTIVE);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_TERMINAL_INACTIVE);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_E_STATE);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    assert_int_equal(found(&w), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_REVOKE), CB_OK);
    assert_int_equal(found(&w), CB_E_TERMINAL_REVOKED);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_E_STATE);
    assert_int_equal(change(&w, CB_TERMINAL_DISPOSE), CB_OK);
    assert_int_equal(found(&w), CB_E_TERMINAL_DISPOSED);
    assert_int_equal(change(&w, CB_TERMINAL_DISPOSE), CB_E_STATE);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    assert_int_equal(findings_of(NULL), 0);
    world_end(&w);
}

static void disposing_of_an_active_terminal_revokes_it_in_the_feed(void **state)
{
    world w;
    cb_affected affected = {0};
    cb_feed_head head;
    (void)state;
    world_begin(&w);
    assert_int_equal(
        cb_terminal_change(w.store, "test", &w.terminal.id, CB_TERMINAL_DISPOSE, "sold", &affected),
        CB_OK);
    assert_int_equal(cb_feed_head_now(w.store, &head), CB_OK);
    assert_int_equal(affected.feed_number, head.number);
    assert_true(head.number > 0);
    assert_int_equal(found(&w), CB_E_TERMINAL_DISPOSED);
    cb_affected_free(&affected);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    assert_int_equal(findings_of(NULL), 0);
    world_end(&w);
}

static void a_row_set_back_to_active_by_hand_serves_nobody(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
    world_close(&w);
    tamper(&w, "UPDATE terminal SET state = 'active'");
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&w);
}

static void a_row_changed_while_deactivated_is_not_activated_again(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
    world_close(&w);
    tamper(&w, "UPDATE terminal SET rate = 77");
    world_open(&w);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_E_HSM_RECORD);
    assert_int_equal(change(&w, CB_TERMINAL_REVOKE),
                     CB_OK); /* nothing keeps that from being done */
    world_end(&w);
}

static void a_pause_in_the_middle_of_a_tap_ends_it(void **state)
{
    world w;
    cb_intent_grant grant;
    (void)state;
    world_begin(&w);
    cb_intent_request request = intent_of(&w);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    cb_result_request result = {.tap = request.context.tap};
    assert_int_equal(cb_decide_result(w.store, &result), CB_E_TAP_WITHDRAWN);
    cb_intent_grant_free(&grant);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_the_table_lists_follows),
        cmocka_unit_test(a_terminal_that_is_not_active_is_refused_with_its_reason),
        cmocka_unit_test(disposing_of_an_active_terminal_revokes_it_in_the_feed),
        cmocka_unit_test(a_row_set_back_to_active_by_hand_serves_nobody),
        cmocka_unit_test(a_row_changed_while_deactivated_is_not_activated_again),
        cmocka_unit_test(a_pause_in_the_middle_of_a_tap_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
