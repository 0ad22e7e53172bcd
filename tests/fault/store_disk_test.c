/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each call that SQLite makes to the file system fails in turn: with an error, because the disk is
 * full, because somebody else holds the lock.
 *
 *   fault_store_disk_test [checkpoint]     the flow that waits longest, or all others
 */
#include <string.h>

#include "base/clock.h"
#include "tests/fault/store_flows.h"
#include "tests/support/vfs_faults.h"

static bool checkpoints;

static void each_flow(const fault_kind *kind, unsigned runs)
{
    store_flows s;
    vfs_faults_install();
    store_flows_make(&s);
    s.disk = true;
    s.w.options.lock_wait = 20 * CB_MILLISECOND;
    for (unsigned i = 0; i < store_flow_count; i++)
        if ((store_flow[i].run == store_make_and_go_on) == checkpoints)
            fault_each(kind, &store_flow[i], &s, runs);
    store_flows_end(&s);
}

static void a_disk_that_fails_loses_nothing_that_was_acknowledged(void **state)
{
    (void)state;
    each_flow(&vfs_io_faults, 10);
}

static void a_full_disk_loses_nothing_that_was_acknowledged(void **state)
{
    (void)state;
    each_flow(&vfs_full_faults, 10);
}

static void a_lock_that_is_held_loses_nothing_that_was_acknowledged(void **state)
{
    (void)state;
    each_flow(&vfs_busy_faults, 10);
}

int main(int argc, char **argv)
{
    checkpoints = argc > 1 && strcmp(argv[1], "checkpoint") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_disk_that_fails_loses_nothing_that_was_acknowledged,
                                  fault_said),
        cmocka_unit_test_teardown(a_full_disk_loses_nothing_that_was_acknowledged, fault_said),
        cmocka_unit_test_teardown(a_lock_that_is_held_loses_nothing_that_was_acknowledged,
                                  fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
