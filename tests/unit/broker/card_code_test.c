/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card that its holder suspends himself, with the code of his letter.
 */
#include <string.h>

#include "tests/unit/broker/support.h"

static void make_code(world *w, const cb_id *card, char symbols[CB_CODE_SYMBOLS])
{
    char text[CB_CODE_TEXT];
    assert_int_equal(cb_card_code_set(w->store, "test", card, false, text), CB_OK);
    assert_int_equal(cb_code_read(cb_bytes_str(text), symbols), CB_OK);
}

/* What the code does; the state that it says. */
static cb_error use(world *w, const char *symbols, uint8_t *now, cb_affected *affected)
{
    cb_id card;
    cb_error error = cb_card_suspend_by_code(w->store, symbols, &card, now, affected);
    if (!error)
        assert_true(cb_id_same(&card, &w->card));
    return error;
}

static void a_first_code_takes_no_others_place(void **state)
{
    world w;
    uint8_t now = 0;
    char text[CB_CODE_TEXT], symbols[CB_CODE_SYMBOLS];
    (void)state;
    world_begin(&w);
    cb_id other = add_card(&w, true);
    assert_int_equal(cb_card_code_set(w.store, "test", &other, true, text), CB_OK);
    assert_int_equal(cb_card_code_set(w.store, "test", &w.card, true, text), CB_OK);
    assert_int_equal(cb_code_read(cb_bytes_str(text), symbols), CB_OK);
    assert_int_equal(cb_card_code_set(w.store, "test", &w.card, true, text), CB_E_EXISTS);
    assert_int_equal(use(&w, symbols, &now, NULL), CB_OK);
    assert_int_equal(now, CB_CARD_SUSPENDED);
    assert_int_equal(cb_card_code_set(w.store, "test", &w.card, false, text), CB_OK);
    assert_int_equal(use(&w, symbols, &now, NULL), CB_E_SUSPENSION);
    verify_and_end(&w);
}

static void the_code_stops_its_card_and_no_other(void **state)
{
    world w;
    uint8_t now = 0;
    char symbols[CB_CODE_SYMBOLS], of_other[CB_CODE_SYMBOLS];
    cb_affected affected = {0};
    cb_intent_grant grant;
    (void)state;
    world_begin(&w);
    cb_id other = add_card(&w, true);
    make_code(&w, &w.card, symbols);
    make_code(&w, &other, of_other);
    assert_memory_not_equal(symbols, of_other, CB_CODE_SYMBOLS);
    cb_intent_request request = intent_of(&w);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
    cb_intent_grant_free(&grant);

    assert_int_equal(use(&w, symbols, &now, &affected), CB_OK);
    assert_int_equal(now, CB_CARD_SUSPENDED);
    assert_true(affected.feed_number > 0);
    assert_int_equal(affected.tap_count, 1); /* that had begun */
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_SUSPENDED);
    cb_card card;
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w.store, &other, &card), CB_OK);
    assert_int_equal(card.state, CB_CARD_ACTIVE);
    cb_card_free(&card);

    /* The same again changes nothing. */
    assert_int_equal(use(&w, symbols, &now, &affected), CB_OK);
    assert_int_equal(now, CB_CARD_SUSPENDED);
    /* It was found, and is lost again. */
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_RESUME, NULL, NULL), CB_OK);
    assert_int_equal(use(&w, symbols, &now, &affected), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_SUSPENDED);
    cb_affected_free(&affected);
    verify_and_end(&w);
}

static void only_the_last_code_of_a_card_is_one(void **state)
{
    world w;
    uint8_t now = 0;
    char first[CB_CODE_SYMBOLS], second[CB_CODE_SYMBOLS], wrong[CB_CODE_SYMBOLS];
    (void)state;
    world_begin(&w);
    make_code(&w, &w.card, first);
    make_code(&w, &w.card, second);
    memcpy(wrong, second, sizeof wrong);
    wrong[0] = wrong[0] == '1' ? '2' : '1';
    assert_int_equal(use(&w, first, &now, NULL), CB_E_SUSPENSION);
    assert_int_equal(use(&w, wrong, &now, NULL), CB_E_SUSPENSION);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(use(&w, second, &now, NULL), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_SUSPENDED);
    verify_and_end(&w);
}

static void what_is_no_more_or_not_yet_stays_so(void **state)
{
    world w;
    uint8_t now = 0;
    char symbols[CB_CODE_SYMBOLS], early[CB_CODE_SYMBOLS], text[CB_CODE_TEXT];
    cb_id card;
    (void)state;
    world_begin(&w);
    cb_id unknown = cb_id_new(), issued = add_card(&w, false);
    assert_int_equal(cb_card_code_set(w.store, "test", &unknown, false, text), CB_E_NOT_FOUND);
    assert_int_equal(cb_card_code_set(w.store, "", &w.card, false, text), CB_E_ARGUMENT);
    make_code(&w, &issued, early);
    assert_int_equal(cb_card_suspend_by_code(w.store, early, &card, &now, NULL),
                     CB_E_CARD_NOT_ACTIVE);
    make_code(&w, &w.card, symbols);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_REVOKE, "lost", NULL), CB_OK);
    assert_int_equal(use(&w, symbols, &now, NULL), CB_OK);
    assert_int_equal(now, CB_CARD_REVOKED);
    assert_int_equal(cb_card_code_set(w.store, "test", &w.card, false, text), CB_E_STATE);
    verify_and_end(&w);
}

/* As an act that takes a right away does. */
static void it_works_while_the_key_service_does_not(void **state)
{
    world w;
    uint8_t now = 0;
    char symbols[CB_CODE_SYMBOLS];
    (void)state;
    world_begin(&w);
    make_code(&w, &w.card, symbols);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(use(&w, symbols, &now, NULL), CB_OK);
    assert_int_equal(now, CB_CARD_SUSPENDED);
    set_signer(&w.signer->fail, 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_code_takes_no_others_place),
        cmocka_unit_test(the_code_stops_its_card_and_no_other),
        cmocka_unit_test(only_the_last_code_of_a_card_is_one),
        cmocka_unit_test(what_is_no_more_or_not_yet_stays_so),
        cmocka_unit_test(it_works_while_the_key_service_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
