/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is only claimed of a card, or said by a terminal: whom it ends or slows down, and whom it
 * cannot.
 */
#include "failures_stage.h"

static void guess(world *w, const cb_id *card, const cb_id *name)
{
    cb_refusal refusal = {.card = *card,
                          .claimed = *name,
                          .profile = CB_PROFILE_PASSWORD,
                          .error = cb_id_is_zero(card) ? CB_E_CARD_UNKNOWN : CB_E_PASSWORD_WRONG};
    assert_int_equal(refuse(w, &refusal), CB_OK);
}

/* Whoever guesses at a terminal sees when it is slowed down. */
static void when_a_terminal_is_slowed_down_does_not_tell_whether_there_is_a_name(void **state)
{
    static const cb_id nobody = {{0}};
    uint64_t counted[2] = {0};
    (void)state;
    for (int there = 0; there < 2; there++) {
        world w;
        world_begin(&w);
        const cb_id made_up[] = {cb_id_new(), cb_id_new()};
        const cb_id known[] = {add_card(&w, true), add_card(&w, true)};
        for (uint32_t i = 0; i < limits.of_one_card; i++)
            guess(&w, &nobody, &made_up[0]);
        while (of_terminal(&w).counted < limits.slow - 1) {
            const cb_id *name = &known[of_terminal(&w).counted < 4 ? 0 : 1];
            guess(&w, name, name);
        }
        if (there)
            guess(&w, &w.card, &w.card);
        else
            guess(&w, &nobody, &made_up[1]);
        assert_true(last_effect.slowed);
        counted[there] = of_terminal(&w).counted;
        verify_and_end(&w);
    }
    assert_int_equal(counted[0], counted[1]);
}

static void no_claim_ever_ends_somebody_elses_card(void **state)
{
    static const struct {
        cb_error error;
        uint8_t profile;
    } claims[] = {
        {CB_E_CARD_PROOF, CB_PROFILE_NATIVE},       {CB_E_CARD_PROOF, CB_PROFILE_PIV},
        {CB_E_PIN_WRONG, CB_PROFILE_PIV},           {CB_E_PIN_BLOCKED, CB_PROFILE_JPKI},
        {CB_E_PASSWORD_WRONG, CB_PROFILE_PASSWORD}, {CB_E_PASSWORD_DELAYED, CB_PROFILE_PASSWORD}};
    world w;
    unsigned noted = 0;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 120; i++) {
        claim(&w, &w.card, claims[i % 6].error, claims[i % 6].profile);
        assert_false(last_effect.suspended);
        noted += last_effect.noted;
    }
    assert_int_equal(card_state(&w), CB_CARD_ACTIVE);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE); /* for it is one card alone */
    assert_int_equal(of_card(&w).pins_row, 0);
    assert_int_equal(of_card(&w).count[CB_FAILURE_PROOF], 40);
    assert_int_equal(of_card(&w).count[CB_FAILURE_TOLD_PIN], 20);
    assert_int_equal(of_card(&w).count[CB_FAILURE_PASSWORD], 40);
    assert_int_equal(noted, 1); /* once a day, of card and holder at a time */
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    verify_and_end(&w);
}

static void many_cards_slow_a_terminal_down_and_then_end_it(void **state)
{
    world w;
    cb_id card[12];
    unsigned slowed = 0;
    cb_failure_row row;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 12; i++)
        card[i] = add_card(&w, true);
    for (unsigned i = 0; i < 9; i++) {
        claim(&w, &card[i], CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
        slowed += last_effect.slowed;
        assert_int_equal(last_effect.slowed, i == 5);
        row = of_terminal(&w);
        assert_int_equal(cb_failures_slow(&row, &limits, cb_clock_wall_us()), i >= 5);
    }
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    claim(&w, &card[9], CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
    assert_true(last_effect.stopped);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_DEACTIVATED);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_TERMINAL_INACTIVE);
    /* An administrator lets it go on, and it begins anew. */
    assert_int_equal(
        cb_terminal_change(w.store, "test", &w.terminal.id, CB_TERMINAL_REACTIVATE, NULL, NULL),
        CB_OK);
    claim(&w, &card[10], CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    row = of_terminal(&w);
    assert_false(cb_failures_slow(&row, &limits, cb_clock_wall_us()));
    assert_int_equal(slowed, 1);
    verify_and_end(&w);
}

/* Somebody at a kiosk with one card, or with toys that are no cards of ours. */
static void one_card_and_cards_that_nobody_knows_end_no_terminal(void **state)
{
    world w;
    static const cb_id nobody;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 60; i++) {
        claim(&w, &w.card, CB_E_CARD_PROOF, CB_PROFILE_NATIVE);
        cb_refusal unknown = {.card = nobody, .error = CB_E_CARD_PROOF};
        assert_int_equal(refuse(&w, &unknown), CB_OK);
        assert_false(last_effect.slowed || last_effect.stopped);
    }
    assert_int_equal(of_terminal(&w).counted, 4);
    assert_int_equal(of_terminal(&w).count[CB_FAILURE_PROOF], 120);
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    verify_and_end(&w);
}

static void a_busy_terminal_is_not_slowed_by_the_mistakes_of_some(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 12; i++) {
        cb_id card = add_card(&w, true);
        claim(&w, &card, CB_E_PIN_WRONG, CB_PROFILE_PIV);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        assert_false(last_effect.slowed);
    }
    cb_failure_row row = of_terminal(&w);
    assert_int_equal(row.counted, 12);
    assert_false(cb_failures_slow(&row, &limits, cb_clock_wall_us()));
    verify_and_end(&w);
}

static void what_cards_have_signed_is_not_held_against_the_terminal(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 30; i++) {
        w.card = add_card(&w, true);
        wrong_pins(&w, 3);
        assert_false(last_effect.slowed || last_effect.stopped);
    }
    assert_int_equal(of_terminal(&w).counted, 0);
    assert_int_equal(of_terminal(&w).count[CB_FAILURE_WRONG_PIN], 90);
    verify_and_end(&w);
}

static void passwords_slow_a_terminal_down_and_end_nothing(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned i = 0; i < 20; i++) {
        cb_id name = add_card(&w, true);
        claim(&w, &name, CB_E_PASSWORD_WRONG, CB_PROFILE_PASSWORD);
        assert_int_equal(last_effect.slowed, i == 5);
        assert_false(last_effect.stopped);
    }
    assert_int_equal(terminal_state(&w), CB_TERMINAL_ACTIVE);
    verify_and_end(&w);
}

/* Or the time that it takes would tell which names there are. */
static void a_name_that_there_is_not_is_counted_like_one_that_there_is(void **state)
{
    world w;
    static const cb_id nobody;
    cb_failure_row row;
    (void)state;
    world_begin(&w);
    cb_refusal refusal = {.error = CB_E_CARD_UNKNOWN, .profile = CB_PROFILE_PASSWORD};
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(refuse(&w, &refusal), CB_OK);
        assert_false(last_effect.noted);
    }
    assert_int_equal(cb_failures_get(w.store, CB_OF_CARD, &nobody, &row), CB_OK);
    assert_int_equal(row.count[CB_FAILURE_PASSWORD], 7);
    refusal.profile = CB_PROFILE_NATIVE; /* a card that is not registered has failed at nothing */
    assert_int_equal(refuse(&w, &refusal), CB_OK);
    assert_int_equal(of_terminal(&w).count[CB_FAILURE_PROOF], 0);
    verify_and_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_claim_ever_ends_somebody_elses_card),
        cmocka_unit_test(many_cards_slow_a_terminal_down_and_then_end_it),
        cmocka_unit_test(one_card_and_cards_that_nobody_knows_end_no_terminal),
        cmocka_unit_test(a_busy_terminal_is_not_slowed_by_the_mistakes_of_some),
        cmocka_unit_test(what_cards_have_signed_is_not_held_against_the_terminal),
        cmocka_unit_test(passwords_slow_a_terminal_down_and_end_nothing),
        cmocka_unit_test(a_name_that_there_is_not_is_counted_like_one_that_there_is),
        cmocka_unit_test(when_a_terminal_is_slowed_down_does_not_tell_whether_there_is_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
