/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Failed proofs that a renewal of their card explains: what is taken back, of whom, and what the
 * record says of it.
 */
#include "failures_stage.h"

static cb_error run_explain(cb_txn *txn, void *context)
{
    return cb_failures_explain(txn, context, &limits, cb_clock_wall_us());
}

/* The one of that time, which counted as last_effect says. */
static void explain(world *w, const cb_id *card, int64_t time, bool counts)
{
    cb_failed_proof failed = {.tap = cb_id_random(),
                              .card = *card,
                              .holder = w->holder.id,
                              .terminal = w->terminal.id,
                              .time = time,
                              .counts = counts};
    cb_change change = {.run = run_explain, .context = &failed, .urgency = CB_WRITE_DUE};
    assert_int_equal(cb_store_write(w->store, &change), CB_OK);
}

static void a_failed_proof_that_is_explained_counts_for_nobody_any_more(void **state)
{
    world w;
    days all = {0};
    cb_failure_query query = {.to = INT32_MAX, .least = 1};
    (void)state;
    world_begin(&w);
    claim(&w, &w.card, CB_E_CARD_PROOF, CB_PROFILE_PIV);
    assert_true(last_effect.counts);
    assert_int_equal(of_terminal(&w).counted, 1);
    explain(&w, &w.card, last_effect.time, last_effect.counts);
    const cb_failure_row rows[] = {of_card(&w), of_holder(&w), of_terminal(&w)};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rows[i].count[CB_FAILURE_PROOF], 0);
        assert_int_equal(rows[i].proofs_row + rows[i].claims_today, 0);
        assert_int_equal(rows[i].counted + rows[i].proofs_seen, 0);
    }
    assert_int_equal(cb_failures_report(w.store, &query, add_day, &all), CB_OK);
    assert_int_equal(all.count, 0);
    verify_and_end(&w);
}

/* Not those before it, nor what did not count there, nor other failures. */
static void it_is_one_that_is_explained_and_no_more(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    claim(&w, &w.card, CB_E_PIN_WRONG, CB_PROFILE_PIV);
    for (unsigned i = 0; i < 2; i++)
        claim(&w, &w.card, CB_E_CARD_PROOF, CB_PROFILE_PIV);
    assert_false(last_effect.counts); /* the third of one card */
    explain(&w, &w.card, last_effect.time, last_effect.counts);
    assert_int_equal(of_card(&w).count[CB_FAILURE_PROOF], 1);
    assert_int_equal(of_card(&w).count[CB_FAILURE_TOLD_PIN], 1);
    assert_int_equal(of_card(&w).claims_today, 2);
    assert_int_equal(of_terminal(&w).counted, 2);
    verify_and_end(&w);
}

/* Twelve cards whose keys were made anew, of which ten would end it. */
static void cards_whose_renewal_explains_them_end_no_terminal(void **state)
{
    (void)state;
    for (int explained = 0; explained < 2; explained++) {
        world w;
        world_begin(&w);
        for (unsigned i = 0; i < 12; i++) {
            cb_id card = add_card(&w, true);
            claim(&w, &card, CB_E_CARD_PROOF, CB_PROFILE_PIV);
            assert_true(!explained || !(last_effect.slowed || last_effect.stopped));
            if (explained)
                explain(&w, &card, last_effect.time, last_effect.counts);
        }
        assert_int_equal(terminal_state(&w),
                         explained ? CB_TERMINAL_ACTIVE : CB_TERMINAL_DEACTIVATED);
        verify_and_end(&w);
    }
}

/* Who activates the terminal again forgives it that card, and takes nothing from the next one. */
static void what_was_forgiven_is_not_taken_back_from_another_card(void **state)
{
    static const cb_terminal_act acts[] = {CB_TERMINAL_DEACTIVATE, CB_TERMINAL_REACTIVATE};
    world w;
    (void)state;
    world_begin(&w);
    cb_id second = add_card(&w, true);
    fail_then(&w, CB_FAILURE_PROOF, &w.card, NOON, true);
    for (size_t i = 0; i < 2; i++) {
        cb_affected affected = {0};
        assert_int_equal(
            cb_terminal_change(w.store, "test", &w.terminal.id, acts[i], NULL, &affected), CB_OK);
        cb_affected_free(&affected);
    }
    fail_then(&w, CB_FAILURE_PROOF, &second, NOON, true);
    explain(&w, &w.card, NOON, true);
    assert_int_equal(of_card(&w).count[CB_FAILURE_PROOF], 0);
    assert_int_equal(of_terminal(&w).counted, 1);
    verify_and_end(&w);
}

/* By another day or window, what counts now is what came since. */
static void what_is_explained_later_leaves_another_day_as_it_is(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    fail_then(&w, CB_FAILURE_PROOF, &w.card, NOON, true);
    fail_then(&w, CB_FAILURE_PROOF, &w.card, NOON + DAY, true);
    explain(&w, &w.card, NOON, true);
    assert_int_equal(of_card(&w).count[CB_FAILURE_PROOF], 1);
    assert_int_equal(of_card(&w).claims_today, 1);
    assert_int_equal(of_terminal(&w).counted, 1);
    explain(&w, &w.card, NOON + DAY, true);
    assert_int_equal(of_card(&w).claims_today, 0);
    assert_int_equal(of_terminal(&w).counted, 0);
    verify_and_end(&w);
}

static void what_nobody_counted_is_not_taken_back_unnoticed(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_id other = add_card(&w, true);
    claim(&w, &other, CB_E_CARD_PROOF, CB_PROFILE_PIV);
    explain(&w, &w.card, last_effect.time, true);
    assert_int_equal(of_card(&w).count[CB_FAILURE_PROOF], 0);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("failures.format"), 1);
    assert_int_equal(findings_of("failures.count"), 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_proof_that_is_explained_counts_for_nobody_any_more),
        cmocka_unit_test(it_is_one_that_is_explained_and_no_more),
        cmocka_unit_test(cards_whose_renewal_explains_them_end_no_terminal),
        cmocka_unit_test(what_was_forgiven_is_not_taken_back_from_another_card),
        cmocka_unit_test(what_is_explained_later_leaves_another_day_as_it_is),
        cmocka_unit_test(what_nobody_counted_is_not_taken_back_unnoticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
