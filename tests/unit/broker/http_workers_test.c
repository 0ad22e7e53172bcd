/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/workers.h"

#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/base/test.h"

static atomic_int done;
static atomic_bool gate;

static void count(void *context)
{
    (void)context;
    atomic_fetch_add(&done, 1);
}

static void wait_at_gate(void *context)
{
    while (!atomic_load(&gate))
        usleep(1000);
    count(context);
}

static void everything_submitted_is_done_before_the_end(void **state)
{
    (void)state;
    cb_workers *workers = NULL;
    atomic_store(&done, 0);
    assert_int_equal(cb_workers_open(4, 1000, &workers), CB_OK);
    for (int i = 0; i < 1000; i++)
        assert_true(cb_workers_submit(workers, count, NULL, false));
    cb_workers_stop(workers);
    assert_int_equal(atomic_load(&done), 1000);
    assert_false(cb_workers_submit(workers, count, NULL, false));
    cb_workers_stop(workers);
    cb_workers_close(&workers);
    assert_null(workers);
}

static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    cb_workers *workers = NULL;
    atomic_store(&done, 0);
    atomic_store(&gate, false);
    assert_int_equal(cb_workers_open(1, 3, &workers), CB_OK);
    assert_true(cb_workers_submit(workers, wait_at_gate, NULL, false));
    while (cb_workers_waiting(workers) > 0)
        usleep(1000);
    for (int i = 0; i < 2; i++)
        assert_true(cb_workers_submit(workers, count, NULL, true));
    assert_false(cb_workers_submit(workers, count, NULL, true)); /* half is for others */
    for (int i = 2; i < 3; i++)
        assert_true(cb_workers_submit(workers, count, NULL, false));
    assert_false(cb_workers_submit(workers, count, NULL, false));
    assert_int_equal(cb_workers_waiting(workers), 3);
    atomic_store(&gate, true);
    cb_workers_close(&workers);
    assert_int_equal(atomic_load(&done), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_submitted_is_done_before_the_end),
        cmocka_unit_test(a_full_queue_refuses_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
