/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sessions that can be cut, with processes that are only counted.
 */
#include "broker/core/session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/core/session_parts.h"
#include "tests/unit/base/test.h"

/* ---- A connector's session, as far as this needs one ---- */

struct cb_session {
    atomic_bool silent;
    atomic_bool cut;
    atomic_bool logged_out;
    atomic_bool dead; /* its process ended by itself */
};

static atomic_int freed;
static atomic_int logout_takes; /* microseconds */
static atomic_int at_logout;

void cb_session_silence(cb_session *session)
{
    session->silent = true;
}

void cb_session_cut(cb_session *session, bool logout)
{
    cb_session_silence(session);
    if (logout) {
        at_logout++;
        usleep((useconds_t)logout_takes);
        at_logout--;
    }
    session->cut = true;
    session->logged_out = logout;
}

void cb_session_end(cb_session **session)
{
    freed++;
    free(*session);
    *session = NULL;
}

bool cb_session_alive(cb_session *session) { return !session->dead && !session->cut; }

static cb_session *new_session(void)
{
    cb_session *session = calloc(1, sizeof *session);
    assert_non_null(session);
    return session;
}

/* ---- What was reported as ended ---- */

static pthread_mutex_t ended_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned ended_count;
static unsigned ended_calls;
static char ended_why[16];
static cb_id ended_session;

static void note_ends(void *context, const cb_session_over *over, size_t count)
{
    (void)context;
    pthread_mutex_lock(&ended_lock);
    ended_count += count;
    ended_calls++;
    ended_session = over[count - 1].session;
    snprintf(ended_why, sizeof ended_why, "%s", over[count - 1].why);
    pthread_mutex_unlock(&ended_lock);
}

static unsigned ends(void)
{
    pthread_mutex_lock(&ended_lock);
    unsigned count = ended_count;
    pthread_mutex_unlock(&ended_lock);
    return count;
}

static bool wait_for_ends(unsigned wanted)
{
    for (int i = 0; i < 30000 && ends() < wanted; i++)
        usleep(1000);
    return ends() >= wanted;
}

/* ---- The table under test ---- */

static cb_sessions *sessions;

static int open_table(void **state)
{
    (void)state;
    cb_sessions_parts parts = {
        .relay_domain = "relay.localhost", .relay_port = 8443, .most = 4, .ended = note_ends};
    ended_count = 0;
    ended_calls = 0;
    freed = 0;
    return cb_sessions_open(&parts, &sessions) == CB_OK ? 0 : -1;
}

static void sessions_reopen(unsigned most)
{
    cb_sessions_parts parts = {
        .relay_domain = "relay.localhost", .relay_port = 8443, .most = most, .ended = note_ends};
    cb_sessions_close(&sessions);
    assert_int_equal(cb_sessions_open(&parts, &sessions), CB_OK);
}

static int close_table(void **state)
{
    (void)state;
    cb_sessions_close(&sessions);
    return 0;
}

static cb_session_facts facts_of(const cb_id *card)
{
    return (cb_session_facts){.session = cb_id_new(),
                              .tap = cb_id_random(),
                              .card = *card,
                              .holder = cb_id_new(),
                              .terminal = cb_id_new(),
                              .enrolment = cb_id_new(),
                              .kind = CB_SESSION_RELAYED,
                              .service = "tax"};
}

typedef struct address {
    char label[CB_SESSION_LABEL];
    char code[CB_SESSION_SECRET];
} address;

/* Adds a session and takes its URL apart. */
static address add(const cb_session_facts *facts, cb_session *session)
{
    address a = {{0}, {0}};
    cb_buf url = CB_BUF(512);
    assert_int_equal(cb_sessions_add(sessions, facts, session, &url), CB_OK);
    assert_int_equal(
        sscanf(cb_buf_cstr(&url),
               "https://%26[a-z2-7].relay.localhost:8443/.cardbroker/enter?code=%64[0-9a-f]",
               a.label, a.code),
        2);
    assert_int_equal(strlen(a.label), 26);
    assert_int_equal(strlen(a.code), 64);
    cb_buf_free(&url);
    return a;
}

static void a_code_opens_a_session_once(void **state)
{
    (void)state;
    char cookie[CB_SESSION_SECRET], second[CB_SESSION_SECRET];
    cb_id card = cb_id_new();
    cb_session_facts facts = facts_of(&card);
    cb_session *session = new_session();
    address a = add(&facts, session);
    cb_session_use *use = NULL;
    assert_int_equal(cb_sessions_get(sessions, a.label, a.code, &use), CB_E_SESSION_UNKNOWN);
    assert_int_equal(cb_sessions_enter(sessions, a.label, "00", cookie), CB_E_SESSION_UNKNOWN);
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, cookie), CB_OK);
    assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &use), CB_OK);
    assert_ptr_equal(cb_session_of(use), session);
    assert_string_equal(cb_session_facts_of(use)->service, "tax");
    cb_session_put(&use);
    assert_null(use);
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, second), CB_E_SESSION_UNKNOWN);
    assert_int_equal(cb_sessions_get(sessions, a.label, second, &use), CB_E_SESSION_UNKNOWN);
}

/* The answer with the cookie was lost. Somebody else who asks in between is not there beside the
 * holder: one of the two is told. */
static void a_code_is_good_until_somebody_comes_with_its_last_cookie(void **state)
{
    (void)state;
    char lost[CB_SESSION_SECRET], cookie[CB_SESSION_SECRET];
    cb_id card = cb_id_new();
    cb_session_facts facts = facts_of(&card);
    address a = add(&facts, new_session());
    cb_session_use *use = NULL;
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, lost), CB_OK);
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, cookie), CB_OK);
    assert_string_not_equal(lost, cookie);
    assert_int_equal(cb_sessions_get(sessions, a.label, lost, &use), CB_E_SESSION_UNKNOWN);
    assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &use), CB_OK);
    cb_session_put(&use);
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, lost), CB_E_SESSION_UNKNOWN);
}

static void one_holder_cannot_use_anothers_cookie(void **state)
{
    (void)state;
    char own[CB_SESSION_SECRET], others[CB_SESSION_SECRET];
    cb_id card = cb_id_new();
    cb_session_facts one = facts_of(&card), two = facts_of(&card);
    address a = add(&one, new_session()), b = add(&two, new_session());
    cb_session_use *use = NULL;
    assert_int_equal(cb_sessions_enter(sessions, a.label, b.code, own), CB_E_SESSION_UNKNOWN);
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, own), CB_OK);
    assert_int_equal(cb_sessions_enter(sessions, b.label, b.code, others), CB_OK);
    assert_int_equal(cb_sessions_get(sessions, a.label, others, &use), CB_E_SESSION_UNKNOWN);
    assert_int_equal(cb_sessions_get(sessions, b.label, own, &use), CB_E_SESSION_UNKNOWN);
}

static void a_cut_ends_all_sessions_of_a_card_even_while_they_are_used(void **state)
{
    (void)state;
    char cookie[CB_SESSION_SECRET];
    cb_id lost = cb_id_new(), kept = cb_id_new();
    cb_session_facts one = facts_of(&lost), two = facts_of(&lost), other = facts_of(&kept);
    cb_session *first = new_session(), *untouched = new_session();
    address a = add(&one, first);
    add(&two, new_session());
    add(&other, untouched);
    cb_session_use *use = NULL, *again = NULL;
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, cookie), CB_OK);
    assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &use), CB_OK);
    cb_session_match match = {.card = lost};
    assert_int_equal(cb_sessions_cut(sessions, &match, "revoked"), 2);
    assert_int_equal(ends(), 2);
    assert_int_equal(ended_calls, 1);
    assert_string_equal(ended_why, "revoked");
    assert_true(first->cut);
    assert_false(untouched->cut);
    assert_int_equal(freed, 1);
    assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &again), CB_E_SESSION_ENDED);
    cb_session_put(&use);
    assert_int_equal(freed, 2);
    assert_int_equal(cb_sessions_count(sessions), 1);
    assert_int_equal(cb_sessions_cut(sessions, &match, "revoked"), 0);
}

static void a_match_of_nothing_cuts_nothing(void **state)
{
    (void)state;
    cb_id card = cb_id_new();
    cb_session_facts facts = facts_of(&card);
    add(&facts, new_session());
    assert_int_equal(cb_sessions_cut(sessions, &(cb_session_match){.card = {{0}}}, "revoked"), 0);
    assert_int_equal(cb_sessions_count(sessions), 1);
}

static void a_session_that_the_service_closed_ends(void **state)
{
    (void)state;
    cb_id card = cb_id_new();
    cb_session_facts facts = facts_of(&card);
    cb_session *session = new_session();
    add(&facts, session);
    session->dead = true;
    assert_true(wait_for_ends(1));
    assert_string_equal(ended_why, "closed");
    assert_true(cb_id_same(&ended_session, &facts.session));
    assert_int_equal(cb_sessions_count(sessions), 0);
}

static void life_and_idleness_are_limited(void **state)
{
    (void)state;
    cb_id card = cb_id_new();
    cb_session_facts facts = facts_of(&card);
    facts.life = CB_SECOND / 10;
    add(&facts, new_session());
    assert_true(wait_for_ends(1));
    assert_string_equal(ended_why, "expired");
    facts = facts_of(&card);
    facts.idle = CB_SECOND / 10;
    add(&facts, new_session());
    assert_true(wait_for_ends(2));
    assert_string_equal(ended_why, "idle");
}

/* The answer with its URL, or with the cookie, may have been lost. Time is short only once all have
 * come who come. */
static void a_session_that_nobody_visits_ends(void **state)
{
    (void)state;
    char cookie[CB_SESSION_SECRET];
    cb_id card = cb_id_new();
    cb_session_facts visited = facts_of(&card), lost = facts_of(&card);
    cb_session_use *use = NULL;
    address a = add(&visited, new_session());
    address b = add(&lost, new_session());
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, cookie), CB_OK);
    assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &use), CB_OK);
    cb_session_put(&use);
    assert_int_equal(cb_sessions_enter(sessions, b.label, b.code, cookie), CB_OK);
    pthread_mutex_lock(&sessions->lock);
    sessions->claim = CB_SECOND / 10;
    pthread_mutex_unlock(&sessions->lock);
    assert_true(wait_for_ends(1));
    assert_string_equal(ended_why, "unclaimed");
    assert_true(cb_id_same(&ended_session, &lost.session));
    assert_int_equal(cb_sessions_count(sessions), 1);
    assert_int_equal(cb_sessions_enter(sessions, b.label, b.code, cookie), CB_E_SESSION_ENDED);
}

static void places_are_limited_and_a_refused_session_stays_the_callers(void **state)
{
    (void)state;
    cb_id card = cb_id_new();
    cb_buf url = CB_BUF(512);
    for (int i = 0; i < 4; i++) {
        cb_session_facts facts = facts_of(&card);
        add(&facts, new_session());
    }
    cb_session_facts facts = facts_of(&card);
    cb_session *fifth = new_session();
    assert_int_equal(cb_sessions_add(sessions, &facts, fifth, &url), CB_E_BUSY);
    assert_int_equal(freed, 0);
    free(fifth);
    cb_buf_free(&url);
}

static void a_session_cannot_take_all_places_of_the_relay(void **state)
{
    (void)state;
    char cookie[CB_SESSION_SECRET];
    cb_id card = cb_id_new();
    cb_session_facts facts = facts_of(&card);
    address a = add(&facts, new_session());
    cb_session_use *use[17] = {NULL};
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, cookie), CB_OK);
    for (int i = 0; i < 16; i++)
        assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &use[i]), CB_OK);
    assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &use[16]), CB_E_BUSY);
    cb_session_put(&use[3]);
    assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &use[16]), CB_OK);
    for (int i = 0; i < 17; i++)
        cb_session_put(&use[i]);
}

static void services_that_dawdle_at_a_logout_do_not_keep_other_sessions_open(void **state)
{
    (void)state;
    cb_id card = cb_id_new();
    for (int i = 0; i < 4; i++) {
        cb_session_facts facts = facts_of(&card);
        add(&facts, new_session());
    }
    logout_takes = 999999;
    int64_t began = cb_clock_monotonic_us();
    assert_int_equal(cb_sessions_cut(sessions, &(cb_session_match){.card = card}, "revoked"), 4);
    assert_true(cb_clock_monotonic_us() - began < 3 * CB_SECOND);
    assert_int_equal(ends(), 4);
    logout_takes = 0;
}

/* Both are overdue, and the sweeper is still at the first when the second's card is revoked. */
static void a_revocation_waits_for_nobody_and_leaves_nothing_that_answers(void **state)
{
    (void)state;
    cb_id dawdling = cb_id_new(), lost = cb_id_new();
    cb_session_facts first = facts_of(&dawdling), second = facts_of(&lost);
    cb_session *answering = new_session();
    char cookie[CB_SESSION_SECRET];
    first.life = second.life = CB_SECOND / 10;
    logout_takes = 900000;
    add(&first, new_session());
    address a = add(&second, answering);
    cb_session_use *use = NULL; /* keeps it from being freed */
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, cookie), CB_OK);
    assert_int_equal(cb_sessions_get(sessions, a.label, cookie, &use), CB_OK);
    for (int i = 0; i < 4000 && at_logout == 0; i++)
        usleep(1000);
    unsigned under_way = (unsigned)at_logout;
    cb_sessions_cut(sessions, &(cb_session_match){.card = lost}, "revoked");
    bool silent = answering->silent;
    cb_session_put(&use);
    logout_takes = 0;
    assert_int_equal(under_way, 1);
    assert_true(silent);
    assert_true(wait_for_ends(2));
}

static void a_card_that_taps_on_and_on_ends_its_own_oldest_session_only(void **state)
{
    (void)state;
    cb_id greedy = cb_id_new(), other = cb_id_new();
    cb_session_facts one = facts_of(&other), first = facts_of(&greedy);
    cb_session *untouched = new_session();
    sessions_reopen(CB_SESSIONS_PER_CARD + 4);
    add(&one, untouched);
    add(&first, new_session());
    for (unsigned i = 0; i < CB_SESSIONS_PER_CARD; i++) {
        cb_session_facts next = facts_of(&greedy);
        add(&next, new_session());
    }
    assert_true(wait_for_ends(1));
    assert_string_equal(ended_why, "superseded");
    assert_true(cb_id_same(&ended_session, &first.session));
    assert_int_equal(cb_sessions_count(sessions), CB_SESSIONS_PER_CARD + 1);
    assert_false(untouched->cut);
}

static cb_error use_once(const address *a, const char *cookie)
{
    cb_session_use *use = NULL;
    cb_error error = cb_sessions_get(sessions, a->label, cookie, &use);
    if (!error)
        cb_session_put(&use);
    return error;
}

static void so_many_that_ended_are_remembered(void **state)
{
    address first = {{0}, {0}}, last = {{0}, {0}};
    char cookies[2][CB_SESSION_SECRET];
    (void)state;
    for (unsigned i = 0; i < CB_SESSIONS_REMEMBERED + 1; i++) {
        cb_id card = cb_id_new();
        cb_session_facts facts = facts_of(&card);
        last = add(&facts, new_session());
        assert_int_equal(cb_sessions_enter(sessions, last.label, last.code, cookies[i > 0]), CB_OK);
        if (i == 0)
            first = last;
        assert_int_equal(cb_sessions_cut(sessions, &(cb_session_match){.card = card}, "revoked"), 1);
    }
    for (int i = 0; i < 4000 && use_once(&first, cookies[0]) == CB_E_SESSION_ENDED; i++)
        usleep(1000);
    assert_int_equal(use_once(&first, cookies[0]), CB_E_SESSION_UNKNOWN);
    assert_int_equal(use_once(&last, cookies[1]), CB_E_SESSION_ENDED);
    assert_int_equal(cb_sessions_count(sessions), 0);
    assert_int_equal(freed, CB_SESSIONS_REMEMBERED + 1);
}

static void stopping_ends_everything(void **state)
{
    (void)state;
    cb_id card = cb_id_new();
    cb_session_facts facts = facts_of(&card);
    add(&facts, new_session());
    add(&facts, new_session());
    cb_sessions_close(&sessions);
    assert_int_equal(ends(), 2);
    assert_int_equal(ended_calls, 1);
    assert_string_equal(ended_why, "stopped");
    assert_int_equal(freed, 2);
}

/* Uses of one session by several threads while it is cut: nobody is left with a freed one. */
static char shared_label[CB_SESSION_LABEL], shared_cookie[CB_SESSION_SECRET];

static void *use_until_ended(void *argument)
{
    (void)argument;
    for (;;) {
        cb_session_use *use = NULL;
        if (cb_sessions_get(sessions, shared_label, shared_cookie, &use) != CB_OK)
            return NULL;
        (void)cb_session_alive(cb_session_of(use));
        cb_session_put(&use);
    }
}

static void users_and_a_cut_do_not_meet_badly(void **state)
{
    (void)state;
    pthread_t threads[4];
    cb_id card = cb_id_new();
    cb_session_facts facts = facts_of(&card);
    address a = add(&facts, new_session());
    strcpy(shared_label, a.label);
    assert_int_equal(cb_sessions_enter(sessions, a.label, a.code, shared_cookie), CB_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_until_ended, NULL), 0);
    usleep(20000);
    assert_int_equal(cb_sessions_cut(sessions, &(cb_session_match){.card = card}, "revoked"), 1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(freed, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)
    const struct CMUnitTest tests[] = {
        T(a_code_opens_a_session_once),
        T(a_code_is_good_until_somebody_comes_with_its_last_cookie),
        T(one_holder_cannot_use_anothers_cookie),
        T(a_cut_ends_all_sessions_of_a_card_even_while_they_are_used),
        T(a_match_of_nothing_cuts_nothing),
        T(a_session_that_the_service_closed_ends),
        T(life_and_idleness_are_limited),
        T(a_session_that_nobody_visits_ends),
        T(places_are_limited_and_a_refused_session_stays_the_callers),
        T(a_session_cannot_take_all_places_of_the_relay),
        T(services_that_dawdle_at_a_logout_do_not_keep_other_sessions_open),
        T(a_revocation_waits_for_nobody_and_leaves_nothing_that_answers),
        T(a_card_that_taps_on_and_on_ends_its_own_oldest_session_only),
        T(so_many_that_ended_are_remembered),
        T(stopping_ends_everything),
        T(users_and_a_cut_do_not_meet_badly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
