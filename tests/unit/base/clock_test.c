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

/* A year forward, and back when it is noticed; a second a minute, for years; and looks in between. */
static void a_clock_that_is_set_is_noticed_and_believed_after_a_while(void **state)
{
    enum { MINUTE = 60 };
    const int64_t hour = 3600 * CB_SECOND, day = 24 * hour, year = 365 * day;
    cb_clock_watch watch = {.begun = false};
    int64_t running = 7 * hour, wall = 50 * year;
    (void)state;
    assert_true(cb_clock_steady(&watch, wall, running, hour, day));
    for (int i = 0; i < 100000; i++) {
        running += MINUTE * CB_SECOND;
        wall += (MINUTE + 1) * CB_SECOND;
        assert_true(cb_clock_steady(&watch, wall, running, hour, day));
    }
    for (int back = 0; back < 2; back++) {
        wall += back ? -year : year;
        assert_false(cb_clock_steady(&watch, wall, running, hour, day));
        wall += day - 1;
        running += day - 1;
        assert_false(cb_clock_steady(&watch, wall, running, hour, day));
        assert_true(cb_clock_steady(&watch, wall + 1, running + 1, hour, day));
    }
    assert_true(cb_clock_running_us() >= cb_clock_monotonic_us() - CB_SECOND);
}

static void a_day_is_one_that_there_is(void **state)
{
    static const char *const none[] = {"",           "2026-02-30",  "2025-02-29", "2026-13-01",
                                       "2026-00-10", "2026-04-31",  "2026-4-010", " 2026-4-10",
                                       "+026-04-10", "2026-04-10 ", "2026/04/10", "1970-01-01",
                                       "1969-12-31", "tomorrow--"};
    int64_t end = 0;
    (void)state;
    assert_true(cb_day_end("2024-02-29", &end));
    assert_true(end == INT64_C(1709251200) * CB_SECOND);
    assert_true(cb_day_end("1970-01-02", &end));
    assert_true(end == INT64_C(2 * 24 * 3600) * CB_SECOND);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(cb_day_end(none[i], &end));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_is_one_that_there_is),
        cmocka_unit_test(a_clock_that_is_set_is_noticed_and_believed_after_a_while),
        cmocka_unit_test(any_number_is_a_deadline),
        cmocka_unit_test(what_is_left_is_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
