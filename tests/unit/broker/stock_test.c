/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that nobody holds, and who asked for one.
 */
#include <stdio.h>

#include "base/clock.h"
#include "broker/core/state.h"
#include "broker/core/stock.h"
#include "tests/unit/broker/support.h"

static cb_stock_outcome out;

static cb_error on_lines(world *w, unsigned act, const char *name, bool last,
                         const char *const *serials, size_t count)
{
    cb_stock_list list = {.manufacturer = "acme",
                          .name = name,
                          .serials = serials,
                          .count = count,
                          .first = 1,
                          .last = last};
    return act ? cb_stock_act(w->store, "test", (cb_card_act)act, &list, &out)
               : cb_stock_enter(w->store, "test", &list, &out);
}

static cb_error on(world *w, unsigned act, const char *name, const char *a, const char *b)
{
    const char *serials[] = {a, b};
    return on_lines(w, act, name, false, serials, (size_t)(a != NULL) + (b != NULL));
}

static void stands(size_t done, size_t mismatches)
{
    assert_int_equal(out.done, done);
    assert_int_equal(out.mismatches, mismatches);
}

typedef struct seen {
    const char *serial, *what;
    uint8_t state;
    unsigned count;
} seen;

static cb_error see_state(void *context, const cb_stock *stock)
{
    seen *s = context;
    if (strcmp(stock->serial, s->serial) == 0)
        s->state = stock->state;
    return CB_OK;
}

static uint8_t state_of(world *w, const char *serial)
{
    seen s = {.serial = serial};
    assert_int_equal(cb_stock_page(w->store, "acme", NULL, NULL, "", 0, see_state, &s), CB_OK);
    return s.state;
}

static cb_error count_what(void *context, const cb_mismatch *m)
{
    seen *s = context;
    s->count += strcmp(m->kind, s->what) == 0;
    return CB_OK;
}

static unsigned mismatches(world *w, const char *what)
{
    seen s = {.what = what};
    assert_int_equal(cb_mismatch_page(w->store, NULL, 0, count_what, &s), CB_OK);
    return s.count;
}

static void a_delivery_is_compared_with_what_was_sent(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(on(&w, 0, "b1", "s1", "s2"), CB_OK);
    stands(2, 0);
    assert_int_equal(on(&w, 0, "b1", "s2", "s3"), CB_OK); /* repeated, and one more */
    stands(1, 0);
    assert_int_equal(on(&w, 0, "b2", "s3", NULL), CB_OK);
    stands(0, 1);
    assert_int_equal(mismatches(&w, "listed-twice"), 1);
    assert_int_equal(on(&w, CB_CARD_RECEIVE, "d1", "s1", NULL), CB_OK);
    assert_int_equal(mismatches(&w, "not-sent"), 1);
    assert_int_equal(on(&w, CB_CARD_SEND, "d1", "s1", "s2"), CB_OK);
    stands(2, 0);
    assert_int_equal(on(&w, CB_CARD_SEND, "d1", "s1", "nobody"), CB_OK); /* the same once more */
    stands(0, 1);
    const char *const arrived[] = {"s1", "strange"};
    assert_int_equal(on_lines(&w, CB_CARD_RECEIVE, "d1", true, arrived, 2), CB_OK);
    stands(1, 2); /* strange is unknown, s2 missing */
    assert_int_equal(mismatches(&w, "unknown"), 2);
    assert_int_equal(mismatches(&w, "missing"), 1);
    assert_int_equal(on_lines(&w, CB_CARD_RECEIVE, "d1", true, arrived, 1), CB_OK);
    stands(0, 0); /* the same once more says nothing new */
    assert_int_equal(state_of(&w, "s1"), CB_CARD_IN_STOCK);
    assert_int_equal(state_of(&w, "s2"), CB_CARD_IN_TRANSIT);
    assert_int_equal(state_of(&w, "s3"), CB_CARD_MANUFACTURED);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void of_two_cards_with_one_serial_neither_comes_into_stock(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(on(&w, 0, "b1", "s1", NULL), CB_OK);
    assert_int_equal(on(&w, CB_CARD_SEND, "d1", "s1", NULL), CB_OK);
    assert_int_equal(on(&w, CB_CARD_RECEIVE, "d1", "s1", "s1"), CB_OK);
    stands(1, 1);
    assert_int_equal(mismatches(&w, "double"), 1);
    assert_int_equal(state_of(&w, "s1"), CB_CARD_REVOKED);
    verify_and_end(&w);
}

/* Each act in each state of stock; what the table does not have is a mismatch, and nothing else. */
static void each_act_on_stock_does_what_the_table_says(void **state)
{
    static const uint8_t acts[] = {CB_CARD_SEND, CB_CARD_REVOKE, CB_CARD_DESTROY};
    static const uint8_t ways[][3] = {
        {0}, {CB_CARD_SEND}, {CB_CARD_SEND, CB_CARD_RECEIVE}, {CB_CARD_REVOKE}, {CB_CARD_DESTROY}};
    world w;
    unsigned number = 0;
    (void)state;
    world_begin(&w);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        for (size_t k = 0; k < sizeof acts; k++) {
            char serial[16];
            uint8_t to = 0;
            snprintf(serial, sizeof serial, "n%u", ++number);
            assert_int_equal(on(&w, 0, "b1", serial, NULL), CB_OK);
            for (size_t n = 0; n < 3 && ways[i][n]; n++)
                assert_int_equal(on(&w, ways[i][n], "d1", serial, NULL), CB_OK);
            uint8_t from = state_of(&w, serial);
            cb_error refused = cb_card_next(from, acts[k], &to);
            assert_int_equal(on(&w, acts[k], "d2", serial, NULL), CB_OK);
            stands(refused ? 0 : 1, refused ? 1 : 0);
            assert_int_equal(state_of(&w, serial), refused ? from : to);
        }
    }
    assert_int_equal(on(&w, CB_CARD_ACTIVATE, "d1", "n1", NULL), CB_E_ARGUMENT);
    assert_int_equal(on(&w, CB_CARD_SEND, "two words", "n1", NULL), CB_E_ARGUMENT);
    assert_int_equal(on(&w, CB_CARD_SEND, "d1", "", NULL), CB_E_ARGUMENT);
    verify_and_end(&w);
}

/* ---- Issuing from stock ---- */

static cb_error issue(world *w, const cb_id *id, const char *serial, const cb_card_rules *rules,
                      const cb_id *application)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    make_binding(id, &w->holder.id, &binding);
    cb_card_new fresh = {.binding = cb_buf_bytes(&binding), .rules = rules};
    fresh.manufacturer = serial ? "acme" : NULL;
    fresh.serial = serial;
    if (application)
        fresh.application = *application;
    cb_error error = cb_card_issue(w->store, "test", &fresh, NULL);
    cb_buf_free(&binding);
    return error;
}

static bool is_there(world *w, const cb_id *id)
{
    cb_card card;
    cb_card_init(&card);
    bool there = cb_card_get(w->store, id, &card) == CB_OK;
    cb_card_free(&card);
    return there;
}

static void put_in_stock(world *w, const char *serial, const cb_id *identity)
{
    cb_id one = {{0}};
    if (identity)
        one = *identity;
    cb_stock_list list = {.manufacturer = "acme",
                          .name = "b1",
                          .serials = &serial,
                          .identities = &one,
                          .count = 1,
                          .first = 1};
    assert_int_equal(cb_stock_enter(w->store, "test", &list, &out), CB_OK);
    assert_int_equal(on(w, CB_CARD_SEND, "d1", serial, NULL), CB_OK);
    assert_int_equal(on(w, CB_CARD_RECEIVE, "d1", serial, NULL), CB_OK);
}

static void only_what_is_in_stock_is_issued_and_once(void **state)
{
    static const cb_card_rules demand = {.stock = CB_STOCK_OF_NATIVE};
    world w;
    (void)state;
    world_begin(&w);
    cb_id one = cb_id_new(), two = cb_id_new(), three = cb_id_new(), stranger = cb_id_new();
    put_in_stock(&w, "s1", &one);
    put_in_stock(&w, "s2", NULL);
    assert_int_equal(on(&w, 0, "b1", "s3", NULL), CB_OK);
    assert_int_equal(issue(&w, &stranger, NULL, &demand, NULL), CB_E_CARD_UNLISTED);
    assert_int_equal(issue(&w, &stranger, "s1", &demand, NULL), CB_E_CARD_UNLISTED); /* another's */
    assert_int_equal(issue(&w, &stranger, "s3", &demand, NULL), CB_E_CARD_UNLISTED); /* not there */
    assert_int_equal(issue(&w, &stranger, "s9", NULL, NULL), CB_E_CARD_UNLISTED);
    assert_false(is_there(&w, &stranger));
    assert_int_equal(mismatches(&w, "issue-unlisted"), 4);
    assert_int_equal(issue(&w, &one, NULL, &demand, NULL), CB_OK); /* found by its identity */
    assert_int_equal(state_of(&w, "s1"), CB_CARD_ISSUED);
    assert_int_equal(issue(&w, &two, "s2", &demand, NULL), CB_OK);
    assert_int_equal(issue(&w, &three, "s2", &demand, NULL), CB_E_CARD_UNLISTED); /* issued */
    assert_int_equal(on(&w, CB_CARD_REVOKE, "x", "s2", NULL), CB_OK);
    stands(0, 1);                                                    /* it is its holder's now */
    assert_int_equal(issue(&w, &stranger, NULL, NULL, NULL), CB_OK); /* nobody demands a list */
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static cb_error ask(world *w, const cb_id *id, const cb_id *holder, const char *name,
                    const char *serial, const cb_card_rules *rules)
{
    const cb_card card = {.id = *id, .holder = *holder, .profile = CB_PROFILE_NATIVE};
    cb_card_new fresh = {.rules = rules, .serial = serial, .holder_name = name};
    fresh.manufacturer = serial ? "acme" : NULL;
    return cb_card_issuable(w->store, "test", &fresh, &card);
}

static void asked_before_it_says_what_recording_would(void **state)
{
    static const cb_card_rules demand = {.stock = CB_STOCK_OF_NATIVE};
    const cb_id unnamed = {{0}};
    world w;
    (void)state;
    world_begin(&w);
    const cb_id *holder = &w.holder.id;
    cb_id one = cb_id_new(), two = cb_id_new(), stranger = cb_id_new(), nobody = cb_id_new();
    put_in_stock(&w, "s1", &one);
    put_in_stock(&w, "s2", NULL);
    assert_int_equal(ask(&w, &stranger, holder, NULL, NULL, &demand), CB_E_CARD_UNLISTED);
    assert_int_equal(ask(&w, &stranger, holder, NULL, "s1", &demand), CB_E_CARD_UNLISTED);
    assert_int_equal(ask(&w, &one, holder, NULL, "s2", &demand), CB_E_CARD_UNLISTED); /* it is s1 */
    assert_int_equal(issue(&w, &one, "s2", &demand, NULL), CB_E_CARD_UNLISTED);
    assert_int_equal(mismatches(&w, "issue-unlisted"), 4);
    assert_int_equal(ask(&w, &two, &nobody, NULL, "s2", &demand), CB_E_NOT_FOUND);
    assert_int_equal(ask(&w, &two, &nobody, "Somebody", "s2", &demand), CB_OK);
    assert_int_equal(ask(&w, &two, holder, "not his name", "s2", &demand), CB_E_EXISTS);
    assert_int_equal(ask(&w, &unnamed, holder, NULL, NULL, &demand), CB_OK); /* it cannot know */
    assert_int_equal(ask(&w, &unnamed, holder, NULL, "s9", &demand), CB_E_CARD_UNLISTED);
    assert_int_equal(ask(&w, &two, holder, NULL, "s2", &demand), CB_OK);
    assert_int_equal(state_of(&w, "s2"), CB_CARD_IN_STOCK); /* asking takes nothing */
    assert_int_equal(issue(&w, &two, "s2", &demand, NULL), CB_OK);
    assert_int_equal(ask(&w, &two, holder, NULL, "s2", &demand), CB_E_EXISTS);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

/* ---- Applications ---- */

static cb_application apply(world *w, const char *actor, const char *reason)
{
    cb_application a;
    assert_int_equal(
        cb_application_add(w->store, actor, &w->holder.id, CB_PROFILE_NATIVE, reason, &a), CB_OK);
    assert_int_equal(a.state, CB_APPLICATION_ENTERED);
    return a;
}

static const cb_card_rules asked_for = {.applications = true};

static void an_application_is_approved_by_another_and_gives_one_card(void **state)
{
    world w;
    cb_application now;
    (void)state;
    world_begin(&w);
    cb_id one = cb_id_new(), two = cb_id_new(), nobody = cb_id_new();
    assert_int_equal(issue(&w, &one, NULL, &asked_for, NULL), CB_E_APPLICATION_NONE);
    cb_application a = apply(&w, "ann", "first");
    assert_int_equal(issue(&w, &one, NULL, &asked_for, NULL), CB_E_APPLICATION_NONE);
    assert_int_equal(cb_application_approve(w.store, "ann", &a.id, NULL, &now),
                     CB_E_APPLICATION_SELF);
    assert_int_equal(cb_application_approve(w.store, "bob", &a.id, NULL, &now), CB_OK);
    assert_int_equal(cb_application_approve(w.store, "bob", &a.id, NULL, &now), CB_E_STATE);
    assert_int_equal(issue(&w, &one, NULL, &asked_for, NULL), CB_OK);
    assert_int_equal(cb_application_get(w.store, &a.id, &now), CB_OK);
    assert_int_equal(now.state, CB_APPLICATION_ISSUED);
    assert_true(cb_id_same(&now.card, &one));
    assert_string_equal(now.approver, "bob");
    assert_int_equal(issue(&w, &two, NULL, &asked_for, NULL), CB_E_APPLICATION_NONE);
    cb_application b = apply(&w, "ann", "replacement");
    assert_int_equal(cb_application_approve(w.store, "bob", &b.id, NULL, &now), CB_OK);
    assert_int_equal(issue(&w, &two, NULL, &asked_for, NULL), CB_E_APPLICATION_NONE);
    assert_int_equal(issue(&w, &two, NULL, NULL, &b.id), CB_E_APPLICATION_NONE); /* no first card */
    assert_int_equal(cb_application_refuse(w.store, "ann", &b.id, NULL, &now), CB_OK);
    assert_int_equal(cb_application_refuse(w.store, "ann", &b.id, NULL, &now), CB_E_STATE);
    assert_int_equal(mismatches(&w, "issue-without-application"), 5);
    assert_int_equal(cb_application_add(w.store, "ann", &nobody, 1, "first", &now), CB_E_NOT_FOUND);
    assert_int_equal(cb_application_add(w.store, "ann", &w.holder.id, 1, "third", &now),
                     CB_E_ARGUMENT);
    assert_int_equal(cb_application_add(w.store, "ann", &w.holder.id, 99, "first", &now),
                     CB_E_ARGUMENT);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void an_application_is_entered_with_its_holder_once_however_often_it_is_tried(void **state)
{
    world w;
    cb_application now;
    cb_holder holder;
    (void)state;
    world_begin(&w);
    cb_application_new fresh = {.id = cb_id_new(),
                                .holder = cb_id_new(),
                                .holder_name = "Somebody new",
                                .profile = CB_PROFILE_NATIVE,
                                .reason = "first"};
    assert_int_equal(cb_application_enter(w.store, "ann", &fresh, &now), CB_OK);
    assert_true(cb_id_same(&now.id, &fresh.id));
    assert_int_equal(cb_holder_get(w.store, &fresh.holder, &holder), CB_OK);
    assert_string_equal(holder.name, "Somebody new");
    assert_int_equal(cb_application_enter(w.store, "ann", &fresh, &now), CB_E_EXISTS);
    assert_int_equal(cb_application_approve(w.store, "ann", &fresh.id, NULL, &now),
                     CB_E_APPLICATION_SELF);
    /* By somebody else: it stays the first one's. */
    assert_int_equal(cb_application_enter(w.store, "bob", &fresh, &now), CB_E_EXISTS);
    assert_int_equal(cb_application_approve(w.store, "ann", &fresh.id, NULL, &now),
                     CB_E_APPLICATION_SELF);
    assert_int_equal(cb_application_approve(w.store, "bob", &fresh.id, NULL, &now), CB_OK);
    /* What is not entered enters nobody. */
    cb_id first = fresh.id, other = fresh.holder = cb_id_new();
    assert_int_equal(cb_application_enter(w.store, "ann", &fresh, &now), CB_E_EXISTS);
    fresh.id = cb_id_new();
    fresh.profile = 99;
    assert_int_equal(cb_application_enter(w.store, "ann", &fresh, &now), CB_E_ARGUMENT);
    fresh.profile = CB_PROFILE_NATIVE;
    fresh.holder_name = "";
    assert_int_equal(cb_application_enter(w.store, "ann", &fresh, &now), CB_E_ARGUMENT);
    assert_int_equal(cb_holder_get(w.store, &other, &holder), CB_E_NOT_FOUND);
    assert_int_equal(cb_application_get(w.store, &first, &now), CB_OK);
    fresh.holder = now.holder;
    fresh.holder_name = "Another name";
    assert_int_equal(cb_application_enter(w.store, "ann", &fresh, &now), CB_E_EXISTS);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

/* Before the record was read again nothing is known of applications, and nobody has altered one. */
static void asked_while_the_record_is_not_read_yet_it_says_so(void **state)
{
    world w;
    cb_application now;
    (void)state;
    world_begin(&w);
    cb_id one = cb_id_new();
    cb_application a = apply(&w, "ann", "first");
    assert_int_equal(cb_application_approve(w.store, "bob", &a.id, NULL, &now), CB_OK);
    assert_int_equal(ask(&w, &one, &w.holder.id, NULL, NULL, &asked_for), CB_OK);
    world_close(&w);
    set_signer(&w.signer->fail, CB_E_HSM_DOWN);
    world_open(&w);
    assert_int_equal(issue(&w, &one, NULL, &asked_for, NULL), CB_E_HSM_DOWN);
    assert_int_equal(ask(&w, &one, &w.holder.id, NULL, NULL, &asked_for), CB_E_HSM_DOWN);
    set_signer(&w.signer->fail, CB_OK);
    world_end(&w);
}

static void a_replacement_needs_an_application_of_its_own(void **state)
{
    world w;
    cb_card card;
    cb_application now;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_id new = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_card_init(&card);
    make_binding(&new, &w.holder.id, &binding);
    cb_card_new fresh = {.binding = cb_buf_bytes(&binding), .rules = &asked_for};
    assert_int_equal(cb_card_replace(w.store, "test", &w.card, &fresh, NULL, &card, NULL),
                     CB_E_APPLICATION_NONE);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK); /* nothing happened to the old card */
    cb_application a = apply(&w, "ann", "replacement");
    assert_int_equal(cb_application_approve(w.store, "bob", &a.id, NULL, &now), CB_OK);
    assert_int_equal(cb_card_replace(w.store, "test", &w.card, &fresh, NULL, &card, NULL), CB_OK);
    cb_buf_free(&binding);
    cb_card_free(&card);
    world_end(&w);
}

/* Whoever writes the database is no second operator. */
static void an_approval_that_the_record_does_not_know_gives_no_card(void **state)
{
    static const char *const edits[] = {
        "UPDATE application SET state = 'approved', approver = 'bob'",
        "UPDATE application SET reason = 'first'"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        world w;
        cb_application now;
        cb_id one = cb_id_new();
        world_begin(&w);
        cb_application a = apply(&w, "ann", i ? "replacement" : "first");
        if (i)
            assert_int_equal(cb_application_approve(w.store, "bob", &a.id, NULL, &now), CB_OK);
        world_close(&w);
        tamper(&w, edits[i]);
        world_open(&w);
        assert_int_equal(issue(&w, &one, NULL, &asked_for, NULL), CB_E_HSM_RECORD);
        assert_false(is_there(&w, &one));
        world_end(&w);
    }
}

/* Nor does he make another operator of the one who has entered it, or of nobody. */
static void what_was_entered_by_another_is_what_the_record_says(void **state)
{
    static const char *const edits[] = {
        "UPDATE application SET operator = 'carol'",
        ("INSERT INTO application SELECT x'00112233445566778899aabbccddeeff', holder, profile, "
         "reason, state, 'carol', approver, card, created, changed FROM application"),
        "UPDATE application SET reason = 'replacement'"};
    const cb_id made = {{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB,
                         0xCC, 0xDD, 0xEE, 0xFF}};
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        world w;
        cb_application now;
        world_begin(&w);
        cb_application a = apply(&w, "ann", "first");
        world_close(&w);
        tamper(&w, edits[i]);
        world_open(&w);
        assert_int_equal(cb_application_approve(w.store, i == 2 ? "bob" : "ann",
                                                i == 1 ? &made : &a.id, NULL, &now),
                         CB_E_HSM_RECORD);
        world_end(&w);
    }
}

static void an_approval_outlives_a_start(void **state)
{
    world w;
    cb_application now;
    cb_id one = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_application a = apply(&w, "ann", "first");
    assert_int_equal(cb_application_approve(w.store, "bob", &a.id, NULL, &now), CB_OK);
    world_close(&w);
    world_open(&w);
    assert_int_equal(issue(&w, &one, NULL, &asked_for, NULL), CB_OK);
    world_end(&w);
}

typedef struct listed {
    cb_id id[8];
    size_t count;
} listed;

static cb_error note_listed(void *context, const cb_application *a)
{
    listed *l = context;
    assert_true(l->count < sizeof l->id / sizeof *l->id);
    l->id[l->count++] = a->id;
    return CB_OK;
}

static listed list(world *w, const cb_id *holder, const char *state, const cb_id *after,
                   unsigned limit)
{
    listed l = {.count = 0};
    assert_int_equal(cb_application_page(w->store, holder, state, after, limit, note_listed, &l),
                     CB_OK);
    return l;
}

static void applications_are_listed_by_holder_and_state_a_page_at_a_time(void **state)
{
    world w;
    cb_application other, now;
    cb_holder another;
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_holder_add(w.store, "ann", "Jiro", &another), CB_OK);
    cb_application a = apply(&w, "ann", "first"), b = apply(&w, "ann", "replacement");
    assert_int_equal(cb_application_add(w.store, "ann", &another.id, 1, "first", &other), CB_OK);
    assert_int_equal(cb_application_refuse(w.store, "ann", &a.id, NULL, &now), CB_OK);
    assert_int_equal(list(&w, NULL, NULL, NULL, 10).count, 3);
    assert_int_equal(list(&w, NULL, "entered", NULL, 10).count, 2);
    assert_int_equal(list(&w, &w.holder.id, NULL, NULL, 10).count, 2);
    listed l = list(&w, &w.holder.id, "entered", NULL, 10);
    assert_true(l.count == 1 && cb_id_same(&l.id[0], &b.id));
    l = list(&w, &another.id, NULL, NULL, 10);
    assert_true(l.count == 1 && cb_id_same(&l.id[0], &other.id));
    assert_int_equal(list(&w, &another.id, "refused", NULL, 10).count, 0);
    l = list(&w, &w.holder.id, NULL, NULL, 1);
    assert_int_equal(l.count, 1);
    listed rest = list(&w, &w.holder.id, NULL, &l.id[0], 10);
    assert_true(rest.count == 1 && !cb_id_same(&rest.id[0], &l.id[0]));
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delivery_is_compared_with_what_was_sent),
        cmocka_unit_test(of_two_cards_with_one_serial_neither_comes_into_stock),
        cmocka_unit_test(each_act_on_stock_does_what_the_table_says),
        cmocka_unit_test(only_what_is_in_stock_is_issued_and_once),
        cmocka_unit_test(asked_before_it_says_what_recording_would),
        cmocka_unit_test(an_application_is_approved_by_another_and_gives_one_card),
        cmocka_unit_test(an_application_is_entered_with_its_holder_once_however_often_it_is_tried),
        cmocka_unit_test(asked_while_the_record_is_not_read_yet_it_says_so),
        cmocka_unit_test(a_replacement_needs_an_application_of_its_own),
        cmocka_unit_test(an_approval_that_the_record_does_not_know_gives_no_card),
        cmocka_unit_test(what_was_entered_by_another_is_what_the_record_says),
        cmocka_unit_test(an_approval_outlives_a_start),
        cmocka_unit_test(applications_are_listed_by_holder_and_state_a_page_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
