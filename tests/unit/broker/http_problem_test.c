/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/problem.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/base/test.h"

static const char *text_of(const cb_reply *reply, const char *name)
{
    return json_string_value(json_object_get(reply->json, name));
}

static void every_error_has_a_status_and_a_title(void **state)
{
    (void)state;
    for (int i = 1; i < CB_ERROR_COUNT; i++) {
        unsigned status = cb_problem_status((cb_error)i);
        assert_true(status >= 400 && status < 600);
        assert_string_not_equal(cb_problem_title(status), "Unknown");
    }
    assert_int_equal(cb_problem_status(CB_E_METHOD), 405);
    assert_int_equal(cb_problem_status(CB_E_PIN_WRONG), 422);
    assert_int_equal(cb_problem_status(CB_E_BUSY), 503);
}

static void a_problem_says_what_to_do(void **state)
{
    (void)state;
    cb_id id = cb_id_new();
    char text[CB_ID_TEXT];
    cb_reply reply = {.detail = CB_BUF(512)};
    reply.extra = json_pack("{si, ss}", "tries_left", 2, "code", "never.replaced");
    cb_problem_write(&reply, CB_E_PIN_WRONG, &id);
    cb_id_text(&id, text);
    assert_string_equal(text_of(&reply, "type"), "about:blank");
    assert_string_equal(text_of(&reply, "code"), "pin.wrong");
    assert_string_equal(text_of(&reply, "detail"), cb_error_text(CB_E_PIN_WRONG));
    assert_string_equal(text_of(&reply, "request"), text);
    assert_int_equal(json_integer_value(json_object_get(reply.json, "tries_left")), 2);
    assert_int_equal(reply.retry_after, 0);
    cb_reply_free(&reply);
}

static void a_detail_that_is_not_utf_8_gives_way(void **state)
{
    (void)state;
    cb_id id = cb_id_new();
    cb_reply reply = {.detail = CB_BUF(512)};
    cb_reply_fail(&reply, CB_E_ARGUMENT, "half a character: \xC3");
    cb_problem_write(&reply, CB_E_ARGUMENT, &id);
    assert_string_equal(text_of(&reply, "detail"), cb_error_text(CB_E_ARGUMENT));
    cb_reply_free(&reply);
}

static void who_is_told_to_come_back_is_told_when(void **state)
{
    (void)state;
    cb_id id = cb_id_new();
    cb_reply reply = {.detail = CB_BUF(512)};
    cb_problem_write(&reply, CB_E_BUSY, &id);
    assert_int_equal(reply.retry_after, 1);
    cb_reply_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_status_and_a_title),
        cmocka_unit_test(a_problem_says_what_to_do),
        cmocka_unit_test(a_detail_that_is_not_utf_8_gives_way),
        cmocka_unit_test(who_is_told_to_come_back_is_told_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
