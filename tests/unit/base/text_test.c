/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/text.h"

#include "tests/unit/base/test.h"

static void hexadecimal_goes_both_ways(void **state)
{
    (void)state;
    char text[9];
    uint8_t back[4];
    static const uint8_t bytes[] = {0x00, 0xff, 0x1a, 0xB0};
    cb_hex(CB_BYTES_OF(bytes), text);
    assert_string_equal(text, "00ff1ab0");
    assert_int_equal(cb_unhex_exact("00FF1aB0", back, 4), CB_OK);
    assert_memory_equal(back, bytes, 4);
}

static void hexadecimal_that_is_not_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "0g", "0x", "a b", " 00", "00 ", "zz"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cb_buf out = CB_BUF(16);
        assert_int_equal(cb_unhex(cb_bytes_str(bad[i]), &out), CB_E_FORMAT);
        assert_int_equal(out.len, 0);
        cb_buf_free(&out);
    }
    uint8_t four[4];
    assert_int_equal(cb_unhex_exact("001122", four, 4), CB_E_FORMAT);
    assert_int_equal(cb_unhex_exact("0011223344", four, 4), CB_E_FORMAT);
}

/* RFC 4648, 10. */
static void base64_known_answers(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},         {"f", "Zg=="},     {"fo", "Zm8="},
                                           {"foo", "Zm9v"},  {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        cb_buf out = CB_BUF(64);
        cb_buf_put_base64(&out, cb_bytes_str(pairs[i][0]));
        assert_string_equal(cb_buf_cstr(&out), pairs[i][1]);
        cb_buf_reset(&out);
        assert_int_equal(cb_unbase64(cb_bytes_str(pairs[i][1]), &out), CB_OK);
        assert_string_equal(cb_buf_cstr(&out), pairs[i][0]);
        cb_buf_free(&out);
    }
}

static void base64url_has_its_own_digits_and_no_padding(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0xfb, 0xff};
    cb_buf out = CB_BUF(64);
    cb_buf_put_base64url(&out, CB_BYTES_OF(bytes));
    assert_string_equal(cb_buf_cstr(&out), "-_8");
    cb_buf_reset(&out);
    assert_int_equal(cb_unbase64url(cb_bytes_str("-_8"), &out), CB_OK);
    assert_memory_equal(out.data, bytes, 2);
    cb_buf_free(&out);
}

static void base64_that_is_not_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"Zg", "Zg=", "Zh==", "Z===", "Zm9v\n", "-_8=", "Zm=v", "===="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cb_buf out = CB_BUF(16);
        assert_int_equal(cb_unbase64(cb_bytes_str(bad[i]), &out), CB_E_FORMAT);
        assert_int_equal(out.len, 0);
        cb_buf_free(&out);
    }
}

static void characters_are_read_one_by_one_or_not_at_all(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",         "\xc0\x80",         "\xe0\x80\x80",
                                      "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x80\x80\x80",
                                      "\xff",         "\xe3\x81"};
    static const struct {
        const char *text;
        size_t len;
        uint32_t character;
        bool acts;
    } good[] = {{"a", 1, 'a', false},
                {"", 1, 0, true},
                {"\x1b", 1, 0x1B, true},
                {"\x7f", 1, 0x7F, true},
                {"\xc2\x9b", 2, 0x9B, true},
                {"\xc3\xa9", 2, 0xE9, false},
                {"\xe3\x81\x82", 3, 0x3042, false},
                {"\xe2\x80\xae", 3, 0x202E, true},
                {"\xf0\x9f\x98\x80", 4, 0x1F600, false}};
    uint32_t character = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cb_utf8_read(bad[i], &character), 0);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(cb_utf8_read(good[i].text, &character), good[i].len);
        assert_int_equal(character, good[i].character);
        assert_int_equal(cb_utf8_acts(character), good[i].acts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hexadecimal_goes_both_ways),
        cmocka_unit_test(hexadecimal_that_is_not_is_refused),
        cmocka_unit_test(base64_known_answers),
        cmocka_unit_test(base64url_has_its_own_digits_and_no_padding),
        cmocka_unit_test(base64_that_is_not_is_refused),
        cmocka_unit_test(characters_are_read_one_by_one_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
