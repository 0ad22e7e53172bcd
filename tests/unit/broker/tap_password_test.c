/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taps without a card: a name and a password.
 */
#include "tests/unit/broker/tap_world.h"

static void passwords_are_taken_where_terminal_and_service_do(void **state)
{
    (void)state;
    cb_id tap;
    const cb_tap_question change = {.purpose = CB_TAP_PIN_CHANGE, .pin = cb_bytes_str("x")};
    kind_of_card = CB_PROFILE_PASSWORD;
    service_level = CB_LEVEL_PASSWORD;
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask_for_tax(&tap), CB_E_TERMINAL_PASSWORDS);
    terminal_passwords = true;
    for (uint8_t level = CB_LEVEL_POSSESSION; level <= CB_LEVEL_PASSWORD; level++) {
        assert_int_equal(start(&tap), CB_OK);
        service_level = level;
        trace[0] = 0;
        assert_int_equal(ask_for_tax(&tap), level == CB_LEVEL_PASSWORD ? CB_OK : CB_E_TAP_LEVEL);
        assert_int_equal(strstr(trace, "challenge") != NULL, level == CB_LEVEL_PASSWORD);
    }
    assert_int_equal(start(&tap), CB_OK);
    assert_int_equal(ask(&tap, &change), CB_E_CARD_FOREIGN);
}

/* What hsmd is asked, what is recorded, what is told. */
static void nobody_is_told_whether_there_is_a_name(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        cb_error error, told;
    } cases[] = {{"lookup", CB_E_CARD_UNKNOWN, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_PASSWORD_WRONG, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_PASSWORD_DELAYED, CB_E_PASSWORD_WRONG},
                 {"activate", CB_E_CARD_SUSPENDED, CB_E_CARD_SUSPENDED},
                 {"activate", CB_E_HSM_DOWN, CB_E_HSM_DOWN},
                 {"lookup", CB_E_STORE, CB_E_STORE},
                 {"state", CB_E_CARD_NOT_ACTIVE, CB_E_CARD_NOT_ACTIVE}};
    kind_of_card = CB_PROFILE_PASSWORD;
    service_level = CB_LEVEL_PASSWORD;
    terminal_passwords = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_tap_outcome outcome;
        trace[0] = 0;
        failing = cases[i].step;
        failure = cases[i].error;
        assert_int_equal(run(&outcome), cases[i].told);
        assert_int_equal(recorded, cases[i].error);
        assert_int_equal(strstr(trace, "activate") != NULL, failure != CB_E_STORE);
        assert_null(strstr(trace, "intent"));
        cb_tap_outcome_free(&outcome);
    }
    failing = NULL;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_taps)
    const struct CMUnitTest tests[] = {
        T(passwords_are_taken_where_terminal_and_service_do),
        T(nobody_is_told_whether_there_is_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
