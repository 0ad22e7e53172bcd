/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What hsmd remembers of one-time codes, across processes and restarts.
 */
#include "hsm/registration.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "hsm/bound.h"
#include "hsm/durable.h"
#include "hsm/marks.h"
#include "test.h"

static char folder[64], path[128];
static const cb_id code = {{1}}, holder = {{2}};
static const cb_digest one = {{1}}, other = {{2}};
static const int64_t now = 1700000000 * CB_SECOND;

static int fresh(void **state)
{
    cb_memo *memo;
    snprintf(folder, sizeof folder, "/tmp/cardbroker-codes-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/memo", folder);
    good(cb_durable_make(path));
    good(cb_memo_open(path, &memo));
    *state = memo;
    return 0;
}

static int gone(void **state)
{
    cb_memo *memo = *state;
    cb_memo_close(&memo);
    unlink(path);
    return rmdir(folder);
}

static cb_registration_grant grant_of(int64_t until)
{
    return (cb_registration_grant){.holder = holder,
                                   .until = until,
                                   .profiles = 1 << CB_PROFILE_PIV,
                                   .level = CB_LEVEL_TERMINAL_PIN};
}

static void allow(cb_memo *memo)
{
    cb_registration_grant grant = grant_of(now + 60 * CB_SECOND);
    good(cb_registration_allow(memo, &code, &grant));
}

static cb_error take(cb_memo *memo, const cb_digest *binding)
{
    return cb_registration_take(memo, &code, now, binding);
}

static uint8_t state_of(const cb_memo *memo)
{
    cb_registration_grant grant;
    good(cb_registration_get(memo, &code, &grant));
    return grant.state;
}

static void a_code_is_for_one_binding_and_another_process_knows(void **state)
{
    cb_memo *memo = *state, *second;
    good(cb_memo_open(path, &second));
    expect(CB_E_REGISTRATION_CODE, take(memo, &one));
    allow(memo);
    assert_int_equal(state_of(second), CB_REGISTRATION_OPEN);
    good(take(second, &one));
    expect(CB_E_REGISTRATION_USED, take(memo, &other));
    good(take(memo, &one)); /* the same, whose answer may have been lost */
    cb_memo_close(&second);
    good(cb_memo_open(path, &second)); /* begun anew */
    expect(CB_E_REGISTRATION_USED, take(second, &other));
    good(take(second, &one));
    assert_int_equal(state_of(second), CB_REGISTRATION_USED);
    cb_memo_close(&second);
}

static void what_was_allowed_is_what_is_remembered(void **state)
{
    cb_registration_grant read, grant = grant_of(now + 60 * CB_SECOND);
    expect(CB_E_NOT_FOUND, cb_registration_get(*state, &code, &read));
    allow(*state);
    good(cb_registration_look(*state, &code, now, &one, &read));
    assert_true(cb_id_same(&read.holder, &holder));
    assert_int_equal(read.until, grant.until);
    assert_int_equal(read.profiles, grant.profiles);
    assert_int_equal(read.level, grant.level);
    expect(CB_E_EXISTS, cb_registration_allow(*state, &code, &grant)); /* nor twice */
}

static void what_makes_no_sense_is_not_allowed(void **state)
{
    cb_registration_grant good_one = grant_of(now),
                          bad[6] = {good_one, good_one, good_one, good_one, good_one, good_one};
    bad[0].holder = (cb_id){{0}};
    bad[1].profiles = 0;
    bad[2].profiles = 1 << CB_PROFILE_NATIVE;
    bad[3].profiles = 1 << CB_PROFILE_PASSWORD | 1 << CB_PROFILE_PIV;
    bad[4].level = CB_LEVEL_PASSWORD;
    bad[5].until = (INT64_C(1) << 33) * CB_SECOND;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(CB_E_ARGUMENT, cb_registration_allow(*state, &code, &bad[i]));
    expect(CB_E_REGISTRATION_CODE, take(*state, &one));
}

static void it_is_over_at_its_end(void **state)
{
    cb_memo *memo = *state;
    cb_registration_grant grant = grant_of(now + (int64_t)CB_REGISTRATION_MOST_S * CB_SECOND);
    good(cb_registration_allow(memo, &code, &grant));
    expect(CB_E_REGISTRATION_LAPSED, cb_registration_take(memo, &code, grant.until, &one));
    /* a clock that was put back by more than any code's time */
    expect(CB_E_REGISTRATION_LAPSED, cb_registration_take(memo, &code, now - CB_SECOND, &one));
    good(cb_registration_take(memo, &code, grant.until - 1, &one));
    expect(CB_E_REGISTRATION_LAPSED, cb_registration_take(memo, &code, grant.until, &one));
    expect(CB_E_REGISTRATION_USED, cb_registration_take(memo, &code, grant.until, &other));
}

static void a_withdrawn_one_is_dead_and_a_used_one_is_not_withdrawn(void **state)
{
    cb_memo *memo = *state;
    expect(CB_E_NOT_FOUND, cb_registration_withdraw(memo, &code));
    allow(memo);
    good(cb_registration_withdraw(memo, &code));
    good(cb_registration_withdraw(memo, &code));
    expect(CB_E_REGISTRATION_WITHDRAWN, take(memo, &one));
    cb_registration_grant grant = grant_of(now + CB_SECOND);
    expect(CB_E_EXISTS, cb_registration_allow(memo, &code, &grant));
    cb_id second = {{3}};
    good(cb_registration_allow(memo, &second, &grant));
    good(cb_registration_take(memo, &second, now, &one));
    expect(CB_E_STATE, cb_registration_withdraw(memo, &second));
    good(cb_registration_take(memo, &second, now, &one));
}

static void wrong_tries_end_it_and_those_at_others_do_not(void **state)
{
    cb_memo *memo = *state;
    cb_id stranger = {{9}};
    allow(memo);
    for (unsigned i = 0; i < 3 * CB_REGISTRATION_TRIES; i++)
        expect(CB_E_NOT_FOUND, cb_registration_wrong(memo, &stranger));
    for (unsigned i = 1; i < CB_REGISTRATION_TRIES; i++)
        good(cb_registration_wrong(memo, &code));
    good(take(memo, &one));
    for (unsigned i = 0; i < 300; i++) /* and does not begin anew */
        good(cb_registration_wrong(memo, &code));
    expect(CB_E_REGISTRATION_TRIED, take(memo, &one));
}

/* Who has the code chooses much of what the digest is made of, and can look for two that begin
 * alike. */
static void a_binding_is_known_by_the_whole_of_its_digest(void **state)
{
    cb_memo *memo = *state;
    cb_registration_grant read;
    allow(memo);
    good(take(memo, &one));
    for (unsigned i = 0; i < CB_SHA256_SIZE; i++) {
        cb_digest alike = one;
        alike.bytes[i] ^= 0x80;
        expect(CB_E_REGISTRATION_USED, cb_registration_look(memo, &code, now, &alike, &read));
        expect(CB_E_REGISTRATION_USED, take(memo, &alike));
    }
    good(take(memo, &one));
}

/* The binding is written before the state. */
static void a_crash_in_between_leaves_it_to_the_binding_that_was_first(void **state)
{
    static const char domain[] = "cardbroker registration use 1";
    cb_memo *memo = *state;
    cb_digest place = cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(domain), cb_id_bytes(&code)}, 2);
    cb_id use;
    memcpy(use.bytes, place.bytes, CB_ID_SIZE);
    allow(memo);
    good(cb_memo_put(memo, &use, &one));
    assert_int_equal(state_of(memo), CB_REGISTRATION_OPEN);
    expect(CB_E_REGISTRATION_USED, take(memo, &other));
    assert_int_equal(state_of(memo), CB_REGISTRATION_OPEN);
    good(take(memo, &one));
    assert_int_equal(state_of(memo), CB_REGISTRATION_USED);
    expect(CB_E_REGISTRATION_USED, take(memo, &other));
}

static void asking_for_nothing_fills_no_disk(void **state)
{
    cb_memo *memo = *state;
    struct stat before, after;
    cb_registration_grant read;
    allow(memo);
    assert_int_equal(stat(path, &before), 0);
    for (uint32_t i = 0; i < 5000; i++) {
        cb_id unknown = {{9}};
        memcpy(unknown.bytes + 4, &i, sizeof i);
        expect(CB_E_REGISTRATION_CODE, cb_registration_take(memo, &unknown, now, &one));
        expect(CB_E_REGISTRATION_CODE, cb_registration_look(memo, &unknown, now, &one, &read));
        expect(CB_E_NOT_FOUND, cb_registration_wrong(memo, &unknown));
        expect(CB_E_NOT_FOUND, cb_registration_withdraw(memo, &unknown));
    }
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_blocks, before.st_blocks);
}

/* ---- Many at a time ---- */

enum { MANY = 8, ROUNDS = 10 };

typedef struct racer {
    pthread_t thread;
    cb_digest binding;
    cb_binding_info info;
    cb_marks marks;
    bool taken;
} racer;

static void *race_for_code(void *context)
{
    racer *r = context;
    cb_memo *memo;
    good(cb_memo_open(path, &memo));
    r->taken = take(memo, &r->binding) == CB_OK;
    cb_memo_close(&memo);
    return NULL;
}

static void *race_for_card(void *context)
{
    racer *r = context;
    cb_memo *memo;
    good(cb_memo_open(path, &memo));
    r->taken = cb_bound_take(memo, &r->info) == CB_OK;
    cb_memo_close(&memo);
    return NULL;
}

static void *race_for_name(void *context)
{
    racer *r = context;
    cb_memo *memo;
    good(cb_memo_open(path, &memo));
    r->taken = cb_marks_take(memo, &r->info.card, &r->marks) == CB_OK;
    cb_memo_close(&memo);
    return NULL;
}

static unsigned run(racer racers[MANY], void *(*how)(void *context))
{
    unsigned count = 0;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(pthread_create(&racers[i].thread, NULL, how, &racers[i]), 0);
    for (int i = 0; i < MANY; i++) {
        pthread_join(racers[i].thread, NULL);
        count += racers[i].taken;
    }
    return count;
}

static void of_many_cards_that_come_at_once_one_gets_the_code(void **state)
{
    racer racers[MANY] = {0};
    for (int i = 0; i < MANY; i++)
        racers[i].binding.bytes[0] = (uint8_t)(i + 1);
    allow(*state);
    for (int round = 0; round < ROUNDS; round++)
        assert_int_equal(run(racers, race_for_code), 1);
}

static void of_many_holders_of_one_card_it_is_bound_to_one(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        racer racers[MANY] = {0};
        for (int i = 0; i < MANY; i++)
            racers[i].info = (cb_binding_info){.card = {{(uint8_t)(round + 1)}},
                                               .holder = {{(uint8_t)(i + 1)}},
                                               .profile = CB_PROFILE_PIV,
                                               .level = CB_LEVEL_PIN};
        assert_int_equal(run(racers, race_for_card), 1);
        assert_int_equal(run(racers, race_for_card), 1); /* the same one */
    }
}

static void of_many_names_of_one_card_it_has_one(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        racer racers[MANY] = {0};
        const cb_marks marks = {2, {{{1, (uint8_t)(round + 1)}}, {{2, (uint8_t)(round + 1)}}}};
        for (int i = 0; i < MANY; i++) {
            racers[i].info.card = (cb_id){{3, (uint8_t)(i + 1)}};
            racers[i].marks = marks;
        }
        assert_int_equal(run(racers, race_for_name), 1);
        assert_int_equal(run(racers, race_for_name), 1); /* the same one */
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fresh, gone)
    const struct CMUnitTest tests[] = {
        T(a_code_is_for_one_binding_and_another_process_knows),
        T(what_was_allowed_is_what_is_remembered),
        T(what_makes_no_sense_is_not_allowed),
        T(it_is_over_at_its_end),
        T(a_withdrawn_one_is_dead_and_a_used_one_is_not_withdrawn),
        T(wrong_tries_end_it_and_those_at_others_do_not),
        T(a_binding_is_known_by_the_whole_of_its_digest),
        T(a_crash_in_between_leaves_it_to_the_binding_that_was_first),
        T(asking_for_nothing_fills_no_disk),
        T(of_many_cards_that_come_at_once_one_gets_the_code),
        T(of_many_holders_of_one_card_it_is_bound_to_one),
        T(of_many_names_of_one_card_it_has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
