/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/cursor.h"

#include "tests/unit/base/test.h"

static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void integers_are_read_most_significant_byte_first(void **state)
{
    (void)state;
    cb_cursor c = cb_cursor_over(CB_BYTES_OF(data));
    assert_int_equal(cb_cursor_u8(&c), 0x01);
    assert_int_equal(cb_cursor_u16(&c), 0x0203);
    assert_int_equal(cb_cursor_u32(&c), 0x04050607);
    assert_true(cb_cursor_u64(&c) == 0x08090a0b0c0d0e0fULL);
    assert_true(cb_cursor_done(&c));
}

static void a_read_past_the_end_fails_for_good(void **state)
{
    (void)state;
    cb_cursor c = cb_cursor_over((cb_bytes){data, 3});
    assert_int_equal(cb_cursor_u32(&c), 0);
    assert_false(cb_cursor_ok(&c));
    assert_int_equal(cb_cursor_u8(&c), 0);
    assert_int_equal(cb_cursor_rest(&c).len, 0);
    assert_false(cb_cursor_done(&c));
}

static void what_is_left_over_is_noticed(void **state)
{
    (void)state;
    cb_cursor c = cb_cursor_over((cb_bytes){data, 3});
    cb_cursor_u16(&c);
    assert_true(cb_cursor_ok(&c));
    assert_false(cb_cursor_done(&c));
}

static void a_length_over_the_limit_fails(void **state)
{
    (void)state;
    static const uint8_t var[] = {0, 0, 0, 3, 'a', 'b', 'c'};
    cb_cursor c = cb_cursor_over(CB_BYTES_OF(var));
    cb_bytes got = cb_cursor_var(&c, 3);
    assert_int_equal(got.len, 3);
    assert_true(cb_cursor_done(&c));
    c = cb_cursor_over(CB_BYTES_OF(var));
    assert_int_equal(cb_cursor_var(&c, 2).len, 0);
    assert_false(cb_cursor_ok(&c));
}

static void a_failed_copy_leaves_zeros(void **state)
{
    (void)state;
    uint8_t out[8];
    memset(out, 0xAA, sizeof out);
    cb_cursor c = cb_cursor_over((cb_bytes){data, 7});
    cb_cursor_copy(&c, out, sizeof out);
    assert_false(cb_cursor_ok(&c));
    assert_memory_equal(out, "\0\0\0\0\0\0\0\0", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_read_most_significant_byte_first),
        cmocka_unit_test(a_read_past_the_end_fails_for_good),
        cmocka_unit_test(what_is_left_over_is_noticed),
        cmocka_unit_test(a_length_over_the_limit_fails),
        cmocka_unit_test(a_failed_copy_leaves_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
