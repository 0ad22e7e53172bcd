/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/pin_reset.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "hsm/durable.h"
#include "hsm/guesses.h"
#include "test.h"

static char folder[64], path[128];
static const cb_id card = {{1}}, terminal = {{2}}, elsewhere = {{3}};
static const int64_t now = 1700000000 * CB_SECOND;

static int fresh(void **state)
{
    cb_memo *memo;
    snprintf(folder, sizeof folder, "/tmp/cardbroker-reset-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/memo", folder);
    good(cb_durable_make(path));
    good(cb_memo_open(path, &memo));
    *state = memo;
    return 0;
}

static int gone(void **state)
{
    cb_memo *memo = *state;
    cb_memo_close(&memo);
    unlink(path);
    return rmdir(folder);
}

static cb_error take(cb_memo *memo, int64_t when)
{
    return cb_pin_reset_take(memo, &card, &terminal, when);
}

static void it_is_taken_once_and_another_process_knows(void **state)
{
    cb_memo *memo = *state, *second;
    good(cb_memo_open(path, &second));
    expect(CB_E_PIN_RESET_REFUSED, take(memo, now));
    good(cb_pin_reset_allow(memo, &card, &terminal, now + CB_SECOND));
    good(take(second, now));
    expect(CB_E_PIN_RESET_REFUSED, take(memo, now));
    cb_memo_close(&second);
    good(cb_memo_open(path, &second)); /* begun anew */
    expect(CB_E_PIN_RESET_REFUSED, take(second, now));
    good(cb_pin_reset_allow(second, &card, &terminal, now + CB_SECOND));
    good(take(memo, now));
    cb_memo_close(&second);
}

static void it_is_for_its_card_terminal_and_time(void **state)
{
    cb_memo *memo = *state;
    const int64_t most = (int64_t)CB_PIN_RESET_MOST_S * CB_SECOND;
    good(cb_pin_reset_allow(memo, &card, &terminal, now + most));
    expect(CB_E_PIN_RESET_REFUSED, cb_pin_reset_take(memo, &terminal, &card, now));
    expect(CB_E_PIN_RESET_REFUSED, cb_pin_reset_take(memo, &card, &elsewhere, now));
    good(take(memo, now + most - 1)); /* which the others have left as it was */
    good(cb_pin_reset_allow(memo, &card, &terminal, now + CB_SECOND));
    expect(CB_E_PIN_RESET_REFUSED, take(memo, now + CB_SECOND));
    expect(CB_E_PIN_RESET_REFUSED,
           take(memo, now)); /* over is over, whatever the clock says then */
    good(cb_pin_reset_allow(memo, &card, &terminal, now + most));
    expect(CB_E_PIN_RESET_REFUSED, take(memo, now - 1)); /* a clock that was put back */
    expect(CB_E_PIN_RESET_REFUSED, take(memo, now));
}

static void a_new_one_takes_the_place_of_the_one_before(void **state)
{
    cb_memo *memo = *state;
    good(cb_pin_reset_allow(memo, &card, &terminal, now + CB_SECOND));
    good(cb_pin_reset_allow(memo, &card, &elsewhere, now + CB_SECOND));
    expect(CB_E_PIN_RESET_REFUSED, take(memo, now));
    good(cb_pin_reset_take(memo, &card, &elsewhere, now));
    expect(CB_E_PIN_RESET_REFUSED, cb_pin_reset_take(memo, &card, &elsewhere, now));
}

/* The file is shared with the guesses at passwords, whose identifiers managers choose. */
static void guesses_at_passwords_are_another_matter(void **state)
{
    cb_memo *memo = *state;
    bool allowed;
    good(cb_guesses_take(memo, &card, &terminal, now + CB_SECOND, &allowed));
    expect(CB_E_PIN_RESET_REFUSED, take(memo, now));
    good(cb_pin_reset_allow(memo, &card, &terminal, now + CB_SECOND));
    good(cb_guesses_forgive(memo, &card));
    good(take(memo, now));
}

static void asking_for_nothing_fills_no_disk(void **state)
{
    cb_memo *memo = *state;
    struct stat before, after;
    good(cb_pin_reset_allow(memo, &card, &terminal, now + CB_SECOND));
    assert_int_equal(stat(path, &before), 0);
    for (uint32_t i = 0; i < 5000; i++) {
        cb_id other = {{9}};
        memcpy(other.bytes + 4, &i, sizeof i);
        expect(CB_E_PIN_RESET_REFUSED, cb_pin_reset_take(memo, &other, &terminal, now));
    }
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_blocks, before.st_blocks);
}

static void *race(void *taken)
{
    cb_memo *memo;
    good(cb_memo_open(path, &memo));
    *(bool *)taken = take(memo, now) == CB_OK;
    cb_memo_close(&memo);
    return NULL;
}

static void of_many_that_ask_at_once_one_gets_it(void **state)
{
    enum { MANY = 8, ROUNDS = 10 };
    cb_memo *memo = *state;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t thread[MANY];
        bool taken[MANY];
        unsigned count = 0;
        good(cb_pin_reset_allow(memo, &card, &terminal, now + CB_SECOND));
        for (int i = 0; i < MANY; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, race, &taken[i]), 0);
        for (int i = 0; i < MANY; i++) {
            pthread_join(thread[i], NULL);
            count += taken[i];
        }
        assert_int_equal(count, 1);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fresh, gone)
    const struct CMUnitTest tests[] = {
        T(it_is_taken_once_and_another_process_knows),
        T(it_is_for_its_card_terminal_and_time),
        T(a_new_one_takes_the_place_of_the_one_before),
        T(guesses_at_passwords_are_another_matter),
        T(asking_for_nothing_fills_no_disk),
        T(of_many_that_ask_at_once_one_gets_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
