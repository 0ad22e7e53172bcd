/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/merkle.h"

cb_digest cb_merkle_leaf(cb_bytes leaf)
{
    static const uint8_t prefix[1] = {0x00};
    return cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(prefix), leaf}, 2);
}

cb_digest cb_merkle_node(const cb_digest *left, const cb_digest *right)
{
    static const uint8_t prefix[1] = {0x01};
    return cb_sha256_parts(
        (cb_bytes[]){CB_BYTES_OF(prefix), cb_digest_bytes(left), cb_digest_bytes(right)}, 3);
}

void cb_merkle_append(cb_merkle_frontier *frontier, const cb_digest *leaf)
{
    cb_digest carry = *leaf;
    unsigned level = 0;
    for (; frontier->size >> level & 1; level++)
        carry = cb_merkle_node(&frontier->node[level], &carry);
    frontier->node[level] = carry;
    frontier->size++;
}

cb_digest cb_merkle_root(const cb_merkle_frontier *frontier)
{
    cb_digest root;
    bool any = false;
    for (unsigned level = 0; level < CB_MERKLE_DEPTH; level++) {
        if (!(frontier->size >> level & 1))
            continue;
        root = any ? cb_merkle_node(&frontier->node[level], &root) : frontier->node[level];
        any = true;
    }
    return any ? root : cb_sha256((cb_bytes){0});
}

/* A tree that is known by its old frontier and by the leaves appended to it. */
typedef struct known_tree {
    const cb_merkle_frontier *before;
    const cb_digest *appended;
} known_tree;

/* The largest power of two smaller than n; n is at least 2. */
static uint64_t split_of(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* The hash of the subtree over [from, from + n). Either it lies wholly among the appended leaves, or it begins with
 * complete subtrees of the old frontier. */
static cb_digest subtree(const known_tree *tree, uint64_t from, uint64_t n)
{
    uint64_t old = tree->before->size;
    if (from + n <= old) {
        /* Inside the old tree only the frontier's own subtrees are ever asked for. */
        return tree->before->node[__builtin_ctzll(n)];
    }
    if (n == 1)
        return tree->appended[from - old];
    uint64_t k = split_of(n);
    cb_digest left = subtree(tree, from, k);
    cb_digest right = subtree(tree, from + k, n - k);
    return cb_merkle_node(&left, &right);
}

static void prove(cb_merkle_proof *out, cb_digest hash)
{
    out->hash[out->count++] = hash;
}

/* RFC 9162, 2.1.4.1: SUBPROOF(m, D[from : from + n], whole). */
static void subproof(const known_tree *tree, uint64_t m, uint64_t from, uint64_t n, bool whole,
                     cb_merkle_proof *out)
{
    if (m == n) {
        if (!whole)
            prove(out, subtree(tree, from, n));
        return;
    }
    uint64_t k = split_of(n);
    if (m <= k) {
        subproof(tree, m, from, k, whole, out);
        prove(out, subtree(tree, from + k, n - k));
    } else {
        subproof(tree, m - k, from + k, n - k, false, out);
        prove(out, subtree(tree, from, k));
    }
}

void cb_merkle_consistency(const cb_merkle_frontier *before, const cb_digest *appended,
                           size_t count, cb_merkle_proof *out)
{
    known_tree tree = {before, appended};
    out->count = 0;
    if (before->size == 0 || count == 0)
        return;
    subproof(&tree, before->size, 0, before->size + count, true, out);
}

void cb_merkle_inclusion(const cb_merkle_frontier *before, const cb_digest *appended, size_t count,
                         size_t index, cb_merkle_proof *out)
{
    known_tree tree = {before, appended};
    cb_digest path[CB_MERKLE_DEPTH];
    unsigned depth = 0;
    uint64_t from = 0, n = before->size + count, at = before->size + index;
    out->count = 0;
    while (n > 1) {
        uint64_t k = split_of(n);
        if (at < k) {
            path[depth++] = subtree(&tree, from + k, n - k);
            n = k;
        } else {
            path[depth++] = subtree(&tree, from, k);
            from += k;
            at -= k;
            n -= k;
        }
    }
    while (depth > 0)
        prove(out, path[--depth]);
}

bool cb_merkle_includes(const cb_tree_head *head, uint64_t index, const cb_digest *leaf,
                        const cb_merkle_proof *proof)
{
    if (index >= head->size)
        return false;
    uint64_t fn = index, sn = head->size - 1;
    cb_digest r = *leaf;
    for (unsigned i = 0; i < proof->count; i++) {
        if (sn == 0)
            return false;
        if ((fn & 1) || fn == sn) {
            r = cb_merkle_node(&proof->hash[i], &r);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            r = cb_merkle_node(&r, &proof->hash[i]);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(&r, &head->root, sizeof r) == 0;
}

bool cb_merkle_extends(const cb_tree_head *old, const cb_tree_head *now,
                       const cb_merkle_proof *proof)
{
    if (old->size == 0)
        return proof->count == 0 && (now->size > 0 || memcmp(&old->root, &now->root, 32) == 0);
    if (old->size == now->size)
        return proof->count == 0 && memcmp(&old->root, &now->root, sizeof old->root) == 0;
    if (old->size > now->size || proof->count == 0)
        return false;
    uint64_t fn = old->size - 1, sn = now->size - 1;
    unsigned i = 0;
    for (; fn & 1; fn >>= 1)
        sn >>= 1;
    cb_digest fr = fn == 0 ? old->root : proof->hash[i++];
    cb_digest sr = fr;
    for (; i < proof->count; i++) {
        const cb_digest *c = &proof->hash[i];
        if (sn == 0)
            return false;
        if ((fn & 1) || fn == sn) {
            fr = cb_merkle_node(c, &fr);
            sr = cb_merkle_node(c, &sr);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            sr = cb_merkle_node(&sr, c);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(&fr, &old->root, sizeof fr) == 0 &&
           memcmp(&sr, &now->root, sizeof sr) == 0;
}

void cb_merkle_proof_put(cb_buf *buf, const cb_merkle_proof *proof)
{
    cb_buf_put_u8(buf, (uint8_t)proof->count);
    for (unsigned i = 0; i < proof->count; i++)
        cb_buf_put(buf, cb_digest_bytes(&proof->hash[i]));
}

void cb_merkle_proof_get(cb_cursor *cursor, cb_merkle_proof *out)
{
    out->count = cb_cursor_u8(cursor);
    if (out->count > CB_MERKLE_PROOF_MAX) {
        out->count = 0;
        cb_cursor_fail(cursor);
    }
    for (unsigned i = 0; i < out->count; i++)
        cb_cursor_copy(cursor, out->hash[i].bytes, CB_SHA256_SIZE);
}
