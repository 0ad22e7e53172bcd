/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Failed proofs that a renewal may explain: of which card, where, how many and for how long.
 */
#include "broker/core/tap_unexplained.h"

#include "tests/unit/base/test.h"

static cb_tap_unexplained *table;
static const cb_id none;

static int open_table(void **state)
{
    (void)state;
    return cb_tap_unexplained_open(&table);
}

static int close_table(void **state)
{
    (void)state;
    cb_tap_unexplained_close(&table);
    return 0;
}

static cb_id id_of(unsigned number)
{
    return (cb_id){{1, (uint8_t)(number >> 8), (uint8_t)number}};
}

static void put(unsigned tap, unsigned card, unsigned terminal)
{
    const cb_failed_proof failed = {
        .tap = id_of(tap), .card = id_of(card), .terminal = id_of(terminal), .time = tap};
    cb_tap_unexplained_put(table, &failed);
}

static bool has(unsigned tap, unsigned terminal)
{
    cb_id t = id_of(tap), at = id_of(terminal);
    return cb_tap_unexplained_has(table, &t, &at);
}

/* The time of the one that was taken; 0: there was none. */
static int64_t take(unsigned card, unsigned terminal)
{
    cb_failed_proof out = {.time = 99, .tap = {{9}}};
    cb_id c = id_of(card), at = id_of(terminal);
    cb_tap_unexplained_take(table, &c, &at, &out);
    assert_int_equal(out.time == 0, cb_id_same(&out.tap, &none));
    return out.time;
}

static void it_is_taken_once_for_its_card_at_its_terminal(void **state)
{
    (void)state;
    put(5, 1, 2);
    assert_true(has(5, 2));
    assert_false(has(5, 3) || has(6, 2));
    assert_int_equal(take(1, 3), 0);
    assert_int_equal(take(2, 2), 0);
    assert_int_equal(take(1, 2), 5);
    assert_false(has(5, 2));
    assert_int_equal(take(1, 2), 0);
}

/* So one renewal explains one failed proof, however many came before it. */
static void of_a_card_at_a_terminal_the_last_stands_there_alone(void **state)
{
    (void)state;
    put(5, 1, 2);
    put(6, 1, 2);
    put(7, 1, 3);
    assert_false(has(5, 2));
    assert_int_equal(take(1, 2), 6);
    assert_int_equal(take(1, 2), 0);
    assert_int_equal(take(1, 3), 7);
}

static void of_too_many_the_oldest_are_forgotten_and_stay_counted(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= CB_TAP_UNEXPLAINED_MOST + 3; i++)
        put(i, i, 2);
    for (unsigned i = 1; i <= CB_TAP_UNEXPLAINED_MOST + 3; i++)
        assert_int_equal(take(i, 2), i <= 3 ? 0 : i);
}

static void a_card_that_nobody_knows_explains_nothing(void **state)
{
    (void)state;
    const cb_failed_proof nobody = {.tap = id_of(5), .terminal = id_of(2), .time = 5};
    cb_tap_unexplained_put(table, &nobody);
    assert_false(has(5, 2));
}

/* The clock is put forward by as much as it takes. */
static int64_t later;

static void after_a_while_it_is_forgotten(void **state)
{
    (void)state;
    later = 0;
    put(5, 1, 2);
    later = CB_TAP_EXPLAINED_FOR - 10 * CB_SECOND;
    assert_true(has(5, 2));
    later = CB_TAP_EXPLAINED_FOR + CB_SECOND;
    assert_false(has(5, 2));
    assert_int_equal(take(1, 2), 0);
    later = 0; /* and is not there again */
    assert_int_equal(take(1, 2), 0);
}

int64_t __real_cb_clock_monotonic_us(void);
int64_t __wrap_cb_clock_monotonic_us(void);

int64_t __wrap_cb_clock_monotonic_us(void) { return __real_cb_clock_monotonic_us() + later; }

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)
    const struct CMUnitTest tests[] = {
        T(it_is_taken_once_for_its_card_at_its_terminal),
        T(of_a_card_at_a_terminal_the_last_stands_there_alone),
        T(of_too_many_the_oldest_are_forgotten_and_stay_counted),
        T(a_card_that_nobody_knows_explains_nothing),
        T(after_a_while_it_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
