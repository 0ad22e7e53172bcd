/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/tlv.h"

#include <stdlib.h>

#include "tests/unit/base/test.h"

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static const uint32_t tags[] = {0x53, 0x5F49, 0xBF21, 0x7F4901 & 0xFFFF};
    static const size_t lengths[] = {0, 1, 127, 128, 255, 256, 65535};
    static uint8_t value[65535];
    for (size_t t = 0; t < sizeof tags / sizeof *tags; t++) {
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            if ((tags[t] & 0xFF) == 0x01)
                continue;
            cb_buf buf = CB_BUF(70000);
            cb_tlv_put(&buf, tags[t], (cb_bytes){value, lengths[l]});
            assert_int_equal(cb_buf_error(&buf), CB_OK);
            cb_cursor c = cb_cursor_over(cb_buf_bytes(&buf));
            assert_int_equal(cb_tlv_expect(&c, tags[t]).len, lengths[l]);
            assert_true(cb_cursor_done(&c));
            cb_buf_free(&buf);
        }
    }
}

static void malformed_objects_fail(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[8];
        size_t len;
    } bad[] = {
        {{0x53}, 1},                         /* no length */
        {{0x53, 0x02, 0x00}, 3},             /* value too short */
        {{0x53, 0x80}, 2},                   /* indefinite */
        {{0x53, 0x81}, 2},                   /* length cut off */
        {{0x53, 0x83, 0, 0, 1, 0}, 6},       /* length of three bytes */
        {{0x5F}, 1},                         /* tag cut off */
        {{0x5F, 0x81, 0x81, 0x01, 0x00}, 5}, /* tag of four bytes */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cb_cursor c = cb_cursor_over((cb_bytes){bad[i].bytes, bad[i].len});
        cb_tlv object;
        assert_false(cb_tlv_next(&c, &object));
        assert_false(cb_cursor_ok(&c));
    }
}

static void the_end_is_not_an_error(void **state)
{
    (void)state;
    cb_cursor c = cb_cursor_over((cb_bytes){0});
    cb_tlv object;
    assert_false(cb_tlv_next(&c, &object));
    assert_true(cb_cursor_ok(&c));
}

static void an_object_is_found_among_others(void **state)
{
    (void)state;
    static const uint8_t data[] = {0x90, 1, 7, 0x5F, 0x49, 2, 8, 9, 0x53, 0};
    cb_bytes value;
    assert_true(cb_tlv_find(CB_BYTES_OF(data), 0x5F49, &value));
    assert_int_equal(value.len, 2);
    assert_true(cb_tlv_find(CB_BYTES_OF(data), 0x53, &value));
    assert_int_equal(value.len, 0);
    assert_false(cb_tlv_find(CB_BYTES_OF(data), 0x91, &value));
    cb_cursor c = cb_cursor_over(CB_BYTES_OF(data));
    cb_tlv_expect(&c, 0x91);
    assert_false(cb_cursor_ok(&c));
}

static void random_bytes_never_read_outside(void **state)
{
    (void)state;
    srandom(1);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)(random() % 40);
        uint8_t *bytes = malloc(len + 1);
        assert_non_null(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)random();
        cb_cursor c = cb_cursor_over((cb_bytes){bytes, len});
        cb_tlv object;
        size_t seen = 0;
        while (cb_tlv_next(&c, &object))
            seen += object.value.len;
        assert_true(seen <= len);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(malformed_objects_fail),
        cmocka_unit_test(the_end_is_not_an_error),
        cmocka_unit_test(an_object_is_found_among_others),
        cmocka_unit_test(random_bytes_never_read_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
