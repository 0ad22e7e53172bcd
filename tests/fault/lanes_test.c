/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * hsmd's lanes and its client, each in a process of its own as they are: each allocation, and each
 * call for a socket, fails in turn, on whichever side it is made. No lane ends by it, no key is
 * used for it, and the next tap finds all well.
 */
#include "front.h"

#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/clock.h"
#include "fake.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/socket_faults.h"

typedef struct lanes {
    world w;
    fake hsmd;
    front front;
    front_key key;
    cb_feed_entry entry;
} lanes;

/* The card in process is not what is tested here, and ends the program when it has no memory. */
void __real_world_play(cb_vcard *card, const cb_buf *script, cb_buf *answers);
void __wrap_world_play(cb_vcard *card, const cb_buf *script, cb_buf *answers);

void __wrap_world_play(cb_vcard *card, const cb_buf *script, cb_buf *answers)
{
    alloc_faults_pause(true);
    cb_buf own = CB_BUF(CB_SCRIPT_BYTES_MAX);
    __real_world_play(card, script, &own);
    alloc_faults_pause(false);
    cb_buf_reset(answers);
    cb_buf_put(answers, cb_buf_bytes(&own));
    alloc_faults_pause(true);
    cb_buf_free(&own);
    alloc_faults_pause(false);
}

static const front_wish wish = {.service = "tax", .pin = WORLD_PIN, .level = CB_LEVEL_PIN};

static void make_lanes(lanes *l)
{
    world_make(&l->w, false);
    fake_make(&l->hsmd, &l->w);
    fake_start(&l->hsmd);
    assert_int_equal(front_make(&l->front, &l->w, l->hsmd.folder), CB_OK);
    assert_int_equal(front_key_make(&l->front, &l->front.holder, "tax", CB_KEY_EC_P256,
                                    CB_LEVEL_POSSESSION, 1, &l->key),
                     CB_OK);
}

static void end_lanes(lanes *l)
{
    front_key_free(&l->key);
    front_free(&l->front);
    fake_end(&l->hsmd);
    world_free(&l->w);
}

static void connect_anew(void *context)
{
    lanes *l = context;
    cb_hsm_close(&l->front.hsm);
    assert_int_equal(cb_hsm_open(l->hsmd.folder, &l->front.hsm), CB_OK);
    /* What hsmd remembers of the log is what this front end goes on from. */
    cb_tree_head head;
    assert_int_equal(cb_hsm_head_state(l->front.hsm, &head), CB_OK);
    assert_int_equal(head.size, l->front.log.size);
}

static cb_error tap(lanes *l)
{
    front_tap tap = {0};
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    cb_merkle_frontier before = l->front.log;
    cb_tree_head head;
    cb_error error = front_open(&l->front, wish, &l->key, &tap);
    if (!error)
        error = front_sign(&l->front, &tap, &l->key, &receipt);
    if (!error && receipt.len == 0)
        error = CB_ERROR_COUNT;
    cb_buf_free(&receipt);
    /* A head whose signature was lost may be remembered or not; the store asks, as is done here. */
    if (error && l->front.log.size > before.size) {
        alloc_faults.disarm(), socket_faults.disarm(), interrupt_faults.disarm();
        assert_int_equal(cb_hsm_head_state(l->front.hsm, &head), CB_OK);
        if (head.size == before.size)
            l->front.log = before;
    }
    return error;
}

static cb_error whole_tap(void *context) { return tap(context); }

static void lanes_are_alive(const lanes *l)
{
    for (unsigned i = 0; i < FAKE_WORKERS + 2; i++)
        assert_int_equal(waitpid(l->hsmd.pid[i], NULL, WNOHANG), 0);
}

static void the_next_tap_works(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    (void)result, (void)struck;
    lanes_are_alive(l);
    assert_int_equal(tap(l), CB_OK);
}

static cb_error administer(void *context)
{
    lanes *l = context;
    front_key key;
    cb_buf again = CB_BUF(CB_SEALED_MAX), point = CB_BUF(CB_PUBLIC_KEY_MAX);
    cb_error error = front_key_make(&l->front, &l->front.holder, "bank", CB_KEY_EC_P256,
                                    CB_LEVEL_POSSESSION, 1, &key);
    if (!error)
        error = cb_hsm_rewrap(l->front.hsm, cb_buf_bytes(&key.sealed), &again);
    if (!error && again.len != key.sealed.len)
        error = CB_ERROR_COUNT;
    if (!error)
        error = cb_hsm_public_key(l->front.hsm, "log", &point);
    front_key_free(&key);
    cb_buf_free(&again);
    cb_buf_free(&point);
    return error;
}

static void next_entry(void *context)
{
    lanes *l = context;
    connect_anew(context);
    l->entry = (cb_feed_entry){l->front.feed.number + 1, CB_FEED_KEY_RETIRED, cb_id_new(),
                               cb_clock_wall_us()};
}

static cb_error retire(void *context)
{
    lanes *l = context;
    return cb_hsm_feed_extend_any(l->front.hsm, &l->entry, 1);
}

/* Said again, as the broker does until it is heard. */
static void it_is_retired(void *context, cb_error result, bool struck)
{
    lanes *l = context;
    assert_int_equal(retire(context), CB_OK);
    l->front.feed = (cb_feed_head){l->entry.number, cb_feed_hash(&l->front.feed.hash, &l->entry)};
    the_next_tap_works(context, result, struck);
}

static const fault_flow flow[] = {
    {"a whole tap", connect_anew, whole_tap, the_next_tap_works},
    {"administration", connect_anew, administer, the_next_tap_works},
    {"a revocation", next_entry, retire, it_is_retired},
};

static lanes shared;

static int setup(void **state)
{
    (void)state;
    make_lanes(&shared);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    end_lanes(&shared);
    return 0;
}

static void each_flow(const fault_kind *kind, unsigned runs)
{
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++)
        fault_each(kind, &flow[i], &shared, runs);
}

static void a_failed_allocation_ends_nothing_but_its_request(void **state)
{
    (void)state;
    each_flow(&alloc_faults, 60);
}

static void a_broken_connection_ends_nothing_but_its_request(void **state)
{
    (void)state;
    each_flow(&socket_faults, 60);
}

static void an_interruption_ends_nothing(void **state)
{
    (void)state;
    each_flow(&interrupt_faults, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_failed_allocation_ends_nothing_but_its_request, fault_said),
        cmocka_unit_test_teardown(a_broken_connection_ends_nothing_but_its_request, fault_said),
        cmocka_unit_test_teardown(an_interruption_ends_nothing, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, setup, teardown);
}
