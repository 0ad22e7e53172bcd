/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One-time codes with which holders register cards of their own, as the broker records them.
 */
#include "broker/core/registration.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/core/stock.h"
#include "hsm/client.h"
#include "tests/unit/broker/support.h"

static cb_registration_row row_of(const world *w, int64_t seconds)
{
    return (cb_registration_row){.code = cb_id_new(),
                                 .holder = w->holder.id,
                                 .profiles = 1 << CB_PROFILE_SCP03,
                                 .level = CB_LEVEL_POSSESSION,
                                 .expires = cb_clock_wall_us() + seconds * CB_SECOND};
}

static cb_registration_row allow(world *w)
{
    cb_registration_row row = row_of(w, 60);
    assert_int_equal(cb_registration_record(w->store, "manager", NULL, &row), CB_OK);
    return row;
}

/* In the place of a card. */
static cb_registration_row allow_replacing(world *w, const cb_id *old)
{
    cb_registration_row row = row_of(w, 60);
    row.replaces = *old;
    assert_int_equal(cb_registration_record(w->store, "manager", "renewed", &row), CB_OK);
    return row;
}

/* A binding of a card without certificates. */
static void bind(const cb_id *card, const cb_id *holder, uint8_t level, uint64_t sequence,
                 cb_buf *out)
{
    cb_binding_info info = {.card = *card,
                            .holder = *holder,
                            .profile = CB_PROFILE_SCP03,
                            .level = level,
                            .sequence = sequence};
    cb_buf_init(out, CB_BINDING_MAX);
    make_binding_of(&info, out);
}

static uint32_t counter; /* of the card, as hsmd believed it */
static cb_id replaced;   /* by the last use */
static size_t cut;       /* sessions that were the old card's */
static cb_card_rules rules;

static cb_error use_as(world *w, const cb_id *code, const cb_id *card, const cb_id *holder,
                       uint8_t level, cb_card *out)
{
    cb_buf binding;
    cb_card made;
    uint64_t sequence = 0;
    cb_card_init(&made);
    cb_error error = cb_registration_sequence(w->store, code, &sequence);
    bind(card, holder, level, sequence, &binding);
    cb_registration_use use = {.code = *code,
                               .tap = cb_id_new(),
                               .terminal = w->terminal.id,
                               .counter = counter,
                               .rules = &rules,
                               .binding = cb_buf_bytes(&binding)};
    cb_registration_replaced other = {.card = {{0}}};
    if (!error)
        error = cb_registration_use_code(w->store, &use, out ? out : &made, &other);
    replaced = other.card;
    cut = other.affected.session_count;
    cb_affected_free(&other.affected);
    cb_buf_free(&binding);
    cb_card_free(&made);
    return error;
}

static cb_error use(world *w, const cb_id *code, const cb_id *card, cb_card *out)
{
    return use_as(w, code, card, &w->holder.id, CB_LEVEL_POSSESSION, out);
}

static uint8_t state_of(world *w, const cb_id *code)
{
    cb_registration_row row;
    assert_int_equal(cb_registration_find(w->store, code, &row), CB_OK);
    return row.state;
}

static uint64_t size_of_log(world *w)
{
    cb_tree_head head;
    assert_int_equal(w->signer != NULL, 1);
    head = w->signer->remembered;
    return head.size;
}

static cb_error open_for(const world *w, const cb_id *code, const cb_id *card)
{
    return cb_registration_open(w->store, code, card, CB_PROFILE_PIV, NULL);
}

/* Before hsmd binds the card for good, and the code is used. */
static void rules_are_looked_at_before_the_card_is_bound(void **state)
{
    world w;
    static const cb_card_rules stock = {.stock = CB_STOCK_OF_ALL}, applications = {.applications = true};
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

/* As a holder does who is told to try again in a moment. */
static cb_error use_until_signed(world *w, const cb_id *code, const cb_id *card)
{
    cb_error error = CB_E_HSM_DOWN;
    for (int i = 0; i < 1000 && (error == CB_E_HSM_DOWN || error == CB_E_UNSIGNED); i++) {
        error = use(w, code, card, NULL);
        usleep(10000);
    }
    return error;
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

/* ---- In the place of a card ---- */

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

/* Its last day takes the place of the suspension; and of one that only expired nobody knows that. */
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
     false, 0},
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
    assert_int_equal(verify_file(&w, NULL), edits[i].findings > 0 ? CB_E_EVIDENCE : CB_OK);
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
