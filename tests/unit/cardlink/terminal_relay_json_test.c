/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the broker says is outside data: scripts within their limits are read, everything else is refused; problems become errors that can be shown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "cardlink/terminal/relay_json.h"

#define TAP "\"tap\":\"0189f7c2-7f5e-7abc-8def-0123456789ab\""

static cb_error read_begun(const char *text, bool first, cb_relay_tap *tap)
{
    json_t *root = NULL;
    cb_json_read(cb_bytes_str(text), &root);
    assert_non_null(root);
    cb_error error = cb_json_read_begun(root, first, 1000, tap);
    json_decref(root);
    return error;
}

static void a_script_is_read(void **state)
{
    (void)state;
    cb_relay_tap tap;
    cb_script script;
    cb_relay_tap_init(&tap);
    assert_int_equal(read_begun("{" TAP ",\"script\":[{\"apdu\":\"00A40400\"},{\"apdu\":"
                                "\"80ca0000\",\"go_on\":true}],\"expires_in\":30,\"new\":1}",
                                true, &tap),
                     CB_OK);
    assert_int_equal(tap.expires, 1000 + 30 * CB_SECOND);
    assert_int_equal(cb_script_read(cb_buf_bytes(&tap.script), CB_COMMAND_MAX, &script), CB_OK);
    assert_int_equal(script.count, 2);
    assert_int_equal(script.item[0].flags, 0);
    assert_int_equal(script.item[1].flags, CB_SCRIPT_GO_ON);
    assert_int_equal(script.item[0].apdu.data[1], 0xA4);
    /* The second script of the tap keeps its name. */
    cb_id before = tap.id;
    assert_int_equal(
        read_begun("{\"script\":[{\"apdu\":\"80880000\"}],\"expires_in\":60}", false, &tap), CB_OK);
    assert_true(cb_id_same(&before, &tap.id));
    cb_relay_tap_free(&tap);
}

static void a_command_may_be_for_some_cards_only(void **state)
{
    (void)state;
    cb_relay_tap tap;
    cb_script script;
    cb_relay_tap_init(&tap);
    assert_int_equal(read_begun("{" TAP ",\"script\":[{\"apdu\":\"00A40400\"},{\"apdu\":"
                                "\"80ca0000\",\"when\":\"c0022001\"}],\"expires_in\":30}",
                                true, &tap),
                     CB_OK);
    assert_int_equal(cb_script_read(cb_buf_bytes(&tap.script), CB_COMMAND_MAX, &script), CB_OK);
    assert_int_equal(script.item[0].when.len, 0);
    assert_int_equal(script.item[1].flags, CB_SCRIPT_WHEN);
    assert_int_equal(script.item[1].when.len, 4);
    assert_memory_equal(script.item[1].when.data, "\xc0\x02\x20\x01", 4);
    cb_relay_tap_free(&tap);
}

static void anything_else_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "{\"script\":[{\"apdu\":\"00a40400\"}],\"expires_in\":30}",
        "{\"tap\":\"x\",\"script\":[{\"apdu\":\"00a40400\"}],\"expires_in\":30}",
        "{\"tap\":\"00000000-0000-0000-0000-000000000000\",\"script\":[{\"apdu\":\"00a40400\"}],"
        "\"expires_in\":30}",
        "{" TAP ",\"script\":[],\"expires_in\":30}",
        "{" TAP ",\"script\":{},\"expires_in\":30}",
        "{" TAP ",\"script\":[\"00a40400\"],\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"\"}],\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"0\"}],\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"zz\"}],\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\",\"go_on\":1}],\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\",\"when\":1}],\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\",\"when\":\"\"}],\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\",\"when\":\"c\"}],\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\",\"when\":"
        "\"000000000000000000000000000000000000000000000000000000000000000000\"}],"
        "\"expires_in\":30}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\"}]}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\"}],\"expires_in\":0}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\"}],\"expires_in\":-1}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\"}],\"expires_in\":601}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\"}],\"expires_in\":\"30\"}",
        "{" TAP ",\"script\":[{\"apdu\":\"00a40400\"}],\"expires_in\":9223372036854775807}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cb_relay_tap tap;
        cb_relay_tap_init(&tap);
        assert_int_equal(read_begun(bad[i], true, &tap), CB_E_PROTOCOL);
        assert_true(cb_id_is_zero(&tap.id));
        assert_int_equal(tap.script.len, 0);
        cb_relay_tap_free(&tap);
    }
}

/* A script of count commands, each of len bytes. */
static cb_error read_script_of(size_t count, size_t len)
{
    cb_relay_tap tap;
    cb_buf text = CB_BUF(CB_RELAY_BODY_MAX);
    cb_relay_tap_init(&tap);
    cb_buf_put_str(&text, "{" TAP ",\"expires_in\":30,\"script\":[");
    for (size_t i = 0; i < count; i++) {
        cb_buf_put_str(&text, i ? ",{\"apdu\":\"" : "{\"apdu\":\"");
        for (size_t j = 0; j < len; j++)
            cb_buf_put_str(&text, "00");
        cb_buf_put_str(&text, "\"}");
    }
    cb_buf_put_str(&text, "]}");
    cb_error error = read_begun(cb_buf_cstr(&text), true, &tap);
    cb_relay_tap_free(&tap);
    cb_buf_free(&text);
    return error;
}

static void scripts_have_limits(void **state)
{
    (void)state;
    assert_int_equal(read_script_of(CB_SCRIPT_COMMANDS_MAX, CB_COMMAND_MAX), CB_OK);
    assert_int_equal(read_script_of(CB_SCRIPT_COMMANDS_MAX + 1, 4), CB_E_PROTOCOL);
    assert_int_equal(read_script_of(1, CB_COMMAND_MAX + 1), CB_E_PROTOCOL);
}

static void bodies_that_are_no_object_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "[]", "1", "{", "{}x", "{\"a\":1,\"a\":2}", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *root = NULL;
        assert_int_equal(cb_json_read(cb_bytes_str(bad[i]), &root), CB_E_PROTOCOL);
        assert_null(root);
    }
}

static void answers_are_written_in_order(void **state)
{
    (void)state;
    cb_buf answers = CB_BUF(64);
    cb_buf text = CB_BUF(64);
    cb_script_put(&answers, 0, CB_BYTES_OF(((uint8_t[]){0x90, 0x00})));
    cb_script_put(&answers, 0, CB_BYTES_OF(((uint8_t[]){0x01, 0x6A, 0x82})));
    json_t *root = cb_json_answers(cb_buf_bytes(&answers));
    assert_int_equal(cb_json_write(root, &text), CB_OK);
    assert_string_equal(cb_buf_cstr(&text), "[\"9000\",\"016a82\"]");
    json_decref(root);
    root = cb_json_answers((cb_bytes){0});
    assert_int_equal(json_array_size(root), 0);
    json_decref(root);
    cb_buf_free(&answers);
    cb_buf_free(&text);
}

static void only_an_accept_is_an_accept(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool accepted;
    } cases[] = {{"{\"outcome\":\"accepted\"}", true},
                 {"{\"outcome\":\"accepted\",\"delivery\":{\"kind\":\"token\"}}", true},
                 {"{\"outcome\":\"accepted\",\"delivery\":null}", true},
                 {"{\"outcome\":\"accepted\",\"delivery\":\"x\"}", false},
                 {"{\"outcome\":\"refused\"}", false},
                 {"{\"outcome\":true}", false},
                 {"{}", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = NULL;
        assert_int_equal(cb_json_read(cb_bytes_str(cases[i].text), &root), CB_OK);
        assert_int_equal(cb_json_accepted(root), cases[i].accepted);
        json_decref(root);
    }
}

static void a_card_is_registered_when_the_broker_says_which_and_whose(void **state)
{
    static const struct {
        const char *text;
        bool registered;
    } cases[] = {
        {"{\"outcome\":\"registered\",\"card\":\"0189f7c2-0000-7000-8000-0000000000c1\",\"holder\":"
         "\"0189f7c2-0000-7000-8000-000000000001\"}",
         true},
        {"{\"outcome\":\"accepted\",\"card\":\"0189f7c2-0000-7000-8000-0000000000c1\",\"holder\":"
         "\"0189f7c2-0000-7000-8000-000000000001\"}",
         false},
        {"{\"outcome\":\"registered\",\"card\":\"x\",\"holder\":"
         "\"0189f7c2-0000-7000-8000-000000000001\"}",
         false},
        {"{\"outcome\":\"registered\",\"card\":\"0189f7c2-0000-7000-8000-0000000000c1\",\"holder\":1}",
         false},
        {"{\"outcome\":\"registered\"}", false},
        {"{}", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = NULL;
        assert_int_equal(cb_json_read(cb_bytes_str(cases[i].text), &root), CB_OK);
        assert_int_equal(cb_json_registered(root), cases[i].registered);
        json_decref(root);
    }
}

static void a_card_is_renewed_or_ended_when_the_broker_says_so(void **state)
{
    static const struct {
        const char *text;
        bool renewed, ended;
    } cases[] = {{"{\"outcome\":\"renewed\"}", true, false},
                 {"{\"outcome\":\"card_ended\"}", false, true},
                 {"{\"outcome\":\"accepted\",\"renewed\":true}", false, false},
                 {"{\"outcome\":[\"renewed\"]}", false, false},
                 {"{}", false, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = NULL;
        assert_int_equal(cb_json_read(cb_bytes_str(cases[i].text), &root), CB_OK);
        assert_int_equal(cb_json_renewed(root), cases[i].renewed);
        assert_int_equal(cb_json_card_ended(root), cases[i].ended);
        json_decref(root);
    }
}

/* ---- problems ---- */

static cb_problem problem_of(unsigned status, const char *body)
{
    cb_problem problem;
    cb_problem_read(&problem, status, cb_bytes_str(body), -1);
    return problem;
}

static void a_problem_keeps_its_code_its_words_and_what_goes_with_it(void **state)
{
    (void)state;
    cb_problem problem = problem_of(422, "{\"code\":\"pin.wrong\",\"detail\":\"Wrong.\","
                                         "\"request\":\"0189f7c2\",\"tries_left\":2}");
    assert_int_equal(problem.error, CB_E_PIN_WRONG);
    assert_string_equal(problem.code, "pin.wrong");
    assert_string_equal(problem.detail, "Wrong.");
    assert_string_equal(problem.request, "0189f7c2");
    assert_int_equal(problem.tries_left, 2);
    assert_int_equal(problem.status, 422);
}

static void a_problem_without_a_document_goes_by_its_status(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        cb_error error;
    } cases[] = {{401, CB_E_TERMINAL_UNKNOWN}, {403, CB_E_DENIED}, {404, CB_E_NOT_FOUND},
                 {413, CB_E_TOO_LARGE},        {429, CB_E_TERMINAL_RATE}, {503, CB_E_BUSY},
                 {504, CB_E_TIMEOUT},          {500, CB_E_PROTOCOL}, {302, CB_E_PROTOCOL},
                 {200, CB_E_PROTOCOL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(problem_of(cases[i].status, "<html>").error, cases[i].error);
        assert_int_equal(problem_of(cases[i].status, "{\"code\":7}").error, cases[i].error);
    }
}

static void an_unknown_code_is_kept_but_never_a_success(void **state)
{
    (void)state;
    cb_problem problem = problem_of(418, "{\"code\":\"card.teapot\",\"detail\":\"New.\"}");
    assert_int_equal(problem.error, CB_E_PROTOCOL);
    assert_string_equal(problem.code, "card.teapot");
    assert_int_not_equal(problem_of(500, "{\"code\":\"ok\"}").error, CB_OK);
}

static void outside_text_is_cut_and_has_no_control_characters(void **state)
{
    (void)state;
    char body[2000] = "{\"code\":\"card.revoked\",\"detail\":\"\\u001b[2J";
    memset(body + strlen(body), 'x', 1500);
    memcpy(body + strlen(body), "\",\"tries_left\":9999}", 21);
    cb_problem problem = problem_of(422, body);
    assert_int_equal(problem.detail[0], '?');
    assert_int_equal(strlen(problem.detail), CB_PROBLEM_DETAIL - 1);
    assert_int_equal(problem.tries_left, -1);
}

static void exit_statuses_tell_whose_turn_it_is(void **state)
{
    (void)state;
    assert_int_equal(cb_problem_exit(CB_OK), 0);
    assert_int_equal(cb_problem_exit(CB_E_PIN_WRONG), 3);
    assert_int_equal(cb_problem_exit(CB_E_CARD_REVOKED), 3);
    assert_int_equal(cb_problem_exit(CB_E_CARD_REMOVED), 3);
    assert_int_equal(cb_problem_exit(CB_E_BROKER_DOWN), 69);
    assert_int_equal(cb_problem_exit(CB_E_BROKER_CERTIFICATE), 69);
    assert_int_equal(cb_problem_exit(CB_E_BUSY), 69);
    assert_int_equal(cb_problem_exit(CB_E_CONFIG), 78);
    assert_int_equal(cb_problem_exit(CB_E_TERMINAL_UNKNOWN), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_is_read),
        cmocka_unit_test(a_command_may_be_for_some_cards_only),
        cmocka_unit_test(anything_else_is_refused_and_changes_nothing),
        cmocka_unit_test(scripts_have_limits),
        cmocka_unit_test(bodies_that_are_no_object_are_refused),
        cmocka_unit_test(answers_are_written_in_order),
        cmocka_unit_test(only_an_accept_is_an_accept),
        cmocka_unit_test(a_card_is_registered_when_the_broker_says_which_and_whose),
        cmocka_unit_test(a_card_is_renewed_or_ended_when_the_broker_says_so),
        cmocka_unit_test(a_problem_keeps_its_code_its_words_and_what_goes_with_it),
        cmocka_unit_test(a_problem_without_a_document_goes_by_its_status),
        cmocka_unit_test(an_unknown_code_is_kept_but_never_a_success),
        cmocka_unit_test(outside_text_is_cut_and_has_no_control_characters),
        cmocka_unit_test(exit_statuses_tell_whose_turn_it_is),
    };
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
