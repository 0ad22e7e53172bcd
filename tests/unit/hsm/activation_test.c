/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of taps and their time. What a tap must prove is tested in attacks.c.
 */
#include "hsm/activation.h"

#include "base/clock.h"
#include "fake.h"
#include "test.h"

static world w;
static fake f;
static cb_lane lane;
static int64_t passed = CB_SECOND; /* the time, which stands still but for what a test lets pass */

int64_t __wrap_cb_clock_monotonic_us(void);

int64_t __wrap_cb_clock_monotonic_us(void) { return passed; }

static int setup(void **state)
{
    (void)state;
    world_make(&w, false);
    fake_make(&f, &w);
    f.config.taps = 4;
    f.config.prefetch_us = 60 * CB_MILLISECOND;
    f.config.lifetime_us = 150 * CB_MILLISECOND;
    fake_lane(&f, CB_LANE_USE, 5, &lane);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_lane_free(&lane);
    fake_end(&f);
    world_free(&w);
    return 0;
}

static cb_error begin(cb_id *id)
{
    cb_id terminal = cb_id_new();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = cb_tap_begin(lane.taps, lane.host, CB_PROFILE_NATIVE, &terminal, id, &script);
    cb_buf_free(&script);
    return error;
}

static cb_error enter(const cb_id *id, unsigned states)
{
    cb_tap *tap;
    return cb_taps_enter(lane.taps, id, states, &tap);
}

static void a_tap_names_its_worker_and_is_no_other(void **state)
{
    cb_id one, two;
    (void)state;
    good(begin(&one));
    good(begin(&two));
    assert_int_equal(one.bytes[0], 5);
    assert_int_equal(two.bytes[0], 5);
    assert_false(cb_id_same(&one, &two));
    good(enter(&one, CB_TAP_BEGUN));
    for (size_t i = 0; i < CB_ID_SIZE; i++) {
        cb_id other = one;
        other.bytes[i] ^= 0x80;
        expect(CB_E_TAP_UNKNOWN, enter(&other, CB_TAP_BEGUN));
    }
    expect(CB_E_TAP_ORDER, enter(&one, CB_TAP_OPEN | CB_TAP_ACTIVE));
    expect(CB_E_TAP_UNKNOWN, enter(&one, CB_TAP_BEGUN));
    good(enter(&two, CB_TAP_BEGUN));
}

static void a_script_held_too_long_is_worth_nothing(void **state)
{
    cb_id id, id2;
    cb_tap *tap;
    (void)state;
    good(begin(&id));
    good(begin(&id2));
    good(cb_taps_enter(lane.taps, &id2, CB_TAP_BEGUN, &tap));
    tap->state = CB_TAP_CHALLENGED;
    passed += 70 * CB_MILLISECOND;
    expect(CB_E_TAP_EXPIRED, enter(&id, CB_TAP_BEGUN));
    expect(CB_E_TAP_EXPIRED, enter(&id, CB_TAP_BEGUN));
    good(enter(&id2, CB_TAP_CHALLENGED));
    passed += 90 * CB_MILLISECOND;
    expect(CB_E_TAP_EXPIRED, enter(&id2, CB_TAP_CHALLENGED));
}

static void every_state_ends_at_its_time(void **state)
{
    static const uint8_t states[] = {CB_TAP_CHALLENGED, CB_TAP_FINISHED, CB_TAP_ACTIVE,
                                     CB_TAP_OPEN};
    cb_id id[4];
    cb_tap *tap;
    (void)state;
    for (int i = 0; i < 4; i++) {
        good(begin(&id[i]));
        good(cb_taps_enter(lane.taps, &id[i], CB_TAP_BEGUN, &tap));
        tap->state = states[i];
    }
    assert_int_equal(cb_taps_live(lane.taps), 4);
    passed += 160 * CB_MILLISECOND;
    cb_taps_sweep(lane.taps);
    assert_int_equal(cb_taps_live(lane.taps), 0);
    for (int i = 0; i < 4; i++)
        expect(CB_E_TAP_EXPIRED, enter(&id[i], 0xFF));
}

static void nothing_of_a_tap_that_ended_is_left(void **state)
{
    cb_id id;
    cb_tap *tap;
    (void)state;
    static const cb_tap zero;
    good(begin(&id));
    good(cb_taps_enter(lane.taps, &id, CB_TAP_BEGUN, &tap));
    memset(&tap->claim, 0x5A, sizeof tap->claim);
    memset(&tap->activation, 0x5A, sizeof tap->activation);
    memset(&tap->key, 0x5A, sizeof tap->key);
    assert_int_equal(lane.host->holders, 2);
    cb_taps_end(lane.taps, tap);
    assert_memory_equal(tap, &zero, sizeof zero);
    assert_int_equal(lane.host->holders, 1);

    good(begin(&id));
    good(cb_taps_enter(lane.taps, &id, CB_TAP_BEGUN, &tap));
    memset(&tap->activation, 0x5A, sizeof tap->activation);
    passed += 160 * CB_MILLISECOND;
    cb_taps_sweep(lane.taps);
    cb_tap expired = {.id = id, .state = CB_TAP_EXPIRED};
    assert_memory_equal(&tap->activation, &expired.activation, sizeof expired.activation);
    assert_null(tap->profile_state);
    assert_int_equal(lane.host->holders, 1);
}

static void places_are_limited_and_come_back(void **state)
{
    cb_id id[5];
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            good(begin(&id[i]));
        expect(CB_E_BUSY, begin(&id[4]));
        passed += 160 * CB_MILLISECOND;
        cb_taps_sweep(lane.taps);
    }
    good(begin(&id[0]));
}

static void a_tap_keeps_the_certificates_it_began_with(void **state)
{
    cb_id id;
    cb_tap *tap;
    (void)state;
    good(begin(&id));
    cb_host *old = lane.host, *fresh = cb_host_new();
    fresh->profile = w.host;
    lane.host = fresh;
    cb_host_hold(old);
    cb_host *mine = old;
    cb_host_release(&mine);
    good(cb_taps_enter(lane.taps, &id, CB_TAP_BEGUN, &tap));
    assert_ptr_equal(tap->host, old);
    /* Without certificates no tap begins; nothing else suffers. */
    cb_id other;
    expect(CB_E_HSM_DOWN, begin(&other));
    cb_taps_end(lane.taps, tap);
    assert_int_equal(old->holders, 1);
    cb_host_release(&old);
    lane.host->ready = true;
    good(begin(&other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tap_names_its_worker_and_is_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_script_held_too_long_is_worth_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(every_state_ends_at_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_of_a_tap_that_ended_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(places_are_limited_and_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tap_keeps_the_certificates_it_began_with, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("activation", tests, NULL, NULL);
}
