/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is said of a card that cannot be suspended (it has expired, is suspended already, or is not
 * active yet), as by who has lost it, and the one-time codes by which another is to come in its
 * place.
 */
#include <string.h>

#include "base/clock.h"
#include "broker/core/registration.h"
#include "tests/unit/broker/support.h"

enum { MANY = 20 }; /* more than one step of the store finds */

/* Begins a world and adds a card of its holder's whose last day is over. */
static cb_id begin_with(world *w, bool active)
{
    cb_id id = cb_id_new();
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_binding_info info = {
        .card = id,
        .profile = CB_PROFILE_NATIVE,
        .level = CB_LEVEL_PIN,
        .sequence = 2,
        .keys = {.count = 1,
                 .key = {{.kind = CB_CARD_KEY_P256, .len = CB_P256_POINT, .data = {4}}}}};
    world_begin(w);
    info.holder = w->holder.id;
    make_binding_of(&info, &binding);
    cb_card_new fresh = {
        .binding = cb_buf_bytes(&binding), .expires = CB_SECOND, .activate = active};
    assert_int_equal(cb_card_issue(w->store, "test", &fresh, NULL), CB_OK);
    cb_buf_free(&binding);
    return id;
}

static cb_id begin(world *w) { return begin_with(w, true); }

static void expire(world *w, const cb_id *card)
{
    assert_int_equal(cb_card_change(w->store, "test", card, CB_CARD_EXPIRE, NULL, NULL), CB_OK);
}

/* In the place of a card; zero: of none. */
static cb_id allow(world *w, const cb_id *old)
{
    cb_registration_row row = {.code = cb_id_new(),
                               .holder = w->holder.id,
                               .profiles = 1 << CB_PROFILE_SCP03,
                               .level = CB_LEVEL_POSSESSION,
                               .expires = cb_clock_wall_us() + 60 * CB_SECOND,
                               .replaces = *old};
    assert_int_equal(cb_registration_record(w->store, "manager", "renewed", &row), CB_OK);
    return row.code;
}

static uint8_t state_of(world *w, const cb_id *code)
{
    cb_registration_row row;
    assert_int_equal(cb_registration_find(w->store, code, &row), CB_OK);
    return row.state;
}

static uint8_t state_of_card(world *w, const cb_id *id)
{
    cb_card card;
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w->store, id, &card), CB_OK);
    uint8_t state = card.state;
    cb_card_free(&card);
    return state;
}

/* For a card that is new here. */
static cb_error open_with(const world *w, const cb_id *code)
{
    cb_id card = cb_id_new();
    return cb_registration_open(w->store, code, &card, CB_PROFILE_SCP03, NULL);
}

static uint64_t size_of_log(world *w)
{
    cb_store_state status;
    assert_int_equal(cb_store_status(w->store, &status), CB_OK);
    return status.leaves;
}

static cb_error suspend(world *w, const cb_id *card, size_t *codes)
{
    cb_affected affected = {0};
    cb_error error = cb_card_change(w->store, "operator", card, CB_CARD_SUSPEND, "lost", &affected);
    assert_int_equal(affected.tap_count + affected.session_count + affected.feed_number, 0);
    *codes = affected.code_count;
    cb_affected_free(&affected);
    return error;
}

static void make_code(world *w, const cb_id *card, char symbols[CB_CODE_SYMBOLS])
{
    char text[CB_CODE_TEXT];
    assert_int_equal(cb_card_code_set(w->store, "test", card, false, text), CB_OK);
    assert_int_equal(cb_code_read(cb_bytes_str(text), symbols), CB_OK);
}

/* By the holder himself, of a card in this state. */
static cb_error say_of(world *w, const char *symbols, const cb_id *card, uint8_t state,
                       size_t *codes)
{
    cb_id found;
    uint8_t now = 0;
    cb_affected affected = {0};
    cb_error error = cb_card_suspend_by_code(w->store, symbols, &found, &now, &affected);
    assert_true(cb_id_same(&found, card));
    assert_int_equal(now, state);
    *codes = affected.code_count;
    cb_affected_free(&affected);
    return error;
}

static cb_error say(world *w, const char *symbols, const cb_id *card, size_t *codes)
{
    return say_of(w, symbols, card, CB_CARD_EXPIRED, codes);
}

static void what_an_operator_is_told_of_an_expired_card_ends_the_codes_in_its_place(void **state)
{
    world w;
    cb_id in_place[MANY];
    size_t codes = 0;
    (void)state;
    cb_id old = begin(&w);
    expire(&w, &old);
    for (size_t i = 0; i < MANY; i++)
        in_place[i] = allow(&w, &old);
    cb_id of_other = allow(&w, &w.card), plain = allow(&w, &(cb_id){{0}});
    assert_int_equal(open_with(&w, &in_place[0]), CB_OK);

    assert_int_equal(suspend(&w, &old, &codes), CB_OK);
    assert_int_equal(codes, MANY);
    assert_int_equal(state_of_card(&w, &old), CB_CARD_EXPIRED);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(state_of(&w, &in_place[i]), CB_CODE_WITHDRAWN);
        assert_int_equal(open_with(&w, &in_place[i]), CB_E_REGISTRATION_WITHDRAWN);
    }
    assert_int_equal(open_with(&w, &of_other), CB_OK);
    assert_int_equal(open_with(&w, &plain), CB_OK);
    /* Nor does who writes the database open it again: its leaf has ended what the log said of it.
     */
    meddle(&w, "UPDATE registration SET state = 'open' WHERE state = 'withdrawn'");
    assert_int_equal(open_with(&w, &in_place[0]), CB_E_HSM_RECORD);
    meddle(&w, "UPDATE registration SET state = 'withdrawn' "
               "WHERE replaces = (SELECT id FROM card WHERE state = 'expired')");
    verify_and_end(&w);
}

static void his_own_word_of_an_expired_card_ends_the_codes_in_its_place(void **state)
{
    world w;
    size_t codes = 0;
    char symbols[CB_CODE_SYMBOLS];
    (void)state;
    cb_id old = begin(&w);
    make_code(&w, &old, symbols);
    expire(&w, &old);
    cb_id in_place = allow(&w, &old), of_other = allow(&w, &w.card);
    assert_int_equal(say(&w, symbols, &old, &codes), CB_OK);
    assert_int_equal(codes, 1);
    assert_int_equal(state_of(&w, &in_place), CB_CODE_WITHDRAWN);
    assert_int_equal(open_with(&w, &in_place), CB_E_REGISTRATION_WITHDRAWN);
    assert_int_equal(open_with(&w, &of_other), CB_OK);
    verify_and_end(&w);
}

static void said_again_or_where_no_code_is_open_nothing_is_written(void **state)
{
    world w;
    size_t codes = 0;
    char symbols[CB_CODE_SYMBOLS];
    (void)state;
    cb_id old = begin(&w);
    make_code(&w, &old, symbols);
    expire(&w, &old);
    cb_id before = allow(&w, &old);
    assert_int_equal(cb_registration_end(w.store, "manager", &before, NULL,
                                         &(cb_registration_row){.code = {{0}}}),
                     CB_OK);
    for (int round = 0; round < 2; round++) {
        uint64_t size = size_of_log(&w);
        assert_int_equal(say(&w, symbols, &old, &codes), CB_OK);
        assert_int_equal(codes, 0);
        assert_int_equal(suspend(&w, &old, &codes), CB_E_STATE);
        assert_int_equal(codes, 0);
        assert_int_equal(size_of_log(&w), size);
        if (round == 0) { /* and again after one that ended a code */
            cb_id in_place = allow(&w, &old);
            assert_int_equal(suspend(&w, &old, &codes), CB_OK);
            assert_int_equal(state_of(&w, &in_place), CB_CODE_WITHDRAWN);
        }
    }
    verify_and_end(&w);
}

/* It was suspended before the codes were made, so nothing else shows that it was reported since. */
static void
what_is_told_of_a_card_that_is_suspended_already_ends_the_codes_in_its_place(void **state)
{
    world w;
    size_t codes = 0;
    char symbols[CB_CODE_SYMBOLS];
    (void)state;
    cb_id old = begin(&w);
    make_code(&w, &old, symbols);
    assert_int_equal(cb_card_change(w.store, "test", &old, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(suspend(&w, &old, &codes), CB_E_STATE);
    for (int himself = 0; himself < 2; himself++) {
        cb_id in_place = allow(&w, &old), of_other = allow(&w, &w.card);
        assert_int_equal(open_with(&w, &in_place), CB_OK);
        assert_int_equal(himself ? say_of(&w, symbols, &old, CB_CARD_SUSPENDED, &codes)
                                 : suspend(&w, &old, &codes),
                         CB_OK);
        assert_int_equal(codes, 1);
        assert_int_equal(state_of_card(&w, &old), CB_CARD_SUSPENDED);
        assert_int_equal(open_with(&w, &in_place), CB_E_REGISTRATION_WITHDRAWN);
        assert_int_equal(open_with(&w, &of_other), CB_OK);
    }
    uint64_t size = size_of_log(&w);
    assert_int_equal(say_of(&w, symbols, &old, CB_CARD_SUSPENDED, &codes), CB_OK);
    assert_int_equal(codes, 0);
    assert_int_equal(size_of_log(&w), size);
    verify_and_end(&w);
}

/* The holder is to call as well: it could still be activated. */
static void what_is_told_of_a_card_that_is_not_active_yet_ends_the_codes_in_its_place(void **state)
{
    world w;
    size_t codes = 0;
    char symbols[CB_CODE_SYMBOLS];
    (void)state;
    cb_id old = begin_with(&w, false);
    make_code(&w, &old, symbols);
    assert_int_equal(suspend(&w, &old, &codes), CB_E_STATE);
    for (int himself = 0; himself < 2; himself++) {
        cb_id in_place = allow(&w, &old);
        assert_int_equal(himself ? say_of(&w, symbols, &old, CB_CARD_ISSUED, &codes)
                                 : suspend(&w, &old, &codes),
                         himself ? CB_E_CARD_NOT_ACTIVE : CB_OK);
        assert_int_equal(codes, 1);
        assert_int_equal(state_of_card(&w, &old), CB_CARD_ISSUED);
        assert_int_equal(open_with(&w, &in_place), CB_E_REGISTRATION_WITHDRAWN);
    }
    verify_and_end(&w);
}

/* What takes a right away waits for no key service. */
static void it_ends_them_while_nothing_can_be_signed(void **state)
{
    world w;
    size_t codes = 0;
    (void)state;
    cb_id old = begin(&w);
    expire(&w, &old);
    cb_id in_place = allow(&w, &old);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    assert_int_equal(suspend(&w, &old, &codes), CB_OK);
    assert_int_equal(codes, 1);
    set_signer(&w.signer->fail, CB_OK);
    assert_int_equal(open_with(&w, &in_place), CB_E_REGISTRATION_WITHDRAWN);
    verify_and_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_operator_is_told_of_an_expired_card_ends_the_codes_in_its_place),
        cmocka_unit_test(his_own_word_of_an_expired_card_ends_the_codes_in_its_place),
        cmocka_unit_test(said_again_or_where_no_code_is_open_nothing_is_written),
        cmocka_unit_test(
            what_is_told_of_a_card_that_is_suspended_already_ends_the_codes_in_its_place),
        cmocka_unit_test(what_is_told_of_a_card_that_is_not_active_yet_ends_the_codes_in_its_place),
        cmocka_unit_test(it_ends_them_while_nothing_can_be_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
