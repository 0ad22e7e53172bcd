/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The end of the log in memory, against a tree that is built from all leaves at once.
 */
#include "broker/evidence/tree.h"

#include <string.h>

#include "tests/unit/broker/support.h"

enum { LEAVES = 70 };

static cb_digest leaf(unsigned i)
{
    uint8_t data[1] = {(uint8_t)i};
    return cb_merkle_leaf(CB_BYTES_OF(data));
}

static cb_merkle_frontier whole(unsigned size)
{
    cb_merkle_frontier tree = {0};
    for (unsigned i = 0; i < size; i++) {
        cb_digest hash = leaf(i);
        cb_merkle_append(&tree, &hash);
    }
    return tree;
}

static void a_frontier_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    for (unsigned size = 0; size <= LEAVES; size++) {
        cb_merkle_frontier tree = whole(size), again;
        cb_buf nodes = CB_BUF(CB_MERKLE_DEPTH * CB_SHA256_SIZE);
        cb_frontier_put(&tree, &nodes);
        assert_int_equal(nodes.len, 32 * (size_t)__builtin_popcount(size));
        assert_int_equal(cb_frontier_get(size, cb_buf_bytes(&nodes), &again), CB_OK);
        cb_tree_head one = cb_frontier_head(&tree), other = cb_frontier_head(&again);
        assert_memory_equal(&one.root, &other.root, sizeof one.root);
        if (nodes.len > 0) {
            nodes.len--;
            assert_int_equal(cb_frontier_get(size, cb_buf_bytes(&nodes), &again), CB_E_FORMAT);
        }
        cb_buf_free(&nodes);
    }
    static const uint8_t surplus[64];
    cb_merkle_frontier tree;
    assert_int_equal(cb_frontier_get(1, CB_BYTES_OF(surplus), &tree), CB_E_FORMAT);
}

static void the_tail_knows_every_tree_from_its_base_on(void **state)
{
    (void)state;
    for (unsigned base = 0; base <= LEAVES; base += 7) {
        cb_log_tail tail = {.base = whole(base)};
        cb_merkle_frontier at;
        for (unsigned i = base; i < LEAVES; i++) {
            cb_digest hash = leaf(i);
            assert_int_equal(cb_log_tail_reserve(&tail, 1), CB_OK);
            cb_log_tail_append(&tail, &hash, 1);
        }
        assert_int_equal(cb_log_tail_size(&tail), LEAVES);
        for (unsigned size = 0; size <= LEAVES + 1; size++) {
            bool known = cb_log_tail_at(&tail, size, &at);
            assert_int_equal(known, size >= base && size <= LEAVES);
            if (known) {
                cb_merkle_frontier expected = whole(size);
                cb_tree_head one = cb_frontier_head(&expected), other = cb_frontier_head(&at);
                assert_memory_equal(&one.root, &other.root, sizeof one.root);
            }
        }
        cb_log_tail_free(&tail);
    }
}

static void moving_the_base_keeps_the_tree(void **state)
{
    (void)state;
    cb_log_tail tail = {0};
    cb_merkle_frontier at;
    for (unsigned i = 0; i < LEAVES; i++) {
        cb_digest hash = leaf(i);
        assert_int_equal(cb_log_tail_reserve(&tail, 1), CB_OK);
        cb_log_tail_append(&tail, &hash, 1);
    }
    for (unsigned base = 0; base <= LEAVES; base += 5) {
        assert_true(cb_log_tail_at(&tail, base, &at));
        cb_log_tail_advance(&tail, &at);
        assert_int_equal(tail.count, LEAVES - base);
        assert_int_equal(cb_log_tail_size(&tail), LEAVES);
        assert_true(cb_log_tail_at(&tail, LEAVES, &at));
        cb_merkle_frontier expected = whole(LEAVES);
        cb_tree_head one = cb_frontier_head(&expected), other = cb_frontier_head(&at);
        assert_memory_equal(&one.root, &other.root, sizeof one.root);
    }
    cb_log_tail_free(&tail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frontier_is_read_back_as_it_was_written),
        cmocka_unit_test(the_tail_knows_every_tree_from_its_base_on),
        cmocka_unit_test(moving_the_base_keeps_the_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
