/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/id.h"

#include "tests/unit/base/test.h"

static void text_goes_both_ways(void **state)
{
    (void)state;
    char text[CB_ID_TEXT];
    cb_id back, id = cb_id_new();
    cb_id_text(&id, text);
    assert_int_equal(strlen(text), 36);
    assert_int_equal(text[14], '7');
    assert_int_equal(cb_id_parse(text, &back), CB_OK);
    assert_true(cb_id_same(&id, &back));
}

static void other_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "0189f7c2-0000-7000-8000-00000000000",
                                      "0189f7c2-0000-7000-8000-0000000000000",
                                      "0189f7c2-0000-7000-8000+000000000000",
                                      "0189f7c200000-7000-8000-000000000000",
                                      "g189f7c2-0000-7000-8000-000000000000"};
    cb_id id;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cb_id_parse(bad[i], &id), CB_E_FORMAT);
    assert_int_equal(cb_id_parse(NULL, &id), CB_E_FORMAT);
    assert_int_equal(cb_id_parse("0189F7C2-0000-7000-8000-00000000000A", &id), CB_OK);
}

static void no_two_are_the_same(void **state)
{
    (void)state;
    cb_id before = cb_id_new();
    for (int i = 0; i < 1000; i++) {
        cb_id next = cb_id_new();
        assert_false(cb_id_same(&before, &next));
        assert_true(memcmp(before.bytes, next.bytes, 6) <= 0);
        before = next;
    }
    cb_id a = cb_id_random(), b = cb_id_random();
    assert_false(cb_id_same(&a, &b));
    assert_int_equal(a.bytes[6] >> 4, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_goes_both_ways),
        cmocka_unit_test(other_text_is_refused),
        cmocka_unit_test(no_two_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
