/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/error.h"

#include <ctype.h>
#include <string.h>

#include "tests/unit/base/test.h"

static void every_error_has_its_own_code_and_a_sentence(void **state)
{
    (void)state;
    for (int i = 0; i < CB_ERROR_COUNT; i++) {
        const char *code = cb_error_code((cb_error)i);
        const char *text = cb_error_text((cb_error)i);
        for (const char *c = code; *c; c++)
            assert_true(islower((unsigned char)*c) || *c == '.' || *c == '_');
        assert_int_equal(text[strlen(text) - 1], '.');
        for (int k = 0; k < i; k++)
            assert_string_not_equal(code, cb_error_code((cb_error)k));
    }
}

static void unknown_numbers_are_never_ok(void **state)
{
    (void)state;
    assert_int_equal(cb_error_from_wire(CB_ERROR_COUNT), CB_E_PROTOCOL);
    assert_int_equal(cb_error_from_wire(65535), CB_E_PROTOCOL);
    assert_int_equal(cb_error_from_wire(CB_E_CARD_REVOKED), CB_E_CARD_REVOKED);
    assert_string_equal(cb_error_code((cb_error)9999), "internal.error");
    assert_int_equal(cb_error_class_of((cb_error)9999), CB_CLASS_INTERNAL);
    assert_int_equal(cb_error_class_of(CB_OK), CB_CLASS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_own_code_and_a_sentence),
        cmocka_unit_test(unknown_numbers_are_never_ok),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
