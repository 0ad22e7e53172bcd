/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/buf.h"

#include "tests/unit/base/test.h"

static void integers_are_written_most_significant_byte_first(void **state)
{
    (void)state;
    static const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    cb_buf buf = CB_BUF(64);
    cb_buf_put_u8(&buf, 0x01);
    cb_buf_put_u16(&buf, 0x0203);
    cb_buf_put_u32(&buf, 0x04050607);
    cb_buf_put_u64(&buf, 0x08090a0b0c0d0e0f);
    assert_int_equal(cb_buf_error(&buf), CB_OK);
    assert_int_equal(buf.len, sizeof expected);
    assert_memory_equal(buf.data, expected, sizeof expected);
    cb_buf_free(&buf);
}

static void what_does_not_fit_fails_and_stays_failed(void **state)
{
    (void)state;
    cb_buf buf = CB_BUF(4);
    cb_buf_put_u32(&buf, 7);
    assert_int_equal(cb_buf_error(&buf), CB_OK);
    cb_buf_put_u8(&buf, 1);
    assert_int_equal(cb_buf_error(&buf), CB_E_TOO_LARGE);
    assert_int_equal(buf.len, 4);
    cb_buf_reset(&buf);
    assert_int_equal(cb_buf_error(&buf), CB_OK);
    cb_buf_put_u8(&buf, 1);
    assert_int_equal(buf.len, 1);
    cb_buf_free(&buf);
}

static void a_length_that_would_wrap_is_refused(void **state)
{
    (void)state;
    cb_buf buf = CB_BUF(16);
    cb_buf_put_u8(&buf, 1);
    assert_null(cb_buf_extend(&buf, SIZE_MAX));
    assert_int_equal(cb_buf_error(&buf), CB_E_TOO_LARGE);
    cb_buf_free(&buf);
}

static void it_grows_and_keeps_its_content(void **state)
{
    (void)state;
    cb_buf buf = CB_BUF(100000);
    for (uint32_t i = 0; i < 20000; i++)
        cb_buf_put_u32(&buf, i);
    assert_int_equal(buf.len, 80000);
    for (uint32_t i = 0; i < 20000; i++)
        assert_int_equal(buf.data[4 * i + 2] << 8 | buf.data[4 * i + 3], i & 0xFFFF);
    cb_buf_free(&buf);
}

static void a_reset_wipes_what_was_there(void **state)
{
    (void)state;
    cb_buf buf = CB_BUF(64);
    cb_buf_put_str(&buf, "1234");
    cb_buf_reset(&buf);
    assert_memory_equal(buf.data, "\0\0\0\0", 4);
    cb_buf_free(&buf);
}

static void text_ends_with_a_zero_that_is_not_counted(void **state)
{
    (void)state;
    cb_buf buf = CB_BUF(256);
    cb_buf_printf(&buf, "%s-%d", "a", 5);
    assert_int_equal(buf.len, 3);
    assert_string_equal(cb_buf_cstr(&buf), "a-5");
    for (int i = 0; i < 250; i++)
        cb_buf_put_u8(&buf, 'x');
    assert_int_equal(strlen(cb_buf_cstr(&buf)), 253);
    cb_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_written_most_significant_byte_first),
        cmocka_unit_test(what_does_not_fit_fails_and_stays_failed),
        cmocka_unit_test(a_length_that_would_wrap_is_refused),
        cmocka_unit_test(it_grows_and_keeps_its_content),
        cmocka_unit_test(a_reset_wipes_what_was_there),
        cmocka_unit_test(text_ends_with_a_zero_that_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
