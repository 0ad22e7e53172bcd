/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/merkle.h"

#include "tests/unit/base/test.h"

enum { LEAVES = 70 };
static cb_digest leaf[LEAVES];

/* The definition of RFC 9162, 2.1.1, written as it stands there. */
static cb_digest tree_of(size_t from, size_t n)
{
    if (n == 0)
        return cb_sha256((cb_bytes){0});
    if (n == 1)
        return leaf[from];
    size_t k = 1;
    while (2 * k < n)
        k *= 2;
    cb_digest left = tree_of(from, k), right = tree_of(from + k, n - k);
    return cb_merkle_node(&left, &right);
}

static int make_leaves(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < LEAVES; i++)
        leaf[i] = cb_merkle_leaf(cb_bytes_make(&i, sizeof i));
    return 0;
}

static cb_merkle_frontier frontier_of(size_t n)
{
    cb_merkle_frontier frontier = {0};
    for (size_t i = 0; i < n; i++)
        cb_merkle_append(&frontier, &leaf[i]);
    return frontier;
}

static void the_frontier_knows_the_root(void **state)
{
    (void)state;
    for (size_t n = 0; n < LEAVES; n++) {
        cb_merkle_frontier frontier = frontier_of(n);
        cb_digest root = cb_merkle_root(&frontier), defined = tree_of(0, n);
        assert_memory_equal(&root, &defined, sizeof root);
    }
}

static void every_extension_is_proven_and_no_other(void **state)
{
    (void)state;
    for (size_t m = 0; m < LEAVES; m++) {
        cb_merkle_frontier before = frontier_of(m);
        for (size_t n = m; n < LEAVES; n++) {
            cb_tree_head old = {m, tree_of(0, m)}, now = {n, tree_of(0, n)};
            cb_merkle_proof proof;
            cb_merkle_consistency(&before, leaf + m, n - m, &proof);
            assert_true(cb_merkle_extends(&old, &now, &proof));
            if (m == 0)
                continue;
            cb_tree_head forked = old;
            forked.root.bytes[31] ^= 1;
            assert_false(cb_merkle_extends(&forked, &now, &proof));
            for (unsigned i = 0; i < proof.count; i++) {
                proof.hash[i].bytes[i % 32] ^= 1;
                assert_false(cb_merkle_extends(&old, &now, &proof));
                proof.hash[i].bytes[i % 32] ^= 1;
            }
            proof.count++;
            assert_false(cb_merkle_extends(&old, &now, &proof));
        }
    }
}

static void a_smaller_tree_extends_nothing(void **state)
{
    (void)state;
    cb_tree_head big = {9, tree_of(0, 9)}, small = {4, tree_of(0, 4)};
    cb_merkle_proof none = {0};
    assert_false(cb_merkle_extends(&big, &small, &none));
    assert_false(cb_merkle_extends(&small, &big, &none));
}

static void every_new_leaf_is_proven_at_its_place_only(void **state)
{
    (void)state;
    for (size_t m = 0; m < LEAVES - 1; m++) {
        cb_merkle_frontier before = frontier_of(m);
        for (size_t n = m + 1; n < LEAVES; n += 3) {
            cb_tree_head head = {n, tree_of(0, n)};
            for (size_t i = m; i < n; i++) {
                cb_merkle_proof proof;
                cb_merkle_inclusion(&before, leaf + m, n - m, i - m, &proof);
                assert_true(cb_merkle_includes(&head, i, &leaf[i], &proof));
                assert_false(cb_merkle_includes(&head, i, &leaf[(i + 1) % LEAVES], &proof));
                if (n > 1)
                    assert_false(cb_merkle_includes(&head, (i + 1) % n, &leaf[i], &proof));
                assert_false(cb_merkle_includes(&head, n, &leaf[i], &proof));
            }
        }
    }
}

static void proofs_travel(void **state)
{
    (void)state;
    cb_merkle_frontier before = frontier_of(21);
    cb_merkle_proof proof, back;
    cb_merkle_consistency(&before, leaf + 21, 30, &proof);
    cb_buf buf = CB_BUF(8192);
    cb_merkle_proof_put(&buf, &proof);
    cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&buf));
    cb_merkle_proof_get(&cursor, &back);
    assert_true(cb_cursor_done(&cursor));
    assert_int_equal(back.count, proof.count);
    assert_memory_equal(back.hash, proof.hash, proof.count * sizeof proof.hash[0]);
    buf.data[0] = CB_MERKLE_PROOF_MAX + 1;
    cursor = cb_cursor_over(cb_buf_bytes(&buf));
    cb_merkle_proof_get(&cursor, &back);
    assert_false(cb_cursor_ok(&cursor));
    cb_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_frontier_knows_the_root),
        cmocka_unit_test(every_extension_is_proven_and_no_other),
        cmocka_unit_test(a_smaller_tree_extends_nothing),
        cmocka_unit_test(every_new_leaf_is_proven_at_its_place_only),
        cmocka_unit_test(proofs_travel),
    };
    return cmocka_run_group_tests(tests, make_leaves, NULL);
}
