/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * When the watch looks at what. Key service, connectors and store are replaced by ones that count.
 */
#include "broker/api/watch.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/core/decide.h"
#include "tests/unit/base/test.h"

static atomic_uint duties, settled, asked, pinged;
static _Atomic cb_error hsm_is;

/* ---- What is replaced ---- */

void cb_store_settle(cb_store *store)
{
    (void)store;
    settled++;
}

cb_error cb_feed_since(cb_store *store, uint64_t after, cb_feed_entry *entries, size_t room,
                       size_t *count)
{
    (void)store, (void)after, (void)entries, (void)room;
    *count = 0;
    return CB_OK;
}

cb_error cb_hsm_feed_state_any(cb_hsm *hsm, cb_feed_head *head)
{
    (void)hsm;
    *head = (cb_feed_head){0};
    asked++;
    return CB_OK;
}

cb_error cb_hsm_feed_extend_any(cb_hsm *hsm, const cb_feed_entry *entries, size_t count)
{
    (void)hsm, (void)entries, (void)count;
    return CB_OK;
}

cb_error cb_hsm_ping(cb_hsm *hsm)
{
    (void)hsm;
    pinged++;
    return hsm_is;
}

cb_error cb_connectors_ping(cb_connectors *connectors, const char *connector)
{
    (void)connectors, (void)connector;
    return CB_OK;
}

/* ---- ---- */

static void duty(void *context)
{
    (void)context;
    duties++;
}

static int fresh(void **state)
{
    duties = settled = asked = pinged = 0;
    hsm_is = CB_OK;
    cb_watch *watch;
    assert_int_equal(cb_watch_open(NULL, NULL, NULL, &watch), CB_OK);
    cb_watch_duty(watch, duty, NULL);
    *state = watch;
    return 0;
}

static int gone(void **state)
{
    cb_watch *watch = *state;
    cb_watch_close(&watch);
    return 0;
}

/* An administrator works without pause, for so many seconds. */
static void feed_for(cb_watch *watch, unsigned seconds)
{
    int64_t end = cb_clock_monotonic_us() + seconds * CB_SECOND;
    while (cb_clock_monotonic_us() < end) {
        cb_watch_feed(watch);
        usleep(50000);
    }
}

static void it_looks_once_before_it_is_there(void **state)
{
    (void)state;
    assert_int_equal(settled, 1);
    assert_int_equal(pinged, 1);
    assert_true(asked >= 1);
}

static void who_revokes_without_pause_keeps_nothing_else_from_being_looked_at(void **state)
{
    cb_watch *watch = *state;
    cb_watch_view view;
    hsm_is = CB_E_HSM_DOWN;
    feed_for(watch, 7);
    assert_true(duties >= 2);
    assert_true(settled >= 2);
    assert_true(duties <= 5); /* nor is it done each time */
    cb_watch_see(watch, &view);
    assert_int_equal(view.hsm, CB_E_HSM_DOWN);
}

static void what_is_new_is_passed_on_at_once(void **state)
{
    cb_watch *watch = *state;
    unsigned before = asked;
    cb_watch_feed(watch);
    for (int i = 0; i < 40 && asked == before; i++)
        usleep(25000);
    assert_true(asked > before);
}

static void it_looks_when_nobody_asks(void **state)
{
    (void)state;
    for (int i = 0; i < 200 && duties == 0; i++)
        usleep(50000);
    assert_true(duties >= 1);
}

/* Who asks /v1/ready is told soon. The bound is that of a slow machine: twenty looks in less than
 * the ten seconds after which five would have been. */
static void who_is_down_is_asked_again_soon_and_nothing_else_is_done_more_often(void **state)
{
    (void)state;
    hsm_is = CB_E_HSM_DOWN;
    int64_t began = cb_clock_monotonic_us();
    while (pinged < 20 && cb_clock_monotonic_us() < began + 10 * CB_SECOND)
        usleep(10000);
    assert_true(pinged >= 20);
    unsigned most = (unsigned)((cb_clock_monotonic_us() - began) / (2 * CB_SECOND)) + 2;
    assert_true(settled <= most);
    assert_true(duties <= most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_looks_once_before_it_is_there, fresh, gone),
        cmocka_unit_test_setup_teardown(
            who_revokes_without_pause_keeps_nothing_else_from_being_looked_at, fresh, gone),
        cmocka_unit_test_setup_teardown(what_is_new_is_passed_on_at_once, fresh, gone),
        cmocka_unit_test_setup_teardown(it_looks_when_nobody_asks, fresh, gone),
        cmocka_unit_test_setup_teardown(
            who_is_down_is_asked_again_soon_and_nothing_else_is_done_more_often, fresh, gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
