/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The same thing asked for by many threads at once.
 */
#include "attacks.h"

#include <pthread.h>

enum { THREADS = 16 };

static const front_wish plain = {"tax", NULL, CB_LEVEL_POSSESSION, 0};

typedef struct racer {
    cb_error (*what)(struct racer *racer);
    pthread_barrier_t *start;
    front *f;
    const front_key *key;
    front_tap tap;
    const cb_intent_proof *proof;
    cb_buf receipt;
    cb_error error;
} racer;

static void *run(void *context)
{
    racer *r = context;
    pthread_barrier_wait(r->start);
    r->error = r->what(r);
    return NULL;
}

/* How many of them succeeded; all others must have been refused with one of two errors. */
static unsigned race(racer r[THREADS], const racer *model, cb_error one, cb_error other)
{
    pthread_t thread[THREADS];
    pthread_barrier_t start;
    unsigned good_ones = 0;
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++) {
        r[i] = *model;
        r[i].start = &start;
        cb_buf_init(&r[i].receipt, CB_RECEIPT_MAX);
        assert_int_equal(pthread_create(&thread[i], NULL, run, &r[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < THREADS; i++) {
        good_ones += r[i].error == CB_OK;
        if (r[i].error != CB_OK && r[i].error != one)
            expect(other, r[i].error);
    }
    return good_ones;
}

static void free_all(racer r[THREADS])
{
    for (int i = 0; i < THREADS; i++)
        cb_buf_free(&r[i].receipt);
}

static cb_error sign(racer *r) { return front_sign(r->f, &r->tap, r->key, &r->receipt); }

static cb_error activate(racer *r)
{
    return cb_hsm_tap_activate(r->f->hsm, &r->tap.context.tap, cb_buf_bytes(&r->f->binding),
                               &r->f->feed, &r->tap.activation);
}

static cb_error open_key(racer *r)
{
    return cb_hsm_tap_open_key(r->f->hsm, &r->tap.context.tap, cb_buf_bytes(&r->key->sealed),
                               r->proof);
}

static void an_activation_gives_its_uses_once_to_however_many_ask(void **state)
{
    static const uint8_t uses[] = {1, 3, 15};
    racer r[THREADS], model = {.what = sign, .f = *state};
    for (size_t i = 0; i < sizeof uses; i++) {
        front_key key;
        good(front_key_make(model.f, &model.f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION,
                            uses[i], &key));
        good(front_open(model.f, plain, &key, &model.tap));
        model.key = &key;
        assert_int_equal(race(r, &model, CB_E_HSM_ACTIVATION, CB_E_HSM_ACTIVATION), uses[i]);
        /* Each use has a receipt of its own. */
        for (int a = 0; a < THREADS; a++) {
            assert_true((r[a].error == CB_OK) == (r[a].receipt.len > 0));
            for (int b = 0; b < a; b++)
                assert_false(r[a].receipt.len > 0 && cb_bytes_same(cb_buf_bytes(&r[a].receipt),
                                                                   cb_buf_bytes(&r[b].receipt)));
        }
        free_all(r);
        expect(CB_E_HSM_ACTIVATION, attack_sign(model.f, &model.tap, &key));
        front_key_free(&key);
    }
}

/* A second request in the wrong state ends the tap, so what the first one got is lost too. */
static void one_proof_opens_one_tap_once(void **state)
{
    front_key key;
    cb_intent_proof proof;
    racer r[THREADS], model = {.what = open_key, .f = *state, .key = &key, .proof = &proof};
    good(front_key_make(model.f, &model.f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1,
                        &key));
    good(front_activate(model.f, plain, &model.tap));
    cb_intent intent = front_intent(&model.tap, &key.info.key);
    good(front_record(model.f, &intent, &proof));
    assert_int_equal(race(r, &model, CB_E_TAP_ORDER, CB_E_HSM_ACTIVATION), 1);
    expect(CB_E_HSM_ACTIVATION, attack_sign(model.f, &model.tap, &key));
    free_all(r);
    front_key_free(&key);
}

static void one_proof_of_a_card_activates_once(void **state)
{
    racer r[THREADS], model = {.what = activate, .f = *state};
    good(front_finish(model.f, plain, &model.tap));
    assert_int_equal(race(r, &model, CB_E_TAP_ORDER, CB_E_TAP_UNKNOWN), 1);
    expect(CB_E_TAP_UNKNOWN, activate(&model));
    free_all(r);
}

const struct CMUnitTest attack_race_tests[] = {
    cmocka_unit_test(an_activation_gives_its_uses_once_to_however_many_ask),
    cmocka_unit_test(one_proof_opens_one_tap_once),
    cmocka_unit_test(one_proof_of_a_card_activates_once),
};
const size_t attack_race_count = sizeof attack_race_tests / sizeof *attack_race_tests;
