/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"

#include <limits.h>

#include "tests/unit/base/test.h"

/* Deadlines come in messages: a number that is no time at all is over, or never. */
static void any_number_is_a_deadline(void **state)
{
    (void)state;
    assert_int_equal(cb_deadline_left_ms(INT64_MIN), 0);
    assert_int_equal(cb_deadline_left_ms(-1), 0);
    assert_int_equal(cb_deadline_left_ms(INT64_MAX), INT_MAX);
    assert_int_equal(cb_deadline_left_ms(cb_deadline_before(INT64_MIN, CB_SECOND)), 0);
    assert_true(cb_deadline_before(INT64_MIN, CB_SECOND) == INT64_MIN);
    assert_true(cb_deadline_before(INT64_MIN + CB_SECOND, CB_SECOND) == INT64_MIN);
    assert_true(cb_deadline_before(5 * CB_SECOND, CB_SECOND) == 4 * CB_SECOND);
}

static void what_is_left_is_rounded_up(void **state)
{
    (void)state;
    int left = cb_deadline_left_ms(cb_deadline_in(3600 * CB_SECOND));
    assert_true(left > 0 && left <= 3600 * 1000);
    assert_true(cb_deadline_left_ms(cb_deadline_in(3600 * CB_SECOND) + 1) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_is_a_deadline),
        cmocka_unit_test(what_is_left_is_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
