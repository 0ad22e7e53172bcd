/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation that the store makes fails in turn: SQLite's, the threads' and its own.
 */
#include "tests/fault/store_flows.h"
#include "tests/support/alloc_faults.h"

static void each_flow_survives_each_failure(void **state)
{
    store_flows s;
    (void)state;
    store_flows_make(&s);
    for (unsigned i = 0; i < store_flow_count; i++)
        fault_each(&alloc_faults, &store_flow[i], &s, 20);
    store_flows_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_flow_survives_each_failure, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
