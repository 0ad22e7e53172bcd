/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/ctl/args.h"

static const cb_ctl_option options[] = {{"name", "NAME", "", true, false},
                                        {"service", "S", "", false, true},
                                        {"activate", NULL, "", false, false},
                                        {0}};
static const cb_ctl_option common[] = {
    {"run", "DIR", "", false, false}, {"name", "X", "", false, false}, {0}};

typedef struct line {
    cb_ctl_args args;
    cb_buf why;
} line;

/* Reads words ended by NULL, with at most one operand. */
static cb_error read_words(line *l, unsigned least, const char *const *words)
{
    int count = 0;
    while (words[count])
        count++;
    l->why = CB_BUF(1024);
    return cb_ctl_args_read(count, words, options, common, least, 1, &l->args, &l->why);
}

#define READ(l, least, ...) read_words(l, least, (const char *[]){__VA_ARGS__, NULL})

static void assert_refused(cb_error error, line *l, const char *why)
{
    assert_int_equal(error, CB_E_ARGUMENT);
    assert_string_equal(cb_buf_cstr(&l->why), why);
    cb_buf_free(&l->why);
}

static void values_follow_or_are_joined(void **state)
{
    (void)state;
    line l;
    assert_int_equal(
        READ(&l, 1, "--name", "a b", "--service=x", "op", "--service", "y", "--activate"), CB_OK);
    assert_string_equal(cb_ctl_arg(&l.args, "name"), "a b");
    assert_string_equal(cb_ctl_arg_at(&l.args, "service", 0), "x");
    assert_string_equal(cb_ctl_arg_at(&l.args, "service", 1), "y");
    assert_null(cb_ctl_arg_at(&l.args, "service", 2));
    assert_non_null(cb_ctl_arg(&l.args, "activate"));
    assert_null(cb_ctl_arg(&l.args, "run"));
    assert_string_equal(l.args.operand[0], "op");
}

static void an_option_of_the_command_hides_a_common_one(void **state)
{
    (void)state;
    line l;
    assert_int_equal(READ(&l, 0, "--name", "n", "--run", "r"), CB_OK);
    assert_ptr_equal(l.args.given[0].option, &options[0]);
    assert_ptr_equal(l.args.given[1].option, &common[0]);
}

static void slips_are_refused(void **state)
{
    (void)state;
    line l;
    assert_refused(READ(&l, 0, "--nam", "x"), &l, "there is no option --nam here");
    assert_refused(READ(&l, 0, "--names", "x"), &l, "there is no option --names here");
    assert_refused(READ(&l, 0, "-n", "x"), &l, "there is no option -n here");
    assert_refused(READ(&l, 0, "--name"), &l, "--name needs a value");
    assert_refused(READ(&l, 0, "--name="), &l, "--name needs a value that is not empty");
    assert_refused(READ(&l, 0, "--name", ""), &l, "--name needs a value that is not empty");
    assert_refused(READ(&l, 0, "--name", "a", "--name", "b"), &l, "--name is given twice");
    assert_refused(READ(&l, 0, "--name", "a", "--activate=no"), &l, "--activate takes no value");
    assert_refused(READ(&l, 0, "--name", "a", "1", "2"), &l, "2 is one word too many");
    assert_refused(READ(&l, 1, "--name", "a"), &l, "an operand is missing");
    assert_refused(READ(&l, 0, "--activate"), &l, "--name is missing");
}

static void dashes_end_the_options(void **state)
{
    (void)state;
    line l;
    assert_int_equal(READ(&l, 1, "--name", "--activate", "--", "--run"), CB_OK);
    assert_string_equal(cb_ctl_arg(&l.args, "name"), "--activate");
    assert_null(cb_ctl_arg(&l.args, "activate"));
    assert_string_equal(l.args.operand[0], "--run");
}

static void help_needs_nothing_else(void **state)
{
    (void)state;
    line l;
    assert_int_equal(READ(&l, 1, "--help"), CB_OK);
    assert_true(l.args.help);
}

static void there_is_a_limit_to_options(void **state)
{
    (void)state;
    const char *words[CB_CTL_VALUES_MAX + 3];
    line l;
    for (unsigned i = 0; i < CB_CTL_VALUES_MAX + 2; i++)
        words[i] = "--service=x";
    words[CB_CTL_VALUES_MAX + 1] = NULL;
    assert_refused(read_words(&l, 0, words), &l, "too many options, from --service=x on");
}

static void numbers_are_decimal_and_bounded(void **state)
{
    (void)state;
    uint64_t number = 7;
    assert_int_equal(cb_ctl_number(NULL, 10, &number), CB_OK);
    assert_int_equal(number, 7);
    assert_int_equal(cb_ctl_number("10", 10, &number), CB_OK);
    assert_int_equal(number, 10);
    const char *bad[] = {"",
                         "11",
                         "-1",
                         "+1",
                         " 1",
                         "1 ",
                         "0x1",
                         "1e3",
                         "99999999999999999999",
                         "a",
                         "18446744073709551617"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cb_ctl_number(bad[i], 10, &number), CB_E_ARGUMENT);
    assert_int_equal(number, 10);
}

static void durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {{"90", 90}, {"90s", 90}, {"15m", 900}, {"8h", 28800}, {"366d", 31622400}, {"0", 0}};
    uint64_t seconds = 0;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(cb_ctl_duration(good[i].text, &seconds), CB_OK);
        assert_int_equal(seconds, good[i].seconds);
    }
    const char *bad[] = {"", "m", "1w", "1.5h", "367d", "-1s", "8 h", "1hh", "999999999999999999d"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cb_ctl_duration(bad[i], &seconds), CB_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow_or_are_joined),
        cmocka_unit_test(an_option_of_the_command_hides_a_common_one),
        cmocka_unit_test(slips_are_refused),
        cmocka_unit_test(dashes_end_the_options),
        cmocka_unit_test(help_needs_nothing_else),
        cmocka_unit_test(there_is_a_limit_to_options),
        cmocka_unit_test(numbers_are_decimal_and_bounded),
        cmocka_unit_test(durations_have_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
