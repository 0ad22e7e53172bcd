/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is remembered of taps that were answered.
 */
#include "broker/core/tap_memory.h"

#include "tests/unit/base/test.h"

void cb_tap_outcome_free(cb_tap_outcome *outcome) { cb_buf_free(&outcome->value); }

static cb_tap_memory *memory;

static int open_memory(void **state)
{
    (void)state;
    return cb_tap_memory_open(&memory) == CB_OK ? 0 : -1;
}

static int close_memory(void **state)
{
    (void)state;
    cb_tap_memory_close(&memory);
    assert_null(memory);
    return 0;
}

static cb_tap_question_id question_of(uint16_t tap, uint8_t terminal, uint8_t answers)
{
    cb_tap_question_id question = {.terminal.bytes = {terminal}, .answers.bytes = {answers}};
    question.tap.bytes[14] = (uint8_t)(tap >> 8);
    question.tap.bytes[15] = (uint8_t)tap;
    return question;
}

static cb_tap_word word_of(cb_error error, const char *value)
{
    cb_tap_word word = {.error = error, .outcome = {.value = CB_BUF(CB_LOGIN_VALUE_MAX)}};
    cb_buf_put_str(&word.outcome.value, value);
    assert_int_equal(cb_buf_error(&word.outcome.value), CB_OK);
    return word;
}

static void answer(const cb_tap_question_id *question, cb_error error, const char *value)
{
    cb_tap_word word = word_of(error, value), unread;
    assert_int_equal(cb_tap_memory_claim(memory, question, &unread), CB_OK);
    cb_tap_memory_put(memory, question, &word);
    cb_tap_outcome_free(&word.outcome);
}

static cb_error ask(const cb_tap_question_id *question)
{
    cb_tap_word word = {.error = CB_OK};
    cb_error error = cb_tap_memory_claim(memory, question, &word);
    if (error == CB_E_EXISTS)
        cb_tap_outcome_free(&word.outcome);
    return error;
}

static void an_answer_is_given_again_to_who_has_the_same_question(void **state)
{
    (void)state;
    cb_tap_word word;
    cb_tap_question_id mine = question_of(1, 1, 1);
    cb_tap_question_id others[] = {question_of(1, 1, 2)};
    answer(&mine, CB_E_PIN_WRONG, "said");
    for (unsigned i = 0; i < CB_TAP_REPEATS; i++) {
        assert_int_equal(cb_tap_memory_claim(memory, &mine, &word), CB_E_EXISTS);
        assert_int_equal(word.error, CB_E_PIN_WRONG);
        assert_string_equal(cb_buf_cstr(&word.outcome.value), "said");
        cb_tap_outcome_free(&word.outcome);
        assert_int_equal(ask(&others[0]), CB_E_TAP_UNKNOWN);
    }
    assert_int_equal(ask(&mine), CB_E_TAP_UNKNOWN); /* often enough */
}

static void another_terminal_has_a_question_of_its_own(void **state)
{
    (void)state;
    cb_tap_question_id mine = question_of(1, 1, 1), theirs = question_of(1, 2, 1);
    answer(&mine, CB_OK, "mine");
    assert_int_equal(ask(&theirs), CB_OK); /* to find that there is no such tap */
    cb_tap_memory_forget(memory, &theirs);
    assert_int_equal(ask(&mine), CB_E_EXISTS);
    assert_int_equal(cb_tap_memory_count(memory), 1);
}

static void while_it_is_worked_on_nobody_else_works_on_it(void **state)
{
    (void)state;
    cb_tap_question_id mine = question_of(1, 1, 1);
    assert_int_equal(ask(&mine), CB_OK);
    assert_int_equal(ask(&mine), CB_E_TAP_UNDER_WAY);
    cb_tap_memory_sweep(memory, INT64_MAX);
    assert_int_equal(ask(&mine), CB_E_TAP_UNDER_WAY);
    cb_tap_memory_forget(memory, &mine);
    assert_int_equal(ask(&mine), CB_OK);
}

static void what_was_answered_is_not_forgotten_by_who_did_not_work_on_it(void **state)
{
    (void)state;
    cb_tap_question_id mine = question_of(1, 1, 1);
    answer(&mine, CB_OK, "mine");
    cb_tap_memory_forget(memory, &mine);
    assert_int_equal(ask(&mine), CB_E_EXISTS);
    cb_tap_word other = word_of(CB_OK, "other");
    cb_tap_memory_put(memory, &mine, &other);
    cb_tap_outcome_free(&other.outcome);
    cb_tap_word word;
    assert_int_equal(cb_tap_memory_claim(memory, &mine, &word), CB_E_EXISTS);
    assert_string_equal(cb_buf_cstr(&word.outcome.value), "mine");
    cb_tap_outcome_free(&word.outcome);
}

static void it_is_forgotten_after_a_while(void **state)
{
    (void)state;
    cb_tap_question_id mine = question_of(1, 1, 1);
    answer(&mine, CB_OK, "mine");
    cb_tap_memory_sweep(memory, cb_clock_monotonic_us() + CB_TAP_REMEMBERED - CB_SECOND);
    assert_int_equal(ask(&mine), CB_E_EXISTS);
    cb_tap_memory_sweep(memory, cb_clock_monotonic_us() + CB_TAP_REMEMBERED + CB_SECOND);
    assert_int_equal(cb_tap_memory_count(memory), 0);
}

static void of_too_many_the_oldest_are_forgotten(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < CB_TAP_MEMORY_MOST + 10; i++) {
        cb_tap_question_id question = question_of(i, 1, 1);
        answer(&question, CB_OK, "");
    }
    assert_int_equal(cb_tap_memory_count(memory), CB_TAP_MEMORY_MOST);
    cb_tap_question_id first = question_of(9, 1, 1), kept = question_of(10, 1, 1);
    assert_int_equal(ask(&kept), CB_E_EXISTS);
    assert_int_equal(ask(&first), CB_OK);
}

static void of_too_much_the_oldest_is_forgotten(void **state)
{
    (void)state;
    static char large[CB_LOGIN_VALUE_MAX + 1];
    memset(large, 'x', sizeof large - 1);
    unsigned fit = CB_TAP_MEMORY_BYTES / (sizeof large - 1);
    for (uint16_t i = 0; i < fit + 5; i++) {
        cb_tap_question_id question = question_of(i, 1, 1);
        answer(&question, CB_OK, large);
    }
    assert_int_equal(cb_tap_memory_count(memory), fit);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_memory, close_memory)
    const struct CMUnitTest tests[] = {
        T(an_answer_is_given_again_to_who_has_the_same_question),
        T(another_terminal_has_a_question_of_its_own),
        T(while_it_is_worked_on_nobody_else_works_on_it),
        T(what_was_answered_is_not_forgotten_by_who_did_not_work_on_it),
        T(it_is_forgotten_after_a_while),
        T(of_too_many_the_oldest_are_forgotten),
        T(of_too_much_the_oldest_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
