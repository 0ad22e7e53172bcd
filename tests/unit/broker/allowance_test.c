/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal may have stored of its own log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "broker/core/allowance.h"

static int64_t now;

static const cb_id one = {{1}}, other = {{2}}, beside = {{3}};

static cb_allowance *full(void)
{
    cb_allowance *allowance = NULL;
    now = CB_SECOND;
    assert_int_equal(cb_allowance_open(&allowance), CB_OK);
    return allowance;
}

static void it_is_used_up_and_fills_by_the_minute(void **state)
{
    cb_allowance *a = full();
    (void)state;
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST + 1, now), CB_E_TERMINAL_RATE);
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST, now), CB_OK);
    assert_int_equal(cb_allowance_take(a, &one, 1, now), CB_E_TERMINAL_RATE);
    assert_int_equal(cb_allowance_take(a, &other, 1, now), CB_OK); /* each has its own */
    now += 60 * CB_SECOND;
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_A_MINUTE + 1, now),
                     CB_E_TERMINAL_RATE);
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_A_MINUTE, now), CB_OK);
    assert_int_equal(cb_allowance_take(a, &one, 1, now), CB_E_TERMINAL_RATE);
    cb_allowance_close(&a);
    assert_null(a);
}

/* Asking often, in steps in which less than a byte comes, neither loses nor gains any. */
static void asking_often_changes_nothing(void **state)
{
    cb_allowance *a = full();
    (void)state;
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST, now), CB_OK);
    for (int i = 0; i < 60 * 1000; i++) {
        now += CB_MILLISECOND;
        assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST, now), CB_E_TERMINAL_RATE);
    }
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_A_MINUTE + 2, now),
                     CB_E_TERMINAL_RATE);
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_A_MINUTE - 1, now), CB_OK);
    cb_allowance_close(&a);
}

static void a_tap_gives_what_it_is_said_with_and_no_more_than_all(void **state)
{
    cb_allowance *a = full();
    (void)state;
    cb_allowance_give(a, &one, CB_ALLOWANCE_A_TAP, now); /* full anyway */
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST, now), CB_OK);
    cb_allowance_give(a, &one, CB_ALLOWANCE_A_TAP, now);
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_A_TAP + 1, now), CB_E_TERMINAL_RATE);
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_A_TAP, now), CB_OK);
    for (int i = 0; i < 2 * CB_ALLOWANCE_MOST / CB_ALLOWANCE_A_TAP; i++)
        cb_allowance_give(a, &one, CB_ALLOWANCE_A_TAP, now);
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST + 1, now), CB_E_TERMINAL_RATE);
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST, now), CB_OK);
    cb_allowance_close(&a);
}

static void who_was_not_seen_for_long_is_forgotten_and_full(void **state)
{
    cb_allowance *a = full();
    (void)state;
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST, now), CB_OK);
    assert_int_equal(cb_allowance_take(a, &beside, CB_ALLOWANCE_MOST, now), CB_OK);
    now += 24 * 3600 * CB_SECOND;
    assert_int_equal(cb_allowance_take(a, &beside, CB_ALLOWANCE_MOST, now), CB_OK);
    assert_int_equal(cb_allowance_take(a, &one, CB_ALLOWANCE_MOST, now), CB_OK);
    assert_int_equal(cb_allowance_take(a, &one, 1, now), CB_E_TERMINAL_RATE);
    cb_allowance_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_used_up_and_fills_by_the_minute),
        cmocka_unit_test(asking_often_changes_nothing),
        cmocka_unit_test(a_tap_gives_what_it_is_said_with_and_no_more_than_all),
        cmocka_unit_test(who_was_not_seen_for_long_is_forgotten_and_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
