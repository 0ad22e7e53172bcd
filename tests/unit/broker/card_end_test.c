/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The last day of a card, giving it back in time, and the card that takes its place.
 */
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/store/txn.h"
#include "tests/unit/broker/support.h"

#define LONG (3600 * CB_SECOND)

static void binding_of(const cb_id *card, const cb_id *holder, int64_t expires, cb_buf *out)
{
    cb_binding_info info = {
        .card = *card,
        .holder = *holder,
        .profile = CB_PROFILE_NATIVE,
        .level = CB_LEVEL_PIN,
        .sequence = 1,
        .expires = expires,
        .keys = {.count = 1,
                 .key = {{.kind = CB_CARD_KEY_P256, .len = CB_P256_POINT, .data = {4}}}}};
    make_binding_of(&info, out);
}

/* A new card's last moments: as its binding has it, and its own; 0: none. */
static cb_id issue(world *w, int64_t certified, int64_t own)
{
    cb_id id = cb_id_new();
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    binding_of(&id, &w->holder.id, certified, &binding);
    cb_card_new fresh = {.binding = cb_buf_bytes(&binding), .expires = own, .station = "desk-1"};
    assert_int_equal(cb_card_issue(w->store, "test", &fresh, NULL), CB_OK);
    cb_buf_free(&binding);
    return id;
}

static cb_card look_at(world *w, const cb_id *id)
{
    cb_card card;
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w->store, id, &card), CB_OK);
    cb_buf_free(&card.binding);
    cb_buf_free(&card.certificates);
    return card;
}

static cb_error act_on(world *w, const cb_id *id, cb_card_act act)
{
    return cb_card_change(w->store, "test", id, act, NULL, NULL);
}

static size_t sweep(world *w, int64_t return_time)
{
    size_t done = 0, all = 0;
    cb_card_sweep s = {.now = cb_clock_wall_us(), .return_time = return_time};
    do {
        assert_int_equal(cb_card_sweep_step(w->store, &s, &done), CB_OK);
        all += done;
    } while (done > 0);
    return all;
}

static void the_earlier_of_two_days_counts(void **state)
{
    world w;
    int64_t now = cb_clock_wall_us();
    (void)state;
    world_begin(&w);
    static const int64_t hours[][3] = {{0, 0, 0}, {2, 0, 2}, {0, 3, 3}, {2, 3, 2}, {3, 2, 2}};
    for (size_t i = 0; i < 5; i++) {
        cb_id id = issue(&w, hours[i][0] ? now + hours[i][0] * LONG : 0,
                         hours[i][1] ? now + hours[i][1] * LONG : 0);
        assert_int_equal(look_at(&w, &id).expires, hours[i][2] ? now + hours[i][2] * LONG : 0);
    }
    world_end(&w);
}

static void from_its_last_day_on_a_card_is_refused_before_anybody_swept(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    int64_t end = cb_clock_wall_us() + 1500 * CB_MILLISECOND; /* for machines that are slow */
    w.card = issue(&w, 0, end);
    assert_int_equal(act_on(&w, &w.card, CB_CARD_EXPIRE), CB_E_STATE); /* not yet */
    assert_int_equal(act_on(&w, &w.card, CB_CARD_ACTIVATE), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    cb_intent_grant grant;
    cb_intent_request request = intent_of(&w);
    cb_intent_grant_init(&grant);
    assert_int_equal(cb_decide_intent(w.store, &request, &grant), CB_OK);
    while (cb_clock_wall_us() < end)
        usleep(1000);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_EXPIRED);
    /* One that was under way is withdrawn. */
    cb_result_request result = {.tap = request.context.tap};
    assert_int_equal(cb_decide_result(w.store, &result), CB_E_TAP_WITHDRAWN);
    cb_intent_grant_free(&grant);
    assert_int_equal(look_at(&w, &w.card).state, CB_CARD_ACTIVE);
    assert_int_equal(sweep(&w, 0), 1);
    assert_int_equal(sweep(&w, 0), 0);
    assert_int_equal(look_at(&w, &w.card).state, CB_CARD_EXPIRED);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_EXPIRED);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void set_day_back(world *w, const char *what, const cb_id *id, int64_t to)
{
    char sql[200], hex[2 * CB_ID_SIZE + 1] = "";
    for (size_t i = 0; i < CB_ID_SIZE; i++)
        sprintf(hex + 2 * i, "%02x", id->bytes[i]);
    snprintf(sql, sizeof sql, "UPDATE card SET %s = %lld WHERE id = x'%s'", what, (long long)to,
             hex);
    world_close(w);
    tamper(w, sql);
    world_open(w);
}

typedef struct ended {
    unsigned cards, sessions;
} ended;

static void count_ended(void *context, const cb_id *card, const cb_affected *affected)
{
    ended *e = context;
    (void)card;
    e->cards++;
    e->sessions += (unsigned)affected->session_count;
}

static void a_card_that_is_not_given_back_in_time_is_revoked(void **state)
{
    world w;
    cb_id session = cb_id_new();
    ended told = {0};
    size_t done;
    (void)state;
    world_begin(&w);
    int64_t now = cb_clock_wall_us();
    cb_id in_time = add_card(&w, true), dead = add_card(&w, true), kept = add_card(&w, true);
    assert_int_equal(tap_once(&w, NULL, &session), CB_OK);
    assert_int_equal(cb_card_recall(w.store, "test", &w.card, now + CB_MILLISECOND, "moved"),
                     CB_OK);
    assert_int_equal(cb_card_recall(w.store, "test", &in_time, now + CB_MILLISECOND, NULL), CB_OK);
    assert_int_equal(cb_card_recall(w.store, "test", &kept, now + CB_MILLISECOND, NULL), CB_OK);
    assert_int_equal(cb_card_recall(w.store, "test", &kept, 0, NULL), CB_OK);
    assert_int_equal(act_on(&w, &dead, CB_CARD_REVOKE), CB_OK);
    assert_int_equal(cb_card_recall(w.store, "test", &dead, now, NULL), CB_E_STATE);
    assert_int_equal(cb_card_recall(w.store, "test", &in_time, -1, NULL), CB_E_ARGUMENT);
    assert_int_equal(act_on(&w, &in_time, CB_CARD_RETURN), CB_OK);
    usleep(2000);
    cb_card_sweep s = {cb_clock_wall_us(), 0, count_ended, &told};
    assert_int_equal(cb_card_sweep_step(w.store, &s, &done), CB_OK);
    assert_int_equal(done, 1);
    assert_int_equal(told.cards, 1);
    assert_int_equal(told.sessions, 1);
    assert_int_equal(look_at(&w, &w.card).state, CB_CARD_REVOKED);
    assert_int_equal(look_at(&w, &in_time).state, CB_CARD_RETURNED);
    assert_int_equal(look_at(&w, &kept).state, CB_CARD_ACTIVE);
    assert_int_equal(end_session(w.store, &session, "revoked"), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void a_new_pin_is_allowed_for_a_good_card_at_a_good_terminal(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_id away = add_card(&w, true), nobody = cb_id_new();
    const cb_id *desk = &w.terminal.id;
    assert_int_equal(act_on(&w, &away, CB_CARD_SUSPEND), CB_OK);
    assert_int_equal(cb_card_pin_reset(w.store, "test", &away, desk, "forgotten"),
                     CB_E_CARD_SUSPENDED);
    assert_int_equal(cb_card_pin_reset(w.store, "test", &nobody, desk, "forgotten"),
                     CB_E_NOT_FOUND);
    assert_int_equal(cb_card_pin_reset(w.store, "test", &w.card, &nobody, "forgotten"),
                     CB_E_TERMINAL_UNKNOWN);
    assert_int_equal(cb_card_pin_reset(w.store, "test", &w.card, desk, NULL), CB_E_ARGUMENT);
    assert_int_equal(cb_card_pin_reset(w.store, "test", &w.card, desk, ""), CB_E_ARGUMENT);
    assert_int_equal(cb_card_pin_reset(w.store, "test", &w.card, desk, "two words"), CB_E_ARGUMENT);
    assert_int_equal(cb_card_pin_reset(w.store, "test", &w.card, desk, "forgotten"), CB_OK);
    assert_int_equal(cb_terminal_change(w.store, "test", desk, CB_TERMINAL_DEACTIVATE, NULL, NULL),
                     CB_OK);
    assert_int_equal(cb_card_pin_reset(w.store, "test", &w.card, desk, "forgotten"),
                     CB_E_TERMINAL_INACTIVE);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void an_expired_card_lapses_after_the_time_to_give_it_back(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_id id = issue(&w, 0, cb_clock_wall_us() + 1);
    usleep(10);
    assert_int_equal(sweep(&w, LONG), 1);
    cb_card card = look_at(&w, &id);
    assert_int_equal(card.state, CB_CARD_EXPIRED);
    assert_true(card.due > cb_clock_wall_us());
    set_day_back(&w, "due", &id, 1);
    assert_int_equal(sweep(&w, LONG), 1);
    assert_int_equal(look_at(&w, &id).state, CB_CARD_REVOKED);
    world_end(&w);
}

static void many_cards_end_in_bounded_steps(void **state)
{
    enum { CARDS = 70 };
    world w;
    size_t done, steps = 0, all = 0;
    (void)state;
    world_begin(&w);
    for (int i = 0; i < CARDS; i++)
        issue(&w, 0, 1);
    do {
        cb_card_sweep s = {.now = cb_clock_wall_us()};
        assert_int_equal(cb_card_sweep_step(w.store, &s, &done), CB_OK);
        all += done;
        steps++;
    } while (done > 0);
    assert_int_equal(all, CARDS);
    assert_true(steps > 2);
    world_end(&w);
}

/* ---- Replacement ---- */

static cb_error replace(world *w, const cb_id *old, const cb_id *new, const cb_id *holder,
                        cb_affected *affected)
{
    cb_card card;
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_card_init(&card);
    binding_of(new, holder, 0, &binding);
    cb_card_new fresh = {.binding = cb_buf_bytes(&binding)};
    cb_error error = cb_card_replace(w->store, "test", old, &fresh, "damaged", &card, affected);
    cb_card_free(&card);
    cb_buf_free(&binding);
    return error;
}

/* What SQLite's machine does for this thread to find the cards whose days are over. */
static _Thread_local bool counting;
static _Thread_local int machine_steps;

int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    int result = __real_sqlite3_step(statement);
    int done = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    machine_steps += counting ? done : 0;
    return result;
}

static cb_error look_for_days(cb_txn *txn, void *context)
{
    cb_id found[8];
    size_t count;
    (void)context;
    counting = true;
    machine_steps = 0;
    cb_error error = cb_row_card_over(txn, false, cb_clock_wall_us(), found, 8, &count);
    if (!error)
        error = cb_row_card_over(txn, true, cb_clock_wall_us(), found, 8, &count);
    counting = false;
    return error;
}

static void add_cards_with_days(world *w, int count)
{
    int64_t day = cb_clock_wall_us() + LONG;
    for (int i = 0; i < count; i++) {
        cb_id id = issue(w, 0, day);
        assert_int_equal(act_on(w, &id, CB_CARD_ACTIVATE), CB_OK);
        assert_int_equal(cb_card_recall(w->store, "test", &id, day, NULL), CB_OK);
    }
}

static void days_that_are_over_are_found_past_any_number_that_are_not(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    add_cards_with_days(&w, 1);
    assert_int_equal(cb_store_read(w.store, look_for_days, NULL), CB_OK);
    int few = machine_steps;
    add_cards_with_days(&w, 20);
    assert_int_equal(cb_store_read(w.store, look_for_days, NULL), CB_OK);
    assert_true(few > 0);
    assert_int_equal(machine_steps, few);
    world_end(&w);
}

static void a_replacement_carries_on_where_the_old_card_ends(void **state)
{
    world w;
    cb_affected affected = {0};
    cb_id session = cb_id_new(), new = cb_id_new(), third = cb_id_new();
    (void)state;
    world_begin(&w);
    cb_id old = w.card;
    assert_int_equal(tap_once(&w, NULL, &session), CB_OK);
    assert_int_equal(replace(&w, &old, &new, &w.holder.id, &affected), CB_OK);
    assert_int_equal(affected.session_count, 1);
    assert_true(affected.feed_number > 0);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_CARD_REVOKED);
    w.card = new;
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(replace(&w, &old, &third, &w.holder.id, NULL), CB_E_EXISTS); /* one for each */
    assert_int_equal(look_at(&w, &new).state, CB_CARD_ACTIVE);
    cb_affected_free(&affected);
    assert_int_equal(end_session(w.store, &session, "revoked"), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

static void what_cannot_be_replaced_changes_nothing(void **state)
{
    world w;
    cb_holder other;
    cb_id new = cb_id_new(), nobody = cb_id_new(), there;
    cb_store_state before, after;
    (void)state;
    world_begin(&w);
    there = add_card(&w, true);
    assert_int_equal(cb_holder_add(w.store, "test", "Taro", &other), CB_OK);
    assert_int_equal(cb_store_status(w.store, &before), CB_OK);
    assert_int_equal(replace(&w, &w.card, &new, &other.id, NULL), CB_E_ARGUMENT);
    assert_int_equal(replace(&w, &w.card, &w.card, &w.holder.id, NULL), CB_E_ARGUMENT);
    assert_int_equal(replace(&w, &w.card, &there, &w.holder.id, NULL), CB_E_EXISTS);
    assert_int_equal(replace(&w, &nobody, &new, &w.holder.id, NULL), CB_E_NOT_FOUND);
    assert_int_equal(cb_store_status(w.store, &after), CB_OK);
    assert_int_equal(before.leaves, after.leaves);
    assert_int_equal(before.feed_number, after.feed_number);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_end(&w);
}

static void a_card_in_any_state_of_its_end_can_be_replaced(void **state)
{
    static const cb_card_act ends[] = {CB_CARD_REVOKE, CB_CARD_RETURN, CB_CARD_EXPIRE,
                                       CB_CARD_SUSPEND};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        world w;
        cb_id new = cb_id_new();
        world_begin(&w);
        cb_id old = issue(&w, 0, ends[i] == CB_CARD_EXPIRE ? cb_clock_wall_us() + 1 : 0);
        assert_int_equal(act_on(&w, &old, CB_CARD_ACTIVATE), CB_OK);
        assert_int_equal(act_on(&w, &old, ends[i]), CB_OK);
        assert_int_equal(replace(&w, &old, &new, &w.holder.id, NULL), CB_OK);
        assert_int_equal(look_at(&w, &old).state,
                         ends[i] == CB_CARD_RETURN ? CB_CARD_RETURNED : CB_CARD_REVOKED);
        w.card = new;
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK); /* what was set up carries on */
        world_close(&w);
        assert_int_equal(verify_file(&w, NULL), CB_OK);
        world_end(&w);
    }
}

/* ---- Taps of the old card meanwhile ---- */

typedef struct racer {
    world *w;
    cb_id card;
    int acknowledged, stop;
    unsigned stale, accepted;
} racer;

static void *race(void *context)
{
    racer *r = context;
    while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
        cb_intent_grant grant;
        cb_intent_request request = intent_of(r->w);
        request.card = r->card;
        cb_intent_grant_init(&grant);
        if (cb_decide_intent(r->w->store, &request, &grant) == CB_OK) {
            cb_result_request result = {.tap = request.context.tap};
            bool late = __atomic_load_n(&r->acknowledged, __ATOMIC_SEQ_CST);
            bool accepted = cb_decide_result(r->w->store, &result) == CB_OK;
            __atomic_fetch_add(&r->accepted, accepted, __ATOMIC_SEQ_CST);
            __atomic_fetch_add(&r->stale, accepted && late, __ATOMIC_SEQ_CST);
        }
        cb_intent_grant_free(&grant);
    }
    return NULL;
}

static void the_old_card_is_not_accepted_after_its_replacement(void **state)
{
    enum { THREADS = 4, ROUNDS = 8 };
    world w;
    (void)state;
    world_begin(&w);
    for (unsigned round = 0; round < ROUNDS; round++) {
        racer r = {.w = &w, .card = w.card};
        pthread_t thread[THREADS];
        cb_id new = cb_id_new();
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, race, &r), 0);
        usleep(2000 * round);
        assert_int_equal(replace(&w, &w.card, &new, &w.holder.id, NULL), CB_OK);
        __atomic_store_n(&r.acknowledged, 1, __ATOMIC_SEQ_CST);
        usleep(2000);
        __atomic_store_n(&r.stop, 1, __ATOMIC_SEQ_CST);
        for (int i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        assert_int_equal(r.stale, 0);
        w.card = new;
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    }
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

/* ---- Killed at each step ---- */

typedef struct plan {
    const char *step;
    int when, seen;
    volatile int *done;
    bool armed;
} plan;

static void probe(void *context, const char *step)
{
    plan *p = context;
    if (p->armed && strcmp(step, p->step) == 0 && ++p->seen == p->when)
        kill(getpid(), SIGKILL);
}

static void replace_and_die(world *w, plan *p, const cb_id *new)
{
    w->options.probe = probe;
    w->options.probe_context = p;
    if (cb_store_open(&w->options, &w->store) != CB_OK)
        _exit(3);
    if (cb_store_checked(w->store, cb_deadline_in(10 * CB_SECOND)) != CB_OK)
        _exit(4);
    p->armed = true;
    if (replace(w, &w->card, new, &w->holder.id, NULL) != CB_OK)
        _exit(5);
    *p->done = 1;
    cb_store_close(&w->store);
    _exit(0);
}

/* Both or neither; an act that was not acknowledged may have to be repeated. */
static void both_or_neither(world *w, const cb_id *new, bool acknowledged)
{
    cb_id old = w->card;
    cb_card card;
    w->options.probe = NULL;
    assert_int_equal(verify_file(w, NULL), CB_OK);
    world_open(w);
    cb_card_init(&card);
    cb_error found = cb_card_get(w->store, new, &card);
    assert_true(!acknowledged || found == CB_OK);
    assert_int_equal(look_at(w, &old).state, found ? CB_CARD_ACTIVE : CB_CARD_REVOKED);
    if (!found) {
        assert_int_equal(card.state, CB_CARD_ACTIVE);
        assert_int_equal(tap_once(w, NULL, NULL), CB_E_CARD_REVOKED);
        w->card = *new;
        cb_error error = tap_once(w, NULL, NULL);
        if (error == CB_E_HSM_RECORD && !acknowledged) { /* no signed head covered it: once more */
            assert_int_equal(act_on(w, new, CB_CARD_ACTIVATE), CB_OK);
            error = tap_once(w, NULL, NULL);
        }
        assert_int_equal(error, CB_OK);
    } else {
        assert_int_equal(tap_once(w, NULL, NULL), CB_OK);
    }
    cb_card_free(&card);
    world_close(w);
    assert_int_equal(verify_file(w, NULL), CB_OK);
}

static bool die_at(const char *step, int when)
{
    world w;
    int status = 0;
    cb_id new = cb_id_new();
    plan p = {.step = step, .when = when};
    p.done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p.done != MAP_FAILED);
    world_begin(&w);
    world_close(&w);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        replace_and_die(&w, &p, &new);
    assert_int_equal(waitpid(child, &status, 0), child);
    bool lived = WIFEXITED(status);
    if (lived)
        assert_int_equal(WEXITSTATUS(status), 0);
    both_or_neither(&w, &new, *p.done);
    munmap((void *)(uintptr_t)p.done, 4096);
    world_end(&w);
    return lived;
}

static void killed_at_any_step_there_are_both_acts_or_neither(void **state)
{
    static const char *const steps[] = {"begin",     "ran",    "commit",
                                        "committed", "signed", "released"};
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        int when = 1;
        while (when < 20 && !die_at(steps[i], when))
            when++;
        assert_true(when > 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_earlier_of_two_days_counts),
        cmocka_unit_test(from_its_last_day_on_a_card_is_refused_before_anybody_swept),
        cmocka_unit_test(a_card_that_is_not_given_back_in_time_is_revoked),
        cmocka_unit_test(a_new_pin_is_allowed_for_a_good_card_at_a_good_terminal),
        cmocka_unit_test(an_expired_card_lapses_after_the_time_to_give_it_back),
        cmocka_unit_test(many_cards_end_in_bounded_steps),
        cmocka_unit_test(days_that_are_over_are_found_past_any_number_that_are_not),
        cmocka_unit_test(a_replacement_carries_on_where_the_old_card_ends),
        cmocka_unit_test(what_cannot_be_replaced_changes_nothing),
        cmocka_unit_test(a_card_in_any_state_of_its_end_can_be_replaced),
        cmocka_unit_test(the_old_card_is_not_accepted_after_its_replacement),
        cmocka_unit_test(killed_at_any_step_there_are_both_acts_or_neither),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
