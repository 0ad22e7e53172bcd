/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/code.h"

#include <ctype.h>
#include <string.h>

#include "tests/unit/base/test.h"

static cb_error reads(const char *text, char out[CB_CODE_SYMBOLS])
{
    return cb_code_read(cb_bytes_str(text), out);
}

static void a_code_is_read_as_it_was_made_however_it_is_written(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        char text[CB_CODE_TEXT], other[2 * CB_CODE_TEXT], one[CB_CODE_SYMBOLS],
            two[CB_CODE_SYMBOLS];
        size_t at = 0;
        cb_code_make(text);
        assert_int_equal(strlen(text), CB_CODE_TEXT - 1);
        assert_int_equal(reads(text, one), CB_OK);
        for (const char *c = text; *c; c++) {
            if (*c == '-')
                continue;
            other[at++] = *c == '0' ? 'o' : *c == '1' ? 'l' : (char)tolower((unsigned char)*c);
            other[at++] = ' ';
        }
        other[at] = 0;
        assert_int_equal(reads(other, two), CB_OK);
        assert_memory_equal(one, two, sizeof one);
    }
}

static void each_wrong_symbol_and_each_exchange_is_noticed(void **state)
{
    char text[CB_CODE_TEXT], wrong[CB_CODE_TEXT], out[CB_CODE_SYMBOLS];
    (void)state;
    for (int i = 0; i < 200; i++) {
        cb_code_make(text);
        for (size_t at = 0; text[at]; at++) {
            memcpy(wrong, text, sizeof text);
            wrong[at] = text[at] == '7' ? '8' : '7';
            if (text[at] != '-')
                assert_int_equal(reads(wrong, out), CB_E_FORMAT);
            memcpy(wrong, text, sizeof text);
            wrong[at] = text[at + 1];
            wrong[at + 1] = text[at];
            if (text[at] != '-' && text[at + 1] && text[at + 1] != '-' && text[at] != text[at + 1])
                assert_int_equal(reads(wrong, out), CB_E_FORMAT);
        }
    }
}

static void what_is_too_short_too_long_or_no_code_is_refused(void **state)
{
    char out[CB_CODE_SYMBOLS];
    (void)state;
    assert_int_equal(reads("00000-00000-00000-00000", out), CB_OK); /* the check of zero */
    assert_int_equal(reads("", out), CB_E_FORMAT);
    assert_int_equal(reads("----", out), CB_E_FORMAT);
    assert_int_equal(reads("00000-00000-00000-0000", out), CB_E_FORMAT);
    assert_int_equal(reads("00000-00000-00000-000000", out), CB_E_FORMAT);
    assert_int_equal(reads("*0000-00000-00000-00000", out), CB_E_FORMAT);
    assert_int_equal(cb_code_read(CB_BYTES_OF(((const uint8_t[20]){0})), out), CB_E_FORMAT);
    /* 1 in the nineteenth place: 32 by 37 leaves 32, and again 32 * 32 + 32 would be 20. */
    assert_int_equal(reads("00000-00000-00000-00101", out), CB_E_FORMAT);
    assert_int_equal(reads("00000-00000-00000-00011", out), CB_OK);
    assert_int_equal(reads("00000-00000-00000-000ZZ", out), CB_OK); /* 31 */
    assert_int_equal(reads("00000-00000-00000-0010*", out), CB_OK); /* 32 */
    assert_int_equal(reads("00000-00000-00000-0014u", out), CB_OK); /* 36 */
    assert_int_equal(reads("00000-00000-00000-00150", out), CB_OK); /* 37 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_is_read_as_it_was_made_however_it_is_written),
        cmocka_unit_test(each_wrong_symbol_and_each_exchange_is_noticed),
        cmocka_unit_test(what_is_too_short_too_long_or_no_code_is_refused),
    };
    return cmocka_run_group_tests_name("code", tests, NULL, NULL);
}
