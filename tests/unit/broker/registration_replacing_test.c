/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that holders register in the place of another, which dies in the same act, as the broker
 * records it.
 */
#include "broker/core/stock.h"
#include "tests/unit/broker/registration_stage.h"

static cb_registration_row allow_replacing(world *w, const cb_id *old)
{
    cb_registration_row row = row_of(w, 60);
    row.replaces = *old;
    assert_int_equal(cb_registration_record(w->store, "manager", "renewed", &row), CB_OK);
    return row;
}

static uint8_t state_of_card(world *w, const cb_id *id)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error = cb_card_get(w->store, id, &card);
    uint8_t state = error ? 0 : card.state;
    assert_true(!error || error == CB_E_NOT_FOUND);
    cb_card_free(&card);
    return state;
}

static cb_error tap_of(world *w, const cb_id *card)
{
    cb_id before = w->card;
    w->card = *card;
    cb_error error = tap_once(w, NULL, NULL);
    w->card = before;
    return error;
}

static void the_card_that_it_replaces_dies_as_the_new_one_becomes_active(void **state)
{
    world w;
    cb_registration_row row;
    cb_id id = cb_id_new(), session = cb_id_new();
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_once(&w, NULL, &session), CB_OK);
    cb_registration_row allowed = allow_replacing(&w, &w.card);
    assert_int_equal(cb_registration_find(w.store, &allowed.code, &row), CB_OK);
    assert_true(cb_id_same(&row.replaces, &w.card));
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(open_for(&w, &allowed.code, &id), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    assert_true(cb_id_same(&replaced, &w.card));
    assert_int_equal(cut, 1);
    assert_int_equal(state_of_card(&w, &id), CB_CARD_ACTIVE);
    assert_int_equal(state_of_card(&w, &w.card), CB_CARD_REVOKED);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_REVOKED);
    assert_int_equal(tap_of(&w, &id), CB_OK); /* with what the holder had */

    /* The answer was lost: the same again, and nothing is written. */
    uint64_t before = size_of_log(&w);
    assert_int_equal(open_for(&w, &allowed.code, &id), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    assert_true(cb_id_same(&replaced, &w.card));
    assert_int_equal(size_of_log(&w), before);
    cb_registration_row plain = allow(&w);
    cb_id third = cb_id_new();
    assert_int_equal(use(&w, &plain.code, &third, NULL), CB_OK);
    assert_true(cb_id_is_zero(&replaced));
    assert_int_equal(state_of_card(&w, &id), CB_CARD_ACTIVE);
    assert_int_equal(end_session(w.store, &session, "revoked"), CB_OK);
    verify_and_end(&w);
}

static void only_a_card_of_the_holders_that_is_not_dead_is_replaced(void **state)
{
    world w;
    cb_holder other;
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "test", "Other", &other), CB_OK);
    cb_registration_row row = row_of(&w, 60);
    row.replaces = cb_id_new();
    assert_int_equal(cb_registration_record(w.store, "manager", NULL, &row), CB_E_NOT_FOUND);
    row = row_of(&w, 60);
    row.replaces = w.card;
    row.holder = other.id;
    assert_int_equal(cb_registration_record(w.store, "manager", NULL, &row), CB_E_ARGUMENT);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, "lost", NULL), CB_OK);
    row = row_of(&w, 60);
    row.replaces = w.card;
    assert_int_equal(cb_registration_record(w.store, "manager", NULL, &row), CB_E_STATE);
    assert_int_equal(cb_registration_find(w.store, &row.code, &row), CB_E_NOT_FOUND);
    verify_and_end(&w);
}

/* A card may be in the wrong hands that somebody stopped, and its holder's letters with it. */
static void a_card_that_was_stopped_since_stops_the_code(void **state)
{
    static const cb_card_act stops[] = {CB_CARD_SUSPEND, CB_CARD_REVOKE, CB_CARD_RETURN};
    (void)state;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        world w;
        cb_id id = cb_id_new();
        world_begin(&w);
        cb_registration_row allowed = allow_replacing(&w, &w.card);
        assert_int_equal(open_for(&w, &allowed.code, &id), CB_OK);
        assert_int_equal(cb_card_change(w.store, "test", &w.card, stops[i], "lost", NULL), CB_OK);
        assert_int_equal(open_for(&w, &allowed.code, &id), CB_E_REGISTRATION_STOPPED);
        assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_REGISTRATION_STOPPED);
        assert_true(cb_id_is_zero(&replaced));
        assert_int_equal(state_of_card(&w, &id), 0);
        assert_int_equal(state_of(&w, &allowed.code), CB_CODE_OPEN);
        verify_and_end(&w);
    }
}

static void expire(world *w, const cb_id *card)
{
    world_close(w);
    tamper(w, "UPDATE card SET expires = 1 WHERE state IN ('active', 'suspended')");
    world_open(w);
    assert_int_equal(cb_card_change(w->store, "test", card, CB_CARD_EXPIRE, NULL, NULL), CB_OK);
}

/* Its last day takes the place of the suspension; and of one that only expired nobody knows
 * that. */
static void nor_does_the_last_day_of_the_old_card_open_it_again(void **state)
{
    (void)state;
    for (int suspended = 0; suspended < 2; suspended++) {
        world w;
        cb_id id = cb_id_new();
        world_begin(&w);
        cb_registration_row allowed = allow_replacing(&w, &w.card);
        if (suspended)
            assert_int_equal(
                cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, "lost", NULL), CB_OK);
        expire(&w, &w.card);
        assert_int_equal(open_for(&w, &allowed.code, &id), CB_E_REGISTRATION_STOPPED);
        assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_REGISTRATION_STOPPED);
        assert_int_equal(state_of_card(&w, &id), 0);
        world_end(&w);
    }
}

/* A manager knew that it was suspended; and its issuer's next card comes because it has expired. */
static void one_that_was_suspended_before_or_has_expired_is_replaced(void **state)
{
    world w;
    cb_id id = cb_id_new(), next = cb_id_new();
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    cb_registration_row allowed = allow_replacing(&w, &w.card);
    assert_int_equal(open_for(&w, &allowed.code, &id), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    assert_int_equal(state_of_card(&w, &w.card), CB_CARD_REVOKED);
    expire(&w, &id);
    allowed = allow_replacing(&w, &id);
    assert_int_equal(open_for(&w, &allowed.code, &next), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &next, NULL), CB_OK);
    assert_int_equal(state_of_card(&w, &id), CB_CARD_REVOKED);
    assert_int_equal(tap_of(&w, &next), CB_OK);
    world_end(&w);
}

/* Whose card it names is taken for over, and what that has open would be cut. */
static void a_used_code_ends_no_other_card_when_its_row_is_changed(void **state)
{
    world w;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_id second = add_card(&w, true);
    cb_registration_row allowed = allow_replacing(&w, &w.card);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    assert_true(cb_id_same(&replaced, &w.card));
    meddle(&w, "UPDATE registration SET replaces = (SELECT id FROM card WHERE id <> replaces AND "
               "state = 'active' AND id <> registration.card)");
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_HSM_RECORD);
    assert_true(cb_id_is_zero(&replaced));
    assert_int_equal(state_of_card(&w, &second), CB_CARD_ACTIVE);
    world_end(&w);
}

static void the_old_card_does_not_take_its_own_place(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow_replacing(&w, &w.card);
    assert_int_equal(open_for(&w, &allowed.code, &w.card), CB_E_CARD_REGISTERED);
    assert_int_equal(use(&w, &allowed.code, &w.card, NULL), CB_E_CARD_REGISTERED);
    assert_true(cb_id_is_zero(&replaced));
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(state_of(&w, &allowed.code), CB_CODE_OPEN);
    verify_and_end(&w);
}

static void one_card_is_replaced_once(void **state)
{
    world w;
    cb_id first = cb_id_new(), second = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_registration_row one = allow_replacing(&w, &w.card), other = allow_replacing(&w, &w.card);
    assert_int_equal(use(&w, &one.code, &first, NULL), CB_OK);
    assert_int_equal(open_for(&w, &other.code, &second), CB_E_REGISTRATION_STOPPED);
    assert_int_equal(use(&w, &other.code, &second, NULL), CB_E_REGISTRATION_STOPPED);
    verify_and_end(&w);
}

static void approve(world *w, const char *reason)
{
    cb_application made, approved;
    assert_int_equal(
        cb_application_add(w->store, "one", &w->holder.id, CB_PROFILE_SCP03, reason, &made), CB_OK);
    assert_int_equal(cb_application_approve(w->store, "other", &made.id, NULL, &approved), CB_OK);
}

static void it_takes_an_application_for_a_replacement(void **state)
{
    world w;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    rules.applications = true;
    cb_registration_row allowed = allow_replacing(&w, &w.card);
    approve(&w, "first");
    assert_int_equal(cb_registration_open(w.store, &allowed.code, &id, CB_PROFILE_SCP03, &rules),
                     CB_E_APPLICATION_NONE);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_APPLICATION_NONE);
    assert_int_equal(state_of_card(&w, &w.card), CB_CARD_ACTIVE);
    approve(&w, "replacement");
    assert_int_equal(cb_registration_open(w.store, &allowed.code, &id, CB_PROFILE_SCP03, &rules),
                     CB_OK);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_OK);
    rules.applications = false;
    verify_and_end(&w);
}

/* Of two codes: one for a card in the place of another, and one that is for a card besides. The
 * holder has a second card, which was not spoken of. */
static const struct {
    const char *sql;
    bool of_plain; /* which of the two is then used */
    unsigned findings;
} edits[] = {
    {"UPDATE registration SET replaces = NULL", false, 1},
    {"UPDATE registration SET replaces = (SELECT id FROM card WHERE id <> replaces) "
     "WHERE replaces IS NOT NULL",
     false, 1},
    {"UPDATE registration SET replaces = (SELECT id FROM card LIMIT 1)", true, 1},
    {"UPDATE registration SET replaces = NULL, state = 'used', card = "
     "x'00112233445566778899aabbccddeeff'",
     false, 2},
    {"UPDATE registration SET expires = expires + 1", false, 2},
};

static void use_altered(size_t i, bool running)
{
    world w;
    cb_id id;
    assert_int_equal(cb_id_parse("00112233-4455-6677-8899-aabbccddeeff", &id), CB_OK);
    world_begin(&w);
    cb_id second = add_card(&w, true);
    cb_registration_row replacing = allow_replacing(&w, &w.card), plain = allow(&w);
    const cb_id *code = edits[i].of_plain ? &plain.code : &replacing.code;
    if (!running)
        world_close(&w);
    meddle(&w, edits[i].sql);
    if (!running)
        world_open(&w);
    print_message("%s\n", edits[i].sql);
    assert_int_equal(open_for(&w, code, &id), CB_E_HSM_RECORD);
    assert_int_equal(use(&w, code, &id, NULL), CB_E_HSM_RECORD);
    assert_true(cb_id_is_zero(&replaced));
    assert_int_equal(state_of_card(&w, &w.card), CB_CARD_ACTIVE);
    assert_int_equal(state_of_card(&w, &second), CB_CARD_ACTIVE);
    assert_int_equal(state_of_card(&w, &id), 0);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("table.content"), edits[i].findings);
    world_end(&w);
}

static void which_card_dies_is_not_for_who_writes_the_database_to_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof edits / sizeof *edits); i++)
        use_altered(i / 2, i % 2);
}

/* A code that was withdrawn after hsmd had bound a card by it is good there still. */
static void a_code_that_was_withdrawn_is_not_opened_again_in_the_database(void **state)
{
    world w;
    cb_registration_row row;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow_replacing(&w, &w.card);
    assert_int_equal(cb_registration_end(w.store, "manager", &allowed.code, NULL, &row), CB_OK);
    meddle(&w, "UPDATE registration SET state = 'open'");
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_HSM_RECORD);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

/* The act is whole, and the old card dead, before it is signed: what it opened is to end now. */
static void a_card_that_was_replaced_is_dead_before_that_is_signed(void **state)
{
    world w;
    cb_id id = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_registration_row allowed = allow_replacing(&w, &w.card);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(use(&w, &allowed.code, &id, NULL), CB_E_UNSIGNED);
    assert_true(cb_id_same(&replaced, &w.card));
    assert_int_equal(state_of_card(&w, &w.card), CB_CARD_REVOKED);
    world_close(&w);
    set_signer(&w.signer->fail, CB_OK);
    world_open(&w);
    assert_int_equal(use_until_signed(&w, &allowed.code, &id), CB_OK);
    assert_int_equal(tap_of(&w, &id), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_REVOKED);
    verify_and_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_card_that_it_replaces_dies_as_the_new_one_becomes_active),
        cmocka_unit_test(only_a_card_of_the_holders_that_is_not_dead_is_replaced),
        cmocka_unit_test(a_card_that_was_stopped_since_stops_the_code),
        cmocka_unit_test(nor_does_the_last_day_of_the_old_card_open_it_again),
        cmocka_unit_test(a_used_code_ends_no_other_card_when_its_row_is_changed),
        cmocka_unit_test(one_that_was_suspended_before_or_has_expired_is_replaced),
        cmocka_unit_test(the_old_card_does_not_take_its_own_place),
        cmocka_unit_test(one_card_is_replaced_once),
        cmocka_unit_test(it_takes_an_application_for_a_replacement),
        cmocka_unit_test(which_card_dies_is_not_for_who_writes_the_database_to_say),
        cmocka_unit_test(a_code_that_was_withdrawn_is_not_opened_again_in_the_database),
        cmocka_unit_test(a_card_that_was_replaced_is_dead_before_that_is_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
