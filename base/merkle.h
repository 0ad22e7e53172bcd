/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The Merkle tree of RFC 9162 (2.1), as far as one needs it without holding the whole tree.
 *
 * A frontier is the tree reduced to the roots of its complete subtrees, at most 64 hashes: enough to
 * append leaves, to know the root, and to prove things about what is appended from then on. Verifying a
 * proof needs nothing but the proof.
 *
 *   leaf hash = SHA-256(00 ‖ leaf)     node hash = SHA-256(01 ‖ left ‖ right)     empty tree = SHA-256()
 */
#ifndef CB_BASE_MERKLE_H
#define CB_BASE_MERKLE_H

#include "base/crypto.h"
#include "base/cursor.h"

enum { CB_MERKLE_DEPTH = 64, CB_MERKLE_PROOF_MAX = 2 * CB_MERKLE_DEPTH };

typedef struct cb_merkle_frontier {
    uint64_t size;                    /* leaves so far */
    cb_digest node[CB_MERKLE_DEPTH];  /* node[i] is the complete subtree of 2^i leaves, if bit i of size is set */
} cb_merkle_frontier;

typedef struct cb_merkle_proof {
    unsigned count;
    cb_digest hash[CB_MERKLE_PROOF_MAX];
} cb_merkle_proof;

typedef struct cb_tree_head {
    uint64_t size;
    cb_digest root;
} cb_tree_head;

cb_digest cb_merkle_leaf(cb_bytes leaf);
cb_digest cb_merkle_node(const cb_digest *left, const cb_digest *right);

void cb_merkle_append(cb_merkle_frontier *frontier, const cb_digest *leaf);
cb_digest cb_merkle_root(const cb_merkle_frontier *frontier);

/* Proof that the tree of before.size + count leaves extends the tree "before" (RFC 9162, 2.1.4.1), made
 * from the old frontier and the hashes of the leaves appended since. */
void cb_merkle_consistency(const cb_merkle_frontier *before, const cb_digest *appended,
                           size_t count, cb_merkle_proof *out);

/* Proof that appended[index] is in the tree of before.size + count leaves, at before.size + index
 * (2.1.3.1). index < count. */
void cb_merkle_inclusion(const cb_merkle_frontier *before, const cb_digest *appended, size_t count,
                         size_t index, cb_merkle_proof *out);

/* RFC 9162, 2.1.4.2 and 2.1.3.2. A consistency proof from the empty tree is empty. */
bool cb_merkle_extends(const cb_tree_head *old, const cb_tree_head *now,
                       const cb_merkle_proof *proof);
bool cb_merkle_includes(const cb_tree_head *head, uint64_t index, const cb_digest *leaf,
                        const cb_merkle_proof *proof);

/* u8 count, then the hashes. Reading checks the limit; a bad one fails the cursor. */
void cb_merkle_proof_put(cb_buf *buf, const cb_merkle_proof *proof);
void cb_merkle_proof_get(cb_cursor *cursor, cb_merkle_proof *out);

#endif
