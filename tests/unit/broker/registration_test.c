/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One-time codes with which holders register cards of their own, as the broker records them.
 */
#include "tests/unit/broker/registration_stage.h"

/* Before hsmd binds the card for good, and the code is used. */
static void rules_are_looked_at_before_the_card_is_bound(void **state)
{
    world w;
    static const cb_card_rules stock = {.stock = CB_STOCK_OF_ALL},
                               applications = {.applications = true};
    cb_id id = cb_id_new(), unknown = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow(&w);
    uint64_t before = size_of_log(&w);
    assert_int_equal(cb_registration_open(w.store, &allowed.code, &id, CB_PROFILE_PIV, &stock),
                     CB_E_CARD_UNLISTED);
    assert_int_equal(
        cb_registration_open(w.store, &allowed.code, &id, CB_PROFILE_PIV, &applications),
        CB_E_APPLICATION_NONE);
    assert_int_equal(cb_registration_open(w.store, &unknown, &id, CB_PROFILE_PIV, &stock), CB_OK);
    assert_int_equal(size_of_log(&w), before);
    assert_int_equal(open_for(&w, &allowed.code, &id), CB_OK);
    verify_and_end(&w);
}

static void card_and_code_are_one_act(void **state)
{
    world w;
    cb_card card;
    cb_registration_row row;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_card_init(&card);
    cb_registration_row allowed = allow(&w);
    assert_int_equal(open_for(&w, &allowed.code, &id), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, &card), CB_OK);
    assert_int_equal(card.state, CB_CARD_ACTIVE);
    assert_true(cb_id_same(&card.holder, &w.holder.id));
    assert_int_equal(card.sequence, 2); /* after the holder's other card */
    assert_int_equal(cb_card_get(w.store, &id, &card), CB_OK);
    assert_int_equal(card.state, CB_CARD_ACTIVE);
    assert_int_equal(cb_registration_find(w.store, &allowed.code, &row), CB_OK);
    assert_int_equal(row.state, CB_CODE_USED);
    assert_true(cb_id_same(&row.card, &id));
    assert_true(cb_id_same(&row.terminal, &w.terminal.id));
    assert_string_equal(row.operator, "manager");
    cb_card_free(&card);
    verify_and_end(&w);
}

/* An answer that was lost is asked for again: nothing is written a second time. */
static void the_same_card_may_come_again_and_no_other(void **state)
{
    world w;
    cb_id id = cb_id_new(), other = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow(&w);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    uint64_t before = size_of_log(&w);
    assert_int_equal(open_for(&w, &allowed.code, &id), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    assert_int_equal(size_of_log(&w), before);
    assert_int_equal(use(&w, &allowed.code, &other, NULL), CB_E_REGISTRATION_USED);
    assert_int_equal(cb_card_change(w.store, "test", &id, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_CARD_SUSPENDED);
    assert_int_equal(open_for(&w, &allowed.code, &id), CB_E_CARD_SUSPENDED);
    verify_and_end(&w);
}

/* T1 of a tap in which the card said that number. */
static cb_error tap_with(world *w, const cb_id *card, uint32_t number)
{
    cb_intent_grant grant;
    cb_intent_request request = intent_of(w);
    request.card = *card;
    request.counter = number;
    cb_intent_grant_init(&grant);
    cb_error error = cb_decide_intent(w->store, &request, &grant);
    cb_intent_grant_free(&grant);
    return error;
}

/* Or a copy that was made before would have a tap free. */
static void the_proof_of_a_registration_counts_as_any(void **state)
{
    world w;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow(&w);
    counter = 7;
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    assert_int_equal(tap_with(&w, &id, 7), CB_E_CARD_COUNTER);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_CARD_COUNTER);
    counter = 8;
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    assert_int_equal(tap_with(&w, &id, 8), CB_E_CARD_COUNTER);
    assert_int_equal(tap_with(&w, &id, 9), CB_OK);
    counter = 0;
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void a_card_that_is_there_is_not_registered_again(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow(&w);
    cb_id unknown = cb_id_new();
    assert_int_equal(open_for(&w, &allowed.code, &w.card), CB_E_CARD_REGISTERED);
    assert_int_equal(open_for(&w, &unknown, &w.card), CB_E_CARD_REGISTERED);
    assert_int_equal(use(&w, &allowed.code, &w.card, NULL), CB_E_CARD_REGISTERED);
    assert_int_equal(state_of(&w, &allowed.code), CB_CODE_OPEN);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, "lost", NULL), CB_OK);
    assert_int_equal(open_for(&w, &allowed.code, &w.card), CB_E_CARD_REVOKED);
    verify_and_end(&w);
}

/* Whoever writes the database, and whoever makes a binding of something else, gets nothing from it.
 */
static void the_binding_must_be_what_was_allowed(void **state)
{
    world w;
    cb_holder other;
    cb_id id = cb_id_new(), unknown = cb_id_new();
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "test", "Other", &other), CB_OK);
    cb_registration_row allowed = allow(&w);
    assert_int_equal(use(&w, &unknown, &id, NULL), CB_E_REGISTRATION_CODE);
    assert_int_equal(use_as(&w, &allowed.code, &id, &other.id, CB_LEVEL_POSSESSION, NULL),
                     CB_E_HSM_RECORD);
    assert_int_equal(use_as(&w, &allowed.code, &id, &w.holder.id, CB_LEVEL_PIN, NULL),
                     CB_E_HSM_RECORD);
    assert_int_equal(state_of(&w, &allowed.code), CB_CODE_OPEN);
    verify_and_end(&w);
}

static void a_terminal_that_was_revoked_meanwhile_registers_nothing(void **state)
{
    world w;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow(&w);
    assert_int_equal(cb_terminal_revoke(w.store, "test", &w.terminal.id, "stolen", NULL), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_TERMINAL_REVOKED);
    assert_int_equal(state_of(&w, &allowed.code), CB_CODE_OPEN);
    verify_and_end(&w);
}

static void withdrawn_and_lapsed_ones_are_recorded_once(void **state)
{
    world w;
    cb_registration_row row;
    cb_id id = cb_id_new(), unknown = cb_id_new();
    size_t done = 0;
    (void)state;
    world_begin(&w);
    cb_registration_row first = allow(&w), second = allow(&w), third = allow(&w);
    assert_int_equal(cb_registration_end(w.store, "manager", &first.code, "mistake", &row), CB_OK);
    assert_int_equal(row.state, CB_CODE_WITHDRAWN);
    assert_int_equal(cb_registration_end(w.store, "manager", &first.code, NULL, &row), CB_E_STATE);
    assert_int_equal(cb_registration_end(w.store, "manager", &unknown, NULL, &row), CB_E_NOT_FOUND);
    assert_int_equal(use(&w, &first.code, &id, NULL), CB_E_REGISTRATION_WITHDRAWN);
    assert_int_equal(use(&w, &third.code, &id, NULL), CB_OK);
    assert_int_equal(cb_registration_end(w.store, "manager", &third.code, NULL, &row), CB_E_STATE);
    /* Not before whatever used it in time is over. */
    assert_int_equal(cb_registration_sweep_step(w.store, second.expires, &done), CB_OK);
    assert_int_equal(done, 0);
    assert_int_equal(state_of(&w, &second.code), CB_CODE_OPEN);
    int64_t later = second.expires + CB_REGISTRATION_SETTLED;
    assert_int_equal(cb_registration_sweep_step(w.store, later, &done), CB_OK);
    assert_int_equal(done, 1);
    assert_int_equal(cb_registration_sweep_step(w.store, later, &done), CB_OK);
    assert_int_equal(done, 0);
    assert_int_equal(state_of(&w, &first.code), CB_CODE_WITHDRAWN);
    assert_int_equal(state_of(&w, &second.code), CB_CODE_LAPSED);
    assert_int_equal(state_of(&w, &third.code), CB_CODE_USED);
    id = cb_id_new();
    assert_int_equal(use(&w, &second.code, &id, NULL), CB_E_REGISTRATION_LAPSED);
    verify_and_end(&w);
}

static void what_makes_no_sense_is_not_recorded(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_registration_row bad[6];
    for (size_t i = 0; i < 6; i++)
        bad[i] = row_of(&w, 60);
    bad[0].code = (cb_id){{0}};
    bad[1].profiles = 0;
    bad[2].profiles = 1 << CB_PROFILE_NATIVE;
    bad[3].level = CB_LEVEL_PASSWORD;
    bad[4].expires = cb_clock_wall_us();
    bad[5].expires += (int64_t)CB_REGISTRATION_MOST_S * CB_SECOND;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(cb_registration_record(w.store, "manager", NULL, &bad[i]), CB_E_ARGUMENT);
    cb_registration_row row = row_of(&w, 60);
    row.holder = cb_id_new();
    assert_int_equal(cb_registration_record(w.store, "manager", NULL, &row), CB_E_NOT_FOUND);
    row = allow(&w);
    assert_int_equal(cb_registration_record(w.store, "manager", NULL, &row), CB_E_EXISTS);
    row = row_of(&w, 60);
    assert_int_equal(cb_registration_record(w.store, "manager", "Not a word", &row), CB_E_ARGUMENT);
    verify_and_end(&w);
}

/* The broker ended before the record of it was signed. What it then finds unsigned counts for
 * nothing, until the same card comes again. */
static void what_a_crash_left_unsigned_is_said_again(void **state)
{
    world w;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow(&w);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_UNSIGNED);
    world_close(&w);
    set_signer(&w.signer->fail, CB_OK);
    world_open(&w);
    assert_int_equal(use_until_signed(&w, &allowed.code, &id), CB_OK);
    /* It is active as the record has it: there is nothing to repeat. */
    assert_int_equal(cb_card_change(w.store, "test", &id, CB_CARD_ACTIVATE, NULL, NULL),
                     CB_E_STATE);
    verify_and_end(&w);
}

/* The head of the log is not signed: the card is there, and said so, and is the same when asked
 * for again. */
static void an_act_that_is_not_signed_yet_is_whole(void **state)
{
    world w;
    cb_card card;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_card_init(&card);
    cb_registration_row allowed = allow(&w);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_UNSIGNED);
    set_signer(&w.signer->fail, CB_OK);
    assert_int_equal(use_until_signed(&w, &allowed.code, &id), CB_OK);
    assert_int_equal(cb_card_get(w.store, &id, &card), CB_OK);
    assert_int_equal(card.state, CB_CARD_ACTIVE);
    assert_int_equal(state_of(&w, &allowed.code), CB_CODE_USED);
    cb_card_free(&card);
    verify_and_end(&w);
}

static cb_error count(void *context, const cb_registration_row *row)
{
    (void)row;
    ++*(unsigned *)context;
    return CB_OK;
}

static void they_are_listed_by_holder(void **state)
{
    world w;
    unsigned seen = 0;
    cb_holder other;
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "test", "Other", &other), CB_OK);
    allow(&w);
    allow(&w);
    assert_int_equal(cb_registration_list(w.store, NULL, NULL, 10, count, &seen), CB_OK);
    assert_int_equal(seen, 2);
    assert_int_equal(cb_registration_list(w.store, &w.holder.id, NULL, 1, count, &seen), CB_OK);
    assert_int_equal(seen, 3);
    assert_int_equal(cb_registration_list(w.store, &other.id, NULL, 10, count, &seen), CB_OK);
    assert_int_equal(seen, 3);
    verify_and_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_looked_at_before_the_card_is_bound),
        cmocka_unit_test(card_and_code_are_one_act),
        cmocka_unit_test(the_same_card_may_come_again_and_no_other),
        cmocka_unit_test(the_proof_of_a_registration_counts_as_any),
        cmocka_unit_test(a_card_that_is_there_is_not_registered_again),
        cmocka_unit_test(the_binding_must_be_what_was_allowed),
        cmocka_unit_test(a_terminal_that_was_revoked_meanwhile_registers_nothing),
        cmocka_unit_test(withdrawn_and_lapsed_ones_are_recorded_once),
        cmocka_unit_test(what_makes_no_sense_is_not_recorded),
        cmocka_unit_test(what_a_crash_left_unsigned_is_said_again),
        cmocka_unit_test(an_act_that_is_not_signed_yet_is_whole),
        cmocka_unit_test(they_are_listed_by_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
