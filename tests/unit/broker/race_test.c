/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Many at once. Sixteen threads tap while cards are revoked: no accept whose T2 was asked for after
 * the revocation was acknowledged, every accept after which the card was revoked is one whose
 * session the revocation listed. CARDBROKER_RACE_ROUNDS=n makes the race longer.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/broker/support.h"

enum { THREADS = 16, ROUNDS = 24, TAPS = 60 };

static unsigned many(unsigned usual)
{
#if defined(__SANITIZE_THREAD__)
    return usual / 4;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return usual / 4;
#endif
#endif
    return usual;
}

/* ---- Sixteen threads, each with taps of its own ---- */

typedef struct tapper {
    world *w;
    pthread_t thread;
    unsigned accepted;
    cb_error error;
} tapper;

static void *tap_often(void *context)
{
    tapper *t = context;
    for (unsigned i = 0; i < many(TAPS) && !t->error; i++) {
        t->error = tap_once(t->w, NULL, NULL);
        t->accepted += t->error == CB_OK;
    }
    return NULL;
}

static void taps_of_sixteen_threads_share_their_commits(void **state)
{
    world w;
    tapper t[THREADS] = {0};
    cb_store_state before, after;
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_store_status(w.store, &before), CB_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        t[i].w = &w;
        assert_int_equal(pthread_create(&t[i].thread, NULL, tap_often, &t[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].error, CB_OK);
        assert_int_equal(t[i].accepted, many(TAPS));
    }
    assert_int_equal(cb_store_status(w.store, &after), CB_OK);
    uint64_t changes = after.changes - before.changes, groups = after.groups - before.groups;
    assert_int_equal(changes, 2 * THREADS * many(TAPS));
    assert_true(groups < changes);
    world_close(&w);
    cb_evidence_summary summary;
    assert_int_equal(verify_file(&w, &summary), CB_OK);
    assert_int_equal(summary.leaves_unsigned, 0);
    world_end(&w);
}

/* ---- A revocation among them ---- */

typedef struct round_state {
    world *w;
    cb_id card;
    volatile int acknowledged;
    volatile int stop;
} round_state;

typedef struct racer {
    round_state *round;
    pthread_t thread;
    cb_id session[1000];
    unsigned sessions; /* accepted */
    unsigned stale;    /* accepted although T2 was asked for after the acknowledgement */
    unsigned withdrawn;
    unsigned attempts;
} racer;

static unsigned attempts; /* of all rounds */

static void one_race(racer *r)
{
    world *w = r->round->w;
    cb_intent_grant grant;
    cb_intent_request request = intent_of(w);
    request.card = r->round->card;
    cb_intent_grant_init(&grant);
    r->attempts++;
    if (cb_decide_intent(w->store, &request, &grant) == CB_OK) {
        cb_result_request result = {.tap = request.context.tap, .session = cb_id_new()};
        bool late = __atomic_load_n(&r->round->acknowledged, __ATOMIC_SEQ_CST);
        cb_error error = cb_decide_result(w->store, &result);
        if (!error && r->sessions < 1000)
            r->session[r->sessions++] = result.session;
        r->stale += !error && late;
        r->withdrawn += error == CB_E_TAP_WITHDRAWN;
    }
    cb_intent_grant_free(&grant);
}

static void *race(void *context)
{
    racer *r = context;
    while (!__atomic_load_n(&r->round->stop, __ATOMIC_SEQ_CST))
        one_race(r);
    return NULL;
}

static bool listed(const cb_affected *affected, const cb_id *session)
{
    for (size_t i = 0; i < affected->session_count; i++) {
        if (cb_id_same(&affected->sessions[i], session))
            return true;
    }
    return false;
}

static unsigned a_round(world *w, unsigned wait_us)
{
    enum { RACERS = 4 };
    round_state round = {.w = w, .card = add_card(w, true)};
    racer *r = calloc(RACERS, sizeof *r);
    cb_affected affected = {0};
    unsigned withdrawn = 0;
    for (unsigned i = 0; i < RACERS; i++) {
        r[i].round = &round;
        pthread_create(&r[i].thread, NULL, race, &r[i]);
    }
    usleep(wait_us);
    assert_int_equal(
        cb_card_change(w->store, "test", &round.card, CB_CARD_REVOKE, "lost", &affected), CB_OK);
    __atomic_store_n(&round.acknowledged, 1, __ATOMIC_SEQ_CST);
    usleep(3000);
    __atomic_store_n(&round.stop, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < RACERS; i++) {
        pthread_join(r[i].thread, NULL);
        assert_int_equal(r[i].stale, 0);
        withdrawn += r[i].withdrawn;
        attempts += r[i].attempts;
        for (unsigned k = 0; k < r[i].sessions; k++) {
            assert_true(listed(&affected, &r[i].session[k]));
            assert_int_equal(end_session(w->store, &r[i].session[k], "revoked"), CB_OK);
        }
    }
    cb_affected_free(&affected);
    free(r);
    return withdrawn;
}

static void no_accept_after_an_acknowledged_revocation(void **state)
{
    world w;
    unsigned withdrawn = 0;
    (void)state;
    world_begin(&w);
    const char *more = getenv("CARDBROKER_RACE_ROUNDS");
    unsigned rounds = more ? (unsigned)atoi(more) : many(ROUNDS);
    for (unsigned i = 0; i < rounds; i++)
        withdrawn += a_round(&w, 2000 + 700 * (i % 12));
    assert_true(withdrawn > 0); /* otherwise the race was not one */
    print_message("%u attempts, %u withdrawn, 0 stale\n", attempts, withdrawn);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

/* ---- Failures among them ---- */

static void *flicker(void *context)
{
    round_state *round = context;
    for (int i = 0; !__atomic_load_n(&round->stop, __ATOMIC_SEQ_CST); i++) {
        set_signer(&round->w->signer->fail, i % 2 ? CB_E_HSM_DOWN : CB_OK);
        usleep(30000);
    }
    set_signer(&round->w->signer->fail, CB_OK);
    return NULL;
}

static void *tap_whatever_comes(void *context)
{
    tapper *t = context;
    for (unsigned i = 0; i < 5 * many(TAPS); i++) {
        cb_error error = tap_once(t->w, NULL, NULL);
        t->accepted += error == CB_OK;
        if (error && error != CB_E_HSM_DOWN)
            t->error = error;
        if (error)
            usleep(2000);
    }
    return NULL;
}

static void a_signer_that_comes_and_goes_leaves_a_whole_record(void **state)
{
    world w;
    tapper t[4] = {0};
    pthread_t flickers;
    cb_store_state status;
    (void)state;
    world_begin(&w);
    round_state round = {.w = &w};
    pthread_create(&flickers, NULL, flicker, &round);
    for (unsigned i = 0; i < 4; i++) {
        t[i].w = &w;
        pthread_create(&t[i].thread, NULL, tap_whatever_comes, &t[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].error, CB_OK);
    }
    __atomic_store_n(&round.stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(flickers, NULL);
    assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    assert_int_equal(status.open_intents, 0);
    for (int i = 0; i < 100 && status.leaves_unsigned > 0; i++) {
        usleep(50000);
        assert_int_equal(cb_store_status(w.store, &status), CB_OK);
    }
    assert_int_equal(status.leaves_unsigned, 0);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taps_of_sixteen_threads_share_their_commits),
        cmocka_unit_test(no_accept_after_an_acknowledged_revocation),
        cmocka_unit_test(a_signer_that_comes_and_goes_leaves_a_whole_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
