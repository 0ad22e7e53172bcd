/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is counted is what the record says: with clocks that are set, by several at a time, in a crash,
 * and when somebody writes the database.
 */
#include "failures_stage.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Clocks ---- */

/* Without a leaf: of these the record says nothing. */
static void fail_at(world *w, uint8_t kind, const cb_id *card, int64_t time)
{
    fail_then(w, kind, card, time, false);
}

static void a_clock_that_is_set_forgives_no_row_and_locks_nothing_up(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    fail_at(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON);
    fail_at(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON + 5000 * DAY); /* set forward by mistake */
    fail_at(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON);              /* and back */
    assert_int_equal(of_card(&w).pins_row, 3);
    assert_int_equal(of_card(&w).pins_today, 1);
    fail_at(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON - 5000 * DAY);
    assert_int_equal(card_state(&w), CB_CARD_SUSPENDED);
    for (unsigned i = 0; i < 9; i++) {
        cb_id card = add_card(&w, true);
        fail_at(&w, CB_FAILURE_PROOF, &card, NOON + 5000 * DAY);
    }
    cb_failure_row row = of_terminal(&w);
    assert_true(cb_failures_slow(&row, &limits, NOON + 5000 * DAY));
    assert_false(cb_failures_slow(&row, &limits, NOON));
    fail_at(&w, CB_FAILURE_PROOF, &w.card, NOON);
    assert_int_equal(of_terminal(&w).counted, 1);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    world_end(&w);
}

static void an_hour_later_a_terminal_is_as_before(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 9; i++) {
        cb_id card = add_card(&w, true);
        fail_at(&w, CB_FAILURE_PROOF, &card, NOON);
    }
    cb_failure_row row = of_terminal(&w);
    assert_true(cb_failures_slow(&row, &limits, NOON));
    assert_false(cb_failures_slow(&row, &limits, NOON + limits.window));
    fail_at(&w, CB_FAILURE_PROOF, &w.card, NOON + limits.window);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    world_end(&w);
}

static void of_each_only_so_many_days_are_kept(void **state)
{
    world w;
    days all = {0};
    cb_failure_query query = {.to = INT32_MAX, .of = CB_OF_CARD, .limit = CB_PAGE_LIMIT};
    (void)state;
    world_begin(&w);
    cb_id other = add_card(&w, true);
    for (int i = 0; i < CB_FAILURE_DAYS + 30; i++)
        fail_at(&w, CB_FAILURE_PASSWORD, &other, NOON + i * DAY);
    assert_int_equal(cb_failures_report(w.store, &query, add_day, &all), CB_OK);
    assert_int_equal(all.count, CB_FAILURE_DAYS);
    world_end(&w);
}

/* ---- Several at a time, and in the middle ---- */

static void *fail_often(void *context)
{
    world *w = context;
    static const cb_failure_limits none = {.window = 1};
    for (int i = 0; i < 100; i++) {
        cb_refusal refusal = {.tap = cb_id_random(),
                              .card = w->card,
                              .holder = w->holder.id,
                              .terminal = w->terminal.id,
                              .error = CB_E_PIN_WRONG,
                              .wrong_pins = 1,
                              .limits = &none};
        if (cb_decide_refused(w->store, &refusal, NULL) != CB_OK)
            return w;
    }
    return NULL;
}

static void threads_that_count_at_a_time_lose_nothing(void **state)
{
    world w;
    pthread_t thread[4];
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, fail_often, &w), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *failed = NULL;
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(of_card(&w).count[CB_FAILURE_WRONG_PIN], 400);
    assert_int_equal(of_terminal(&w).pins_row, 400);
    verify_and_end(&w);
}

typedef struct death {
    const char *step;
    int left; /* of such steps; then it dies */
} death;

static void die(void *context, const char *step)
{
    death *d = context;
    if (strcmp(step, d->step) == 0 && d->left-- == 0)
        kill(getpid(), SIGKILL);
}

/* Three wrong PINs, and a fourth that suspends the card: how many were answered. */
static int live_until(world *w, death *d)
{
    int told[2], status;
    char one;
    int count = 0;
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        w->options.probe = die;
        w->options.probe_context = d;
        if (cb_store_open(&w->options, &w->store) != CB_OK)
            _exit(3);
        for (int i = 0; i < 4; i++) {
            wrong_pins(w, 1);
            if (write(told[1], "x", 1) != 1)
                _exit(4);
        }
        cb_store_close(&w->store);
        _exit(0);
    }
    close(told[1]);
    while (read(told[0], &one, 1) == 1)
        count++;
    close(told[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return count;
}

static void a_crash_at_any_step_leaves_refusal_and_count_together(void **state)
{
    static const char *const steps[] = {"ran", "commit", "committed"};
    (void)state;
    for (unsigned s = 0; s < 3; s++) {
        for (int when = 0; when < 4; when++) {
            world w;
            death d = {steps[s], when};
            world_begin(&w);
            world_close(&w);
            int answered = live_until(&w, &d);
            assert_int_equal(verify_file(&w, NULL), CB_OK); /* counts are those of the leaves */
            world_open(&w);
            uint64_t counted = of_card(&w).count[CB_FAILURE_WRONG_PIN];
            assert_true(counted >= (uint64_t)answered && counted <= (uint64_t)answered + 1);
            assert_int_equal(card_state(&w), counted == 4 ? CB_CARD_SUSPENDED : CB_CARD_ACTIVE);
            world_close(&w);
            assert_int_equal(verify_file(&w, NULL), CB_OK);
            world_end(&w);
        }
    }
}

/* ---- Somebody writes the database ---- */

static void counts_that_were_edited_or_rolled_back_are_found(void **state)
{
    static const char *const edits[] = {
        "UPDATE failure SET wrong_pins = 0, pins_row = 0 WHERE kind = 'card'",
        "UPDATE failure SET pins_row = 0 WHERE kind = 'card'",
        "UPDATE failure SET pins_row = 9 WHERE kind = 'holder'",
        "UPDATE failure SET proofs_row = 0 WHERE kind = 'terminal'",
        "UPDATE failure SET told_pins = 0 WHERE kind = 'terminal'",
        "UPDATE failure SET passwords = 7",
        "UPDATE failure SET proofs = proofs + 1 WHERE kind = 'card'",
        "DELETE FROM failure WHERE kind = 'card'",
        "DELETE FROM failure; DELETE FROM failure_day",
        "DELETE FROM failure_day WHERE kind = 'holder'",
        "UPDATE failure_day SET wrong_pins = 1 WHERE kind = 'card'",
        "UPDATE failure SET pins_today = 0 WHERE kind = 'card'",
        "UPDATE failure SET pins_today = 0, day = day - 1 WHERE kind = 'card'",
        "UPDATE failure SET day = day + 1 WHERE kind = 'card'",
        "UPDATE failure SET claims_today = 1 WHERE kind = 'terminal'",
        "UPDATE failure SET claims_today = 9 WHERE kind = 'holder'",
        "UPDATE failure SET last = last - 1 WHERE kind = 'holder'",
        "INSERT INTO failure SELECT kind, randomblob(16), wrong_pins, proofs, told_pins, "
        "passwords, "
        "pins_row, proofs_row, last, day, pins_today, claims_today, window, counted, proofs_seen, "
        "accepted FROM failure WHERE kind = 'card'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        world w;
        world_begin(&w);
        wrong_pins(&w, 3);
        claim(&w, &w.card, CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
        claim(&w, &w.card, CB_E_PIN_WRONG, CB_PROFILE_PIV);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        tamper(&w, edits[i]);
        if (verify_file(&w, NULL) != CB_E_EVIDENCE || findings_of("failures.count") == 0)
            fail_msg("not found: %s", edits[i]);
        world_end(&w);
    }
}

/* Counted again from the leaves, whose clock was set forward and back. */
static void the_counts_of_the_day_are_those_of_the_record(void **state)
{
    static const int64_t later[] = {0, 0, 1, 5000, 1, 1, -1, -1};
    static const char *const edits[] = {
        "UPDATE failure SET pins_today = 1 WHERE kind = 'card'",
        "UPDATE failure SET claims_today = 0 WHERE kind = 'terminal'",
        "UPDATE failure SET day = day + 2 WHERE kind = 'card'",
        "UPDATE failure SET last = last + 1 WHERE kind = 'terminal'",
    };
    (void)state;
    for (size_t i = 0; i <= sizeof edits / sizeof *edits; i++) {
        world w;
        world_begin(&w);
        for (size_t k = 0; k < sizeof later / sizeof *later; k++) {
            fail_then(&w, CB_FAILURE_WRONG_PIN, &w.card, NOON + later[k] * DAY, true);
            fail_then(&w, CB_FAILURE_TOLD_PIN, &w.card, NOON + later[k] * DAY, true);
        }
        assert_int_equal(of_card(&w).pins_today, 2);
        assert_int_equal(of_terminal(&w).claims_today, 2);
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        if (i > 0) {
            tamper(&w, edits[i - 1]);
            if (verify_file(&w, NULL) != CB_E_EVIDENCE || findings_of("failures.count") == 0)
                fail_msg("not found: %s", edits[i - 1]);
        }
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counts_of_the_day_are_those_of_the_record),
        cmocka_unit_test(a_clock_that_is_set_forgives_no_row_and_locks_nothing_up),
        cmocka_unit_test(an_hour_later_a_terminal_is_as_before),
        cmocka_unit_test(of_each_only_so_many_days_are_kept),
        cmocka_unit_test(threads_that_count_at_a_time_lose_nothing),
        cmocka_unit_test(a_crash_at_any_step_leaves_refusal_and_count_together),
        cmocka_unit_test(counts_that_were_edited_or_rolled_back_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
