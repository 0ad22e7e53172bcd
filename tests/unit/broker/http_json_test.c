/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/json.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/base/test.h"

static cb_error read(const char *text)
{
    json_t *json = NULL;
    cb_buf why = CB_BUF(512);
    cb_error error = cb_json_read(cb_bytes_str(text), &json, &why);
    assert_true((error != CB_OK) == (why.len > 0));
    assert_true((error == CB_OK) == (json != NULL));
    json_decref(json);
    cb_buf_free(&why);
    return error;
}

static void only_well_formed_objects_are_read(void **state)
{
    (void)state;
    assert_int_equal(read("{}"), CB_OK);
    assert_int_equal(read(" {\"a\":[1,{\"b\":\"}]\\\"\"}]} "), CB_OK);
    static const char *const bad[] = {"",
                                      "[]",
                                      "1",
                                      "\"a\"",
                                      "null",
                                      "{",
                                      "{}x",
                                      "{\"a\":1,\"a\":2}",
                                      "{\"a\":\"\\u0000\"}",
                                      "{\"a\":\"\xff\"}",
                                      "{'a':1}",
                                      "{\"a\":01}",
                                      "{\"a\":1e999}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read(bad[i]), CB_E_FORMAT);
}

static void nesting_is_limited(void **state)
{
    (void)state;
    for (int depth = 1; depth <= 40; depth++) {
        cb_buf text = CB_BUF(4096);
        for (int i = 0; i < depth; i++)
            cb_buf_put_str(&text, "{\"a\":");
        cb_buf_put_str(&text, "1");
        for (int i = 0; i < depth; i++)
            cb_buf_put_str(&text, "}");
        assert_int_equal(read(cb_buf_cstr(&text)), depth <= CB_JSON_DEPTH ? CB_OK : CB_E_FORMAT);
        cb_buf_free(&text);
    }
    assert_int_equal(read("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}"), CB_OK);
    assert_int_equal(read("{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}"), CB_OK);
}

static cb_error fields(const char *text, cb_field field, char *why_out)
{
    cb_buf why = CB_BUF(512);
    json_t *json = NULL;
    assert_int_equal(cb_json_read(cb_bytes_str(text), &json, &why), CB_OK);
    cb_error error = cb_fields_read(json, &field, 1, &why);
    strcpy(why_out, why.len ? cb_buf_cstr(&why) : "");
    json_decref(json);
    cb_buf_free(&why);
    return error;
}

static void a_field_that_is_wrong_is_named(void **state)
{
    (void)state;
    const char *text = NULL;
    char why[512];
    cb_field field = {"name", CB_FIELD_TEXT, true, 4, &text};
    assert_int_equal(fields("{}", field, why), CB_E_ARGUMENT);
    assert_string_equal(why, "name is missing.");
    assert_int_equal(fields("{\"nme\":\"a\"}", field, why), CB_E_UNKNOWN_FIELD);
    assert_non_null(strstr(why, "\"nme\""));
    assert_int_equal(fields("{\"name\":\"12345\"}", field, why), CB_E_ARGUMENT);
    assert_non_null(strstr(why, "name must"));
    assert_int_equal(fields("{\"name\":\"1234\"}", field, why), CB_OK);
}

static void every_kind_refuses_the_others(void **state)
{
    (void)state;
    static const char *const values[] = {
        "\"text\"", "\"0189f7c2-0000-7000-8000-000000000001\"", "\"00ff\"", "7", "true", "{}",
        "[]"};
    char why[512];
    union {
        const char *text;
        cb_id id;
        int64_t number;
        bool truth;
        json_t *json;
    } out;
    for (unsigned kind = CB_FIELD_ID; kind <= CB_FIELD_LIST; kind++) {
        for (unsigned value = 0; value < sizeof values / sizeof *values; value++) {
            cb_buf hex = CB_BUF(16);
            char text[128];
            cb_field field = {"f", (cb_field_kind)kind, false, 16,
                              kind == CB_FIELD_HEX ? (void *)&hex : (void *)&out};
            snprintf(text, sizeof text, "{\"f\":%s}", values[value]);
            assert_int_equal(fields(text, field, why), kind == value ? CB_OK : CB_E_ARGUMENT);
            snprintf(text, sizeof text, "{\"f\":null}");
            assert_int_equal(fields(text, field, why), CB_E_ARGUMENT);
            cb_buf_free(&hex);
        }
    }
}

static void numbers_keep_their_bounds(void **state)
{
    (void)state;
    char why[512];
    int64_t number = -7;
    cb_field field = {"n", CB_FIELD_NUMBER, false, 10, &number};
    assert_int_equal(fields("{}", field, why), CB_OK);
    assert_int_equal(number, -7);
    assert_int_equal(fields("{\"n\":10}", field, why), CB_OK);
    assert_int_equal(number, 10);
    assert_int_equal(fields("{\"n\":11}", field, why), CB_E_ARGUMENT);
    assert_int_equal(fields("{\"n\":-1}", field, why), CB_E_ARGUMENT);
    assert_int_equal(fields("{\"n\":1.0}", field, why), CB_E_ARGUMENT);
}

static int wiping(void **state)
{
    (void)state;
    cb_json_wipe_always();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_well_formed_objects_are_read),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(a_field_that_is_wrong_is_named),
        cmocka_unit_test(every_kind_refuses_the_others),
        cmocka_unit_test(numbers_keep_their_bounds),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("with wiping", tests, wiping, NULL);
}
