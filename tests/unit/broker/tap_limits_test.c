/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How often a terminal may tap, and how many taps it has under way.
 */
#include <unistd.h>

#include "tests/unit/broker/tap_world.h"

static void a_terminal_is_limited(void **state)
{
    (void)state;
    cb_id tap;
    terminal_rate = 2;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(start(&tap), CB_OK);
        assert_int_equal(ask_for_tax(&tap), i < 2 ? CB_OK : CB_E_TERMINAL_RATE);
    }
    terminal_rate = 0;
    terminal_state = CB_TERMINAL_REVOKED;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_REVOKED);
}

static void a_terminal_with_software_that_is_not_listed_gets_no_tap(void **state)
{
    (void)state;
    cb_id tap;
    terminal_software = CB_E_TERMINAL_SOFTWARE;
    assert_int_equal(start(&tap), CB_E_TERMINAL_SOFTWARE);
    terminal_software = CB_OK;
    assert_int_equal(start(&tap), CB_OK);
    terminal_software = CB_E_TERMINAL_SOFTWARE; /* taken off the list meanwhile */
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_SOFTWARE);
    terminal_software = CB_OK;
    assert_int_equal(ask_for_tax(&tap), CB_E_TAP_UNKNOWN);
}

/* hsmd does not hear of it: it might do its part, and T1 comes too late for that. */
static void a_terminal_of_which_the_log_says_otherwise_asks_no_card(void **state)
{
    (void)state;
    cb_id tap;
    assert_int_equal(start(&tap), CB_OK);
    terminal_record = CB_E_HSM_RECORD;
    trace[0] = 0;
    assert_int_equal(ask_for_tax(&tap), CB_E_HSM_RECORD);
    assert_null(strstr(trace, "challenge"));
    assert_int_equal(recorded, CB_E_HSM_RECORD);
    terminal_record = CB_OK;
    assert_int_equal(ask_for_tax(&tap), CB_E_TAP_UNKNOWN);
}

static void a_terminal_has_only_so_many_taps_under_way(void **state)
{
    (void)state;
    cb_id tap;
    cb_error error = CB_OK;
    int begun = 0;
    terminal_rate = 10000;
    for (; !error && begun < 200; begun++) {
        error = start(&tap);
        if (!error)
            assert_int_equal(ask_for_tax(&tap), CB_OK);
    }
    assert_int_equal(error, CB_E_BUSY);
    assert_true(begun < 70);
}

/* One more for each card of another profile, that is: nobody goes on with it. */
static void a_terminal_that_begins_many_taps_loses_the_oldest_of_them(void **state)
{
    (void)state;
    static const cb_id other = {{8}};
    cb_id first, second, tap, theirs;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    unsigned expires;
    assert_int_equal(cb_tap_start(taps, &other, CB_PROFILE_NATIVE, &theirs, &script, &expires),
                     CB_OK);
    cb_buf_free(&script);
    assert_int_equal(start(&first), CB_OK);
    assert_int_equal(start(&second), CB_OK);
    assert_int_equal(ask_for_tax(&second), CB_OK);
    for (int i = 0; i < 63; i++) {
        usleep(2); /* so that one is the oldest */
        trace[0] = 0;
        assert_int_equal(start(&tap), CB_OK);
        assert_string_equal(trace, i < 62 ? "begin" : "end begin");
    }
    assert_int_equal(cb_taps_count(taps), 65);
    assert_int_equal(ask_for_tax(&first), CB_E_TAP_UNKNOWN);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    assert_int_equal(cb_tap_break_off(taps, &terminal, &second, CB_E_READER), CB_OK);
    assert_int_equal(cb_tap_break_off(taps, &other, &theirs, CB_E_READER), CB_OK);
}

static void taps_that_are_begun_and_broken_off_without_end_do_not_fill_the_record(void **state)
{
    (void)state;
    terminal_rate = 2;
    for (int i = 0; i < 5; i++) {
        cb_id tap;
        assert_int_equal(start(&tap), CB_OK);
        trace[0] = 0;
        assert_int_equal(cb_tap_break_off(taps, &terminal, &tap, CB_E_CARD_REMOVED), CB_OK);
        assert_string_equal(trace, i < 2 ? "refused end" : "end");
    }
}

static unsigned refusals_recorded(void)
{
    unsigned count = 0;
    for (const char *at = trace; (at = strstr(at, "refused")) != NULL; at++)
        count++;
    return count;
}

static void nor_do_questions_that_no_card_could_answer(void **state)
{
    static const cb_tap_question impossible[] = {
        {.purpose = CB_TAP_AUTHENTICATE, .service = "tax"}, /* above a password's level */
        {.purpose = CB_TAP_PIN_CHANGE},                     /* which is no card's */
        {.purpose = CB_TAP_PASSWORD_CHANGE}};               /* where none are taken */
    (void)state;
    kind_of_card = CB_PROFILE_PASSWORD;
    terminal_rate = 2;
    trace[0] = 0;
    for (int i = 0; i < 6; i++) {
        cb_id tap;
        assert_int_equal(start(&tap), CB_OK);
        cb_error error = ask(&tap, &impossible[i % 3]);
        assert_false(cb_tap_may_ask_again(error));
        assert_int_not_equal(error, CB_OK);
        assert_int_equal(ask(&tap, &impossible[0]), CB_E_TAP_UNKNOWN);
    }
    assert_int_equal(refusals_recorded(), 2);
}

static void a_terminal_at_which_much_fails_taps_less_often(void **state)
{
    (void)state;
    cb_id tap;
    failed_here = 5;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(start(&tap), CB_OK);
        assert_int_equal(ask_for_tax(&tap), i < 1 ? CB_OK : CB_E_TERMINAL_RATE);
    }
    cb_failure_limits limits = {.slow = 0};
    cb_taps_set_limits(taps, &limits);
    assert_int_equal(ask_for_tax(&tap), CB_OK);
    limits = (cb_failure_limits){.slow = 1, .slow_rate = 100};
    cb_taps_set_limits(taps, &limits);
    terminal_rate = 1; /* never more often than it may at all */
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_RATE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(a_terminal_is_limited),
        T(a_terminal_with_software_that_is_not_listed_gets_no_tap),
        T(a_terminal_of_which_the_log_says_otherwise_asks_no_card),
        T(a_terminal_has_only_so_many_taps_under_way),
        T(a_terminal_that_begins_many_taps_loses_the_oldest_of_them),
        T(taps_that_are_begun_and_broken_off_without_end_do_not_fill_the_record),
        T(nor_do_questions_that_no_card_could_answer),
        T(a_terminal_at_which_much_fails_taps_less_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
