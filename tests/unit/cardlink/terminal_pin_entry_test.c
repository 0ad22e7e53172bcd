/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PINs from a descriptor: the right ones are taken, wrong ones are refused and nothing of them is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "cardlink/terminal/pin_entry.h"

static cb_error ask(const char *lines, cb_pin_form form, cb_pins *pins)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], lines, strlen(lines)), (ssize_t)strlen(lines));
    close(fds[1]);
    cb_error error = cb_pins_ask(pins, form, fds[0]);
    close(fds[0]);
    return error;
}

static void assert_digits(const cb_digits *digits, const char *text)
{
    assert_int_equal(digits->len, strlen(text));
    assert_memory_equal(digits->bytes, text, strlen(text));
}

static void a_pin_is_one_line(void **state)
{
    (void)state;
    static const char *const given[] = {"1234\n", "1234", "123456789012\n"};
    static const char *const taken[] = {"1234", "1234", "123456789012"};
    for (size_t i = 0; i < 3; i++) {
        cb_pins pins;
        assert_int_equal(ask(given[i], CB_PIN_FORM_VERIFY, &pins), CB_OK);
        assert_digits(&pins.secret, taken[i]);
        assert_int_equal(pins.fresh.len, 0);
    }
}

static void a_change_takes_two_lines_and_an_unblocking_a_code(void **state)
{
    (void)state;
    cb_pins pins;
    assert_int_equal(ask("1234\n567890\n", CB_PIN_FORM_CHANGE, &pins), CB_OK);
    assert_digits(&pins.secret, "1234");
    assert_digits(&pins.fresh, "567890");
    assert_int_equal(ask("12345678\n4321\n", CB_PIN_FORM_UNBLOCK, &pins), CB_OK);
    assert_digits(&pins.secret, "12345678");
    assert_digits(&pins.fresh, "4321");
}

static void assert_refused(const char *lines, cb_pin_form form, cb_error expected)
{
    static const cb_pins nothing;
    cb_pins pins;
    assert_int_equal(ask(lines, form, &pins), expected);
    assert_memory_equal(&pins, &nothing, sizeof pins);
}

static void what_is_no_pin_is_refused_and_wiped(void **state)
{
    (void)state;
    assert_refused("123\n", CB_PIN_FORM_VERIFY, CB_E_PIN_FORMAT);
    assert_refused("\n", CB_PIN_FORM_VERIFY, CB_E_PIN_FORMAT);
    assert_refused("12a4\n", CB_PIN_FORM_VERIFY, CB_E_PIN_FORMAT);
    assert_refused("1234 \n", CB_PIN_FORM_VERIFY, CB_E_PIN_FORMAT);
    assert_refused("1234567890123\n", CB_PIN_FORM_VERIFY, CB_E_PIN_FORMAT);
    assert_refused("", CB_PIN_FORM_VERIFY, CB_E_IO);
    assert_refused("1234\n", CB_PIN_FORM_CHANGE, CB_E_IO);
    assert_refused("1234\n12\n", CB_PIN_FORM_CHANGE, CB_E_PIN_FORMAT);
    assert_refused("1234567\n1234\n", CB_PIN_FORM_UNBLOCK, CB_E_PIN_FORMAT);
}

static void an_endless_line_ends(void **state)
{
    (void)state;
    char line[8192];
    memset(line, '1', sizeof line);
    line[sizeof line - 1] = 0;
    assert_refused(line, CB_PIN_FORM_VERIFY, CB_E_PIN_FORMAT);
}

static void what_follows_the_lines_is_left_alone(void **state)
{
    (void)state;
    int fds[2];
    cb_pins pins;
    char rest = 0;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "1234\nX", 6), 6);
    close(fds[1]);
    assert_int_equal(cb_pins_ask(&pins, CB_PIN_FORM_VERIFY, fds[0]), CB_OK);
    assert_int_equal(read(fds[0], &rest, 1), 1);
    assert_int_equal(rest, 'X');
    close(fds[0]);
}

static void a_descriptor_that_is_none_is_an_error(void **state)
{
    (void)state;
    cb_pins pins;
    assert_int_equal(cb_pins_ask(&pins, CB_PIN_FORM_VERIFY, 987), CB_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_is_one_line),
        cmocka_unit_test(a_change_takes_two_lines_and_an_unblocking_a_code),
        cmocka_unit_test(what_is_no_pin_is_refused_and_wiped),
        cmocka_unit_test(an_endless_line_ends),
        cmocka_unit_test(what_follows_the_lines_is_left_alone),
        cmocka_unit_test(a_descriptor_that_is_none_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
