/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of the levels of assurance, which is not that of their numbers.
 */
#include "cardlink/level.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const uint8_t order[] = {CB_LEVEL_NONE, CB_LEVEL_PASSWORD, CB_LEVEL_POSSESSION,
                                CB_LEVEL_TERMINAL_PIN, CB_LEVEL_PIN};

enum { LEVELS = sizeof order };

static void each_reaches_itself_and_what_is_less(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LEVELS; i++) {
        for (unsigned j = 0; j < LEVELS; j++) {
            assert_int_equal(cb_level_reaches(order[i], order[j]), i >= j);
            assert_int_equal(cb_level_lower(order[i], order[j]), order[i < j ? i : j]);
        }
    }
}

static void what_is_no_level_reaches_nothing_and_is_reached_by_nothing(void **state)
{
    (void)state;
    for (unsigned other = LEVELS; other <= UINT8_MAX; other++) {
        assert_false(cb_level_ok((uint8_t)other));
        assert_null(cb_level_name((uint8_t)other));
        for (unsigned i = 0; i < LEVELS; i++) {
            assert_false(cb_level_reaches((uint8_t)other, order[i]));
            assert_false(cb_level_reaches(order[i], (uint8_t)other));
        }
        assert_false(cb_level_reaches((uint8_t)other, (uint8_t)other));
    }
}

static void some_need_the_pin(void **state)
{
    (void)state;
    assert_false(cb_level_needs_pin(CB_LEVEL_NONE));
    assert_false(cb_level_needs_pin(CB_LEVEL_PASSWORD));
    assert_false(cb_level_needs_pin(CB_LEVEL_POSSESSION));
    assert_true(cb_level_needs_pin(CB_LEVEL_TERMINAL_PIN));
    assert_true(cb_level_needs_pin(CB_LEVEL_PIN));
    assert_true(cb_level_needs_pin(99));
}

static void they_have_names_and_numbers(void **state)
{
    (void)state;
    for (unsigned i = 1; i < LEVELS; i++) {
        const char number[] = {(char)('0' + order[i]), 0};
        assert_int_equal(cb_level_parse(cb_level_name(order[i])), order[i]);
        assert_int_equal(cb_level_parse(number), order[i]);
        assert_true(cb_level_ok(order[i]));
    }
    assert_int_equal(cb_level_parse("none"), CB_LEVEL_NONE);
    assert_int_equal(cb_level_parse("9"), CB_LEVEL_NONE);
    assert_int_equal(cb_level_parse("11"), CB_LEVEL_NONE);
    assert_int_equal(cb_level_parse(""), CB_LEVEL_NONE);
    assert_int_equal(cb_level_parse("PIN"), CB_LEVEL_NONE);
    assert_false(cb_level_ok(CB_LEVEL_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reaches_itself_and_what_is_less),
        cmocka_unit_test(what_is_no_level_reaches_nothing_and_is_reached_by_nothing),
        cmocka_unit_test(some_need_the_pin),
        cmocka_unit_test(they_have_names_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
