/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the terminal says can be read by whoever it is said to, whatever others have put into it,
 * and is said whole or is no success.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/terminal/output.h"
#include "cardlink/terminal/relay_json.h"

#define READER "Maker\xe9 \x1b[2J 00"

static char *text;
static size_t text_len;
static cb_output output;

static void listen_to(bool json)
{
    FILE *stream = open_memstream(&text, &text_len);
    assert_non_null(stream);
    cb_output_init(&output, stream, json);
}

static json_t *said(void)
{
    fclose(output.stream);
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    assert_non_null(object);
    return object;
}

static const char *member(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static cb_tap_report accepted(const char *result)
{
    cb_tap_report report = {.problem = {.retry_after = -1, .tries_left = -1}};
    assert_int_equal(cb_json_read(cb_bytes_str(result), &report.result), CB_OK);
    return report;
}

static void a_readers_name_that_is_no_text_does_not_make_a_tap_disappear(void **state)
{
    cb_tap_report report =
        accepted("{\"outcome\":\"accepted\",\"delivery\":{\"url\":\"https://a\"}}");
    cb_reader_list list = {.count = 1};
    (void)state;
    listen_to(true);
    assert_int_equal(cb_output_tap(&output, READER, &report), CB_OK);
    json_t *object = said();
    assert_string_equal(member(object, "event"), "tap.accepted");
    assert_string_equal(member(object, "reader"), "Maker? ?[2J 00");
    assert_string_equal(member(json_object_get(object, "delivery"), "url"), "https://a");
    json_decref(object);
    cb_tap_report_free(&report);

    memcpy(list.reader[0].name, READER, sizeof READER);
    listen_to(true);
    cb_output_readers(&output, &list);
    object = said();
    assert_string_equal(member(object, "reader"), "Maker? ?[2J 00");
    json_decref(object);
    assert_int_equal(output.error, CB_OK);
}

static void only_the_terminal_names_a_file(void **state)
{
    cb_tap_report report = accepted("{\"outcome\":\"accepted\",\"delivery_file\":\"/etc/passwd\","
                                    "\"event\":\"x\",\"reader\":\"y\"}");
    (void)state;
    listen_to(true);
    assert_int_equal(cb_output_tap(&output, "r", &report), CB_OK);
    json_t *object = said();
    assert_null(json_object_get(object, "delivery_file"));
    assert_string_equal(member(object, "event"), "tap.accepted");
    assert_string_equal(member(object, "reader"), "r");
    json_decref(object);
    cb_tap_report_free(&report);
}

/* At each place a character may be cut at. */
static void a_long_sentence_of_the_brokers_stays_text(void **state)
{
    (void)state;
    for (size_t before = CB_PROBLEM_DETAIL - 6; before < CB_PROBLEM_DETAIL + 2; before++) {
        cb_problem problem;
        cb_buf body = CB_BUF(4096);
        cb_buf_put_str(&body, "{\"code\":\"card.revoked\",\"detail\":\"");
        for (size_t i = 0; i < before; i++)
            cb_buf_put_u8(&body, 'a');
        cb_buf_put_str(&body, "\xf0\x9f\x98\x80\"}");
        assert_int_equal(cb_problem_read(&problem, 422, cb_buf_bytes(&body), -1),
                         CB_E_CARD_REVOKED);
        listen_to(true);
        cb_output_event(&output, "tap.refused", "r", "refused", &problem);
        json_t *object = said();
        assert_int_equal(strspn(member(object, "detail"), "a"),
                         before < CB_PROBLEM_DETAIL ? before : CB_PROBLEM_DETAIL - 1);
        json_decref(object);
        cb_buf_free(&body);
    }
}

static void what_acts_on_a_screen_is_shown_as_a_mark(void **state)
{
    cb_problem problem;
    (void)state;
    cb_problem_set(&problem, CB_E_CARD_REVOKED, NULL);
    cb_plain(problem.detail, sizeof problem.detail, "a\x1b\xc2\x9b\xe2\x80\xae\xe3\x81\x82\xff");
    listen_to(false);
    cb_output_event(&output, "tap.refused", READER, "refused", &problem);
    fclose(output.stream);
    assert_string_equal(text, "Maker? ?[2J 00: refused: a???\xe3\x81\x82? [card.revoked]\n");
    free(text);
}

static void a_delivery_that_acts_on_a_screen_is_the_same_delivery(void **state)
{
    static const char given[] = "{\"kind\":\"token\",\"token\":{\"a\x7f\":"
                                "\"\xc2\x9b\xe2\x80\xae\xf3\xa0\x80\x81\xe3\x81\x82\"}}";
    char result[256];
    (void)state;
    snprintf(result, sizeof result, "{\"outcome\":\"accepted\",\"delivery\":%s}", given);
    cb_tap_report report = accepted(result);
    listen_to(false);
    assert_int_equal(cb_output_tap(&output, "r", &report), CB_OK);
    fclose(output.stream);
    char *line = strchr(text, '\n') + 1;
    assert_string_equal(line, "{\"kind\":\"token\",\"token\":{\"a\\u007f\":"
                              "\"\\u009b\\u202e\\udb40\\udc01\xe3\x81\x82\"}}\n");
    json_t *same = json_loads(line, 0, NULL), *was = json_loads(given, 0, NULL);
    assert_true(json_equal(same, was));
    json_decref(same);
    json_decref(was);
    free(text);
    cb_tap_report_free(&report);
}

static void what_nobody_takes_was_not_said(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        cb_tap_report report =
            accepted("{\"outcome\":\"accepted\",\"delivery\":{\"url\":\"https://a\"}}");
        FILE *full = fopen("/dev/full", "we");
        assert_non_null(full);
        cb_output_init(&output, full, json);
        assert_int_equal(cb_output_tap(&output, "r", &report), CB_E_IO);
        assert_int_equal(output.error, CB_E_IO);
        fclose(full);
        cb_tap_report_free(&report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_readers_name_that_is_no_text_does_not_make_a_tap_disappear),
        cmocka_unit_test(only_the_terminal_names_a_file),
        cmocka_unit_test(a_long_sentence_of_the_brokers_stays_text),
        cmocka_unit_test(what_acts_on_a_screen_is_shown_as_a_mark),
        cmocka_unit_test(a_delivery_that_acts_on_a_screen_is_the_same_delivery),
        cmocka_unit_test(what_nobody_takes_was_not_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
