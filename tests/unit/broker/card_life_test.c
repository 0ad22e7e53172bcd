/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The life of a card: each act in each state, and what comes with it.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/core/state.h"
#include "tests/unit/broker/support.h"

enum {
    I = CB_CARD_ISSUED,
    A = CB_CARD_ACTIVE,
    S = CB_CARD_SUSPENDED,
    R = CB_CARD_REVOKED,
    E = CB_CARD_EXPIRED,
    B = CB_CARD_RETURNED,
    D = CB_CARD_DESTROYED,
    M = CB_CARD_MANUFACTURED,
    T = CB_CARD_IN_TRANSIT,
    K = CB_CARD_IN_STOCK,
    STATES = CB_CARD_DESTROYED,
    ACTS = CB_CARD_ISSUE
};

/* What each act makes of each state; 0: it is refused. Written out here a second time, so that the
 * table is not compared with itself. */
static const uint8_t expected[STATES + 1][ACTS + 1] = {
    /* activate, suspend, resume, revoke, return, destroy, expire, renew, send, receive, issue */
    [I] = {0, A, 0, 0, R, B, 0, E, I, 0, 0, 0}, [A] = {0, 0, S, 0, R, B, 0, E, A, 0, 0, 0},
    [S] = {0, 0, 0, A, R, B, 0, E, S, 0, 0, 0}, [R] = {0, 0, 0, 0, 0, B, D, 0, 0, 0, 0, 0},
    [E] = {0, 0, 0, 0, R, B, 0, 0, S, 0, 0, 0}, [B] = {0, 0, 0, 0, 0, 0, D, 0, 0, 0, 0, 0},
    [D] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, [M] = {0, 0, 0, 0, R, 0, D, 0, 0, T, 0, 0},
    [T] = {0, 0, 0, 0, R, 0, D, 0, 0, 0, K, 0}, [K] = {0, 0, 0, 0, R, 0, D, 0, 0, 0, 0, I},
};

static void the_table_is_what_it_should_be(void **state)
{
    (void)state;
    for (uint8_t from = 0; from <= STATES + 1; from++) {
        for (uint8_t act = 0; act <= ACTS + 1; act++) {
            uint8_t want = from > STATES || act > ACTS ? 0 : expected[from][act], next = 77;
            assert_int_equal(cb_card_next(from, act, &next), want ? CB_OK : CB_E_STATE);
            assert_int_equal(next, want ? want : 77);
        }
    }
}

/* A card whose last moment is in so many microseconds (0: none). */
static cb_id issue_card(world *w, int64_t life)
{
    cb_id id = cb_id_new();
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    make_binding(&id, &w->holder.id, &binding);
    cb_card_new fresh = {.binding = cb_buf_bytes(&binding),
                         .expires = life ? cb_clock_wall_us() + life : 0};
    assert_int_equal(cb_card_issue(w->store, "test", &fresh, NULL), CB_OK);
    cb_buf_free(&binding);
    return id;
}

static cb_error act_on(world *w, const cb_id *id, unsigned act)
{
    return cb_card_change(w->store, "test", id, (cb_card_act)act, NULL, NULL);
}

static uint8_t state_of(world *w, const cb_id *id)
{
    cb_card card;
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w->store, id, &card), CB_OK);
    uint8_t now = card.state;
    cb_card_free(&card);
    return now;
}

/* The acts that lead there from issued. */
static const uint8_t way_to[STATES + 1][4] = {
    [I] = {0},
    [A] = {CB_CARD_ACTIVATE},
    [S] = {CB_CARD_ACTIVATE, CB_CARD_SUSPEND},
    [R] = {CB_CARD_REVOKE},
    [E] = {CB_CARD_EXPIRE},
    [B] = {CB_CARD_RETURN},
    [D] = {CB_CARD_REVOKE, CB_CARD_DESTROY},
};
static const uint8_t of_holders[] = {I, A, S, R, E, B, D};

static uint64_t leaves_of(world *w)
{
    cb_store_state status;
    assert_int_equal(cb_store_status(w->store, &status), CB_OK);
    return status.leaves;
}

static void each_act_in_each_state_does_what_the_table_says_or_nothing(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    for (size_t i = 0; i < sizeof of_holders; i++) {
        uint8_t from = of_holders[i];
        for (unsigned act = CB_CARD_ACTIVATE; act <= CB_CARD_EXPIRE; act++) {
            cb_id id = issue_card(&w, 1); /* over by the time it is looked at */
            usleep(2);
            for (size_t k = 0; way_to[from][k]; k++)
                assert_int_equal(act_on(&w, &id, way_to[from][k]), CB_OK);
            assert_int_equal(state_of(&w, &id), from);
            uint64_t before = leaves_of(&w);
            uint8_t to = expected[from][act];
            assert_int_equal(act_on(&w, &id, act), to ? CB_OK : CB_E_STATE);
            assert_int_equal(state_of(&w, &id), to ? to : from);
            if (!to)
                assert_int_equal(leaves_of(&w), before);
        }
        cb_id id = issue_card(&w, 0);
        for (unsigned act = CB_CARD_RENEW; act <= ACTS + 1; act++)
            assert_int_equal(act_on(&w, &id, act), CB_E_ARGUMENT);
        assert_int_equal(act_on(&w, &id, 0), CB_E_ARGUMENT);
        assert_int_equal(state_of(&w, &id), I);
    }
    cb_id nobody = cb_id_new();
    assert_int_equal(act_on(&w, &nobody, CB_CARD_RETURN), CB_E_NOT_FOUND);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

typedef struct feed_marks {
    cb_id card;
    unsigned kind[8];
} feed_marks;

static unsigned entries_of(world *w, const cb_id *card, uint8_t kind)
{
    cb_feed_entry entry[200];
    size_t count = 0;
    unsigned found = 0;
    assert_int_equal(cb_feed_since(w->store, 0, entry, 200, &count), CB_OK);
    for (size_t i = 0; i < count; i++)
        found += entry[i].kind == kind && cb_id_same(&entry[i].subject, card);
    return found;
}

static void a_card_that_is_given_back_is_revoked_once_and_ends_what_it_opened(void **state)
{
    world w;
    cb_affected affected = {0};
    cb_id session = cb_id_new();
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_once(&w, NULL, &session), CB_OK);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_RETURN, "moved", &affected),
                     CB_OK);
    assert_int_equal(affected.session_count, 1);
    assert_true(affected.feed_number > 0);
    assert_int_equal(entries_of(&w, &w.card, CB_FEED_CARD_REVOKED), 1);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_REVOKED);
    cb_id other = add_card(&w, true);
    assert_int_equal(act_on(&w, &other, CB_CARD_REVOKE), CB_OK);
    assert_int_equal(act_on(&w, &other, CB_CARD_RETURN), CB_OK);
    assert_int_equal(act_on(&w, &other, CB_CARD_DESTROY), CB_OK);
    assert_int_equal(entries_of(&w, &other, CB_FEED_CARD_REVOKED), 1);
    cb_affected_free(&affected);
    assert_int_equal(end_session(w.store, &session, "revoked"), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void the_record_says_when_a_state_was_edited(void **state)
{
    static const char *const edits[] = {"active", "returned", "destroyed", "expired"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        world w;
        char sql[80];
        world_begin(&w);
        assert_int_equal(act_on(&w, &w.card, CB_CARD_REVOKE), CB_OK);
        world_close(&w);
        snprintf(sql, sizeof sql, "UPDATE card SET state = '%s'", edits[i]);
        tamper(&w, sql);
        assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
        assert_int_equal(findings_of("table.state"), 1);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_what_it_should_be),
        cmocka_unit_test(each_act_in_each_state_does_what_the_table_says_or_nothing),
        cmocka_unit_test(a_card_that_is_given_back_is_revoked_once_and_ends_what_it_opened),
        cmocka_unit_test(the_record_says_when_a_state_was_edited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
