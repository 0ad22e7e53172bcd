/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/leaf.h"

#include "tests/unit/base/test.h"

static void a_leaf_is_lines_of_names_and_values(void **state)
{
    (void)state;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "card.revoked", 1767225600000001);
    cb_leaf_number(&leaf, "number", 18446744073709551615u);
    cb_leaf_text(&leaf, "reason", "lost\nkind forged\\ \x7f");
    cb_leaf_hex(&leaf, "hash", cb_bytes_str("\x01\xab"));
    assert_string_equal(cb_buf_cstr(&leaf), "cardbroker-evidence 1\n"
                                            "kind card.revoked\n"
                                            "time 2026-01-01T00:00:00.000001Z\n"
                                            "number 18446744073709551615\n"
                                            "reason lost\\x0akind forged\\\\ \\x7f\n"
                                            "hash 01ab\n");
    cb_buf_free(&leaf);
}

static void a_value_is_found_and_its_escapes_undone(void **state)
{
    (void)state;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX), value = CB_BUF(100);
    cb_leaf_begin(&leaf, "x", 0);
    cb_leaf_text(&leaf, "reason", "a\nb\\c");
    assert_int_equal(cb_leaf_find(cb_buf_bytes(&leaf), "reason", &value), CB_OK);
    assert_string_equal(cb_buf_cstr(&value), "a\nb\\c");
    cb_buf_reset(&value);
    assert_int_equal(cb_leaf_find(cb_buf_bytes(&leaf), "reaso", &value), CB_E_NOT_FOUND);
    assert_int_equal(cb_leaf_find(cb_bytes_str("a 1\nb"), "b", &value), CB_E_FORMAT);
    assert_int_equal(cb_leaf_find(cb_bytes_str("b \\q\n"), "b", &value), CB_E_FORMAT);
    cb_buf_free(&leaf);
    cb_buf_free(&value);
}

static void a_value_is_found_without_memory(void **state)
{
    (void)state;
    char out[8] = "";
    cb_bytes leaf =
        cb_bytes_str("kind x\ncard a\\x0ab\\\\c\nlong 12345678\nzero \\x00\nbad \\q\nend \\x1");
    assert_int_equal(cb_leaf_find_text(leaf, "card", out, sizeof out), CB_OK);
    assert_string_equal(out, "a\nb\\c");
    assert_int_equal(cb_leaf_find_text(leaf, "car", out, sizeof out), CB_E_FORMAT);
    assert_int_equal(cb_leaf_find_text(cb_bytes_str("a 1\n"), "b", out, sizeof out),
                     CB_E_NOT_FOUND);
    assert_int_equal(cb_leaf_find_text(leaf, "long", out, sizeof out), CB_E_TOO_LARGE);
    assert_int_equal(cb_leaf_find_text(leaf, "zero", out, sizeof out), CB_E_FORMAT);
    assert_int_equal(cb_leaf_find_text(leaf, "bad", out, sizeof out), CB_E_FORMAT);
    assert_int_equal(cb_leaf_find_text(cb_bytes_str("end \\x1\n"), "end", out, sizeof out),
                     CB_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaf_is_lines_of_names_and_values),
        cmocka_unit_test(a_value_is_found_and_its_escapes_undone),
        cmocka_unit_test(a_value_is_found_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
