/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Files of cards and of serials: which line is which, and what is no line.
 */
#include "broker/ctl/lines.h"

#include <string.h>

#include <stdio.h>

#include "tests/unit/base/test.h"

static cb_card_line line;

static cb_card_lines over(const char *text)
{
    return (cb_card_lines){.text = text, .size = strlen(text)};
}

static void a_card_has_four_columns_and_the_holder_the_rest(void **state)
{
    bool whole = false;
    cb_card_lines file = over("7f21,ACME/1001,,Yamada, Hanako\r\n7f22,,01a1,x");
    (void)state;
    assert_true(cb_card_lines_next(&file, 0, &line, &whole));
    assert_true(whole);
    assert_int_equal(file.line, 1);
    assert_null(cb_card_line_split(&line));
    assert_string_equal(line.certificate, "7f21");
    assert_string_equal(line.serial, "ACME/1001");
    assert_string_equal(line.application, "");
    assert_string_equal(line.holder, "Yamada, Hanako");
    assert_true(cb_card_lines_next(&file, 0, &line, &whole));
    assert_null(cb_card_line_split(&line));
    assert_string_equal(line.application, "01a1");
    assert_string_equal(line.holder, "x");
    assert_false(cb_card_lines_next(&file, 0, &line, &whole));
}

static void a_line_with_too_few_columns_says_so(void **state)
{
    static const char *const bad[] = {"x", "x,", "x,y", "x,y,z", "x,y,z,"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool whole = false;
        cb_card_lines file = over(bad[i]);
        assert_true(cb_card_lines_next(&file, 0, &line, &whole));
        assert_non_null(cb_card_line_split(&line));
    }
}

static void lines_that_say_nothing_are_counted_and_passed_over(void **state)
{
    bool whole = false;
    const char *text = "# head\n\r\n\na,,,b\n#c,,,d\ne,,,f\n";
    cb_card_lines file = over(text);
    (void)state;
    assert_int_equal(cb_card_lines_count(text, strlen(text)), 6);
    assert_true(cb_card_lines_next(&file, 0, &line, &whole));
    assert_int_equal(file.line, 4);
    assert_true(cb_card_lines_next(&file, 0, &line, &whole));
    assert_int_equal(file.line, 6);
    assert_false(cb_card_lines_next(&file, 0, &line, &whole));
    file = over(text); /* from where another run had come to */
    assert_true(cb_card_lines_next(&file, 4, &line, &whole));
    assert_int_equal(file.line, 6);
    assert_int_equal(cb_card_lines_count("", 0), 0);
    assert_int_equal(cb_card_lines_count("a\nb", 3), 2);
}

static void what_does_not_fit_or_is_no_text_is_said_and_the_next_is_taken(void **state)
{
    static char text[2 * CB_CARD_LINE_MAX];
    bool whole = true;
    (void)state;
    for (size_t len = CB_CARD_LINE_MAX - 1; len <= CB_CARD_LINE_MAX; len++) {
        memset(text, 'a', len);
        memcpy(text + len, "\nb,,,c\n", 8);
        cb_card_lines file = over(text);
        assert_true(cb_card_lines_next(&file, 0, &line, &whole));
        assert_int_equal(whole, len < CB_CARD_LINE_MAX);
        assert_int_equal(strlen(line.text), whole ? len : 0);
        assert_true(cb_card_lines_next(&file, 0, &line, &whole));
        assert_true(whole);
        assert_string_equal(line.text, "b,,,c");
    }
    cb_card_lines file = {.text = "a,\0,,b\n", .size = 7};
    assert_true(cb_card_lines_next(&file, 0, &line, &whole));
    assert_false(whole);
    assert_string_equal(line.text, "");
}

static void a_serial_has_its_line_and_perhaps_an_identity(void **state)
{
    char text[] = "# list\n1001\r\n1002,id\r\r1003,\n,id\n1004";
    static const struct {
        const char *serial, *identity;
    } due[] = {{NULL, ""},   {"1001", ""}, {"1002", "id"}, {NULL, ""},
               {"1003", ""}, {"", "id"},   {"1004", ""}};
    cb_serial_lines file = {.next = text};
    const char *serial, *identity;
    (void)state;
    for (size_t i = 0; i < sizeof due / sizeof *due; i++) {
        assert_true(cb_serial_lines_next(&file, &serial, &identity));
        assert_int_equal(file.line, i + 1);
        assert_int_equal(serial != NULL, due[i].serial != NULL);
        if (serial)
            assert_string_equal(serial, due[i].serial);
        assert_string_equal(identity, due[i].identity);
    }
    assert_false(cb_serial_lines_next(&file, &serial, &identity));
    file = (cb_serial_lines){.next = NULL};
    assert_false(cb_serial_lines_next(&file, &serial, &identity));
}

static void a_column_in_quotes_is_read_as_it_was_written(void **state)
{
    static const char *const none[] = {"", "a", "\"", "\"a", "\"a\"b", "\"a\"\"", "\"a\" ,"};
    char text[] = "\"a,\"\"b\"\"\",\"\",\"c\"", *at = text;
    (void)state;
    assert_string_equal(cb_quoted_next(&at), "a,\"b\"");
    assert_string_equal(cb_quoted_next(&at), "");
    assert_string_equal(cb_quoted_next(&at), "c");
    assert_string_equal(at, "");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char copy[16];
        snprintf(copy, sizeof copy, "%s", none[i]);
        at = copy;
        assert_null(cb_quoted_next(&at));
        assert_ptr_equal(at, copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_has_four_columns_and_the_holder_the_rest),
        cmocka_unit_test(a_line_with_too_few_columns_says_so),
        cmocka_unit_test(lines_that_say_nothing_are_counted_and_passed_over),
        cmocka_unit_test(what_does_not_fit_or_is_no_text_is_said_and_the_next_is_taken),
        cmocka_unit_test(a_serial_has_its_line_and_perhaps_an_identity),
        cmocka_unit_test(a_column_in_quotes_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
