/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation that the store makes fails in turn: SQLite's, the threads' and its own.
 */
#include "tests/fault/store_flows.h"

#include "base/leaf.h"
#include "broker/evidence/vouch.h"
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

/* Who reads the record passes over what says nothing; what takes a right away must not look so. */
static void a_word_is_heard_without_memory(void **state)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_id card = cb_id_new();
    cb_vouch word;
    (void)state;
    cb_leaf_begin(&leaf, "card.revoked", 1);
    cb_leaf_id(&leaf, "card", &card);
    assert_int_equal(cb_buf_error(&leaf), CB_OK);
    alloc_faults.arm(1, true);
    bool heard = cb_vouch_read(cb_buf_bytes(&leaf), &word);
    alloc_faults.disarm();
    assert_true(heard);
    assert_int_equal(word.kind, 'i');
    assert_memory_equal(&word.id, &card, sizeof card);
    cb_buf_free(&leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_flow_survives_each_failure, fault_said),
        cmocka_unit_test(a_word_is_heard_without_memory),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
