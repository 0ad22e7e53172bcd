/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/ctl/http.h"
#include "broker/ctl/output.h"

static void assert_plain(const char *text, const char *expected)
{
    cb_buf out = CB_BUF(4096);
    cb_ctl_plain(&out, text);
    assert_string_equal(cb_buf_cstr(&out), expected);
    cb_buf_free(&out);
}

static void names_cannot_act_on_the_terminal(void **state)
{
    (void)state;
    assert_plain("田中 花子", "田中 花子");
    assert_plain("a\x1b[2Jb\n\r\t\x7f", "a\\x1b[2Jb\\x0a\\x0d\\x09\\x7f");
    assert_plain("\xc2\x9b"
                 "1m",
                 "\\u{9b}1m"); /* a control character of its own */
    assert_plain("abc\xe2\x80\xae"
                 "def",
                 "abc\\u{202e}def"); /* turns the direction */
    assert_plain("\xff\xc0\x80\xed\xa0\x80\xe7\x94", "\\xff\\xc0\\x80\\xed\\xa0\\x80\\xe7\\x94");
    assert_plain("\xe2\x80\x8b\xef\xbb\xbf", "\\u{200b}\\u{feff}");
}

static void wide_characters_take_two_cells(void **state)
{
    (void)state;
    assert_int_equal(cb_ctl_width("abc"), 3);
    assert_int_equal(cb_ctl_width("田中"), 4);
    assert_int_equal(cb_ctl_width(""), 0);
}

static void assert_field(const char *json, const char *path, const char *expected)
{
    json_t *object = json_loads(json, 0, NULL);
    cb_buf out = CB_BUF(4096);
    assert_non_null(object);
    cb_ctl_field(&out, object, path);
    assert_string_equal(cb_buf_cstr(&out), expected);
    cb_buf_free(&out);
    json_decref(object);
}

static void fields_are_words(void **state)
{
    (void)state;
    assert_field("{\"a\":\"x\"}", "a", "x");
    assert_field("{\"a\":\"\"}", "a", "-");
    assert_field("{\"a\":null}", "a", "-");
    assert_field("{}", "a", "-");
    assert_field("{\"a\":{\"b\":7}}", "a.b", "7");
    assert_field("{\"a\":null}", "a.b", "-");
    assert_field("{\"a\":[\"x\",\"y\"]}", "a", "x, y");
    assert_field("{\"a\":true}", "a", "yes");
    assert_field("{\"a\":{\"b\":1}}", "a", "{\"b\":1}");
    assert_field("{\"level\":2}", "level", "pin");
    assert_field("{\"level\":9}", "level", "9");
    assert_field("{\"profile\":1}", "profile", "native");
    assert_field("{\"profile\":0}", "profile", "0");
}

static void columns_are_aligned(void **state)
{
    (void)state;
    static const cb_ctl_column columns[] = {{"A", "a"}, {"B", "b"}, {0}};
    char *text = NULL;
    size_t len = 0;
    cb_ctl ctl = {.out = open_memstream(&text, &len), .err = stderr};
    json_t *rows = json_loads("[{\"a\":\"田中\",\"b\":\"1\"},{\"a\":\"x\",\"b\":\"2\"}]", 0, NULL);
    assert_int_equal(cb_ctl_table(&ctl, rows, columns), CB_CTL_DONE);
    fclose(ctl.out);
    assert_string_equal(text, "A     B\n田中  1\nx     2\n");
    json_decref(rows);
    free(text);
}

/* cardbrokerd may be somebody else: its identifiers are text like any other. */
static void what_was_done_cannot_act_on_the_terminal(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    cb_ctl ctl = {.out = open_memstream(&text, &len), .err = stderr};
    assert_int_equal(cb_ctl_done(&ctl, NULL, "holder %s added", "1\x1b]0;x\x07\x7f\xe2\x80\xae"),
                     CB_CTL_DONE);
    fclose(ctl.out);
    assert_string_equal(text, "holder 1\\x1b]0;x\\x07\\x7f\\u{202e} added\n");
    free(text);
}

static void paths_are_escaped(void **state)
{
    (void)state;
    cb_buf out = CB_BUF(256);
    cb_ctl_path(&out, "/v1/x?a=%s&b=%s", "a b/&?%", "\xe7\x94");
    assert_string_equal(cb_buf_cstr(&out), "/v1/x?a=a%20b%2F%26%3F%25&b=%E7%94");
    cb_buf_free(&out);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_cannot_act_on_the_terminal),
        cmocka_unit_test(wide_characters_take_two_cells),
        cmocka_unit_test(fields_are_words),
        cmocka_unit_test(columns_are_aligned),
        cmocka_unit_test(what_was_done_cannot_act_on_the_terminal),
        cmocka_unit_test(paths_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
