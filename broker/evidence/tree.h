/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The end of the log, in memory: the tree up to the last signed head as a frontier, and the hashes
 * of the leaves that came after it. Enough to make the next head and to prove that it extends the
 * last.
 */
#ifndef CB_BROKER_EVIDENCE_TREE_H
#define CB_BROKER_EVIDENCE_TREE_H

#include "base/merkle.h"

typedef struct cb_log_tail {
    cb_merkle_frontier base;
    cb_digest *hash; /* of the leaves from base.size on */
    size_t count;
    size_t room;
} cb_log_tail;

void cb_log_tail_free(cb_log_tail *tail);

/* Makes room for count more leaves, so that appending them cannot fail. CB_E_MEMORY. */
cb_error cb_log_tail_reserve(cb_log_tail *tail, size_t count);
void cb_log_tail_append(cb_log_tail *tail, const cb_digest *hash, size_t count);

/* Leaves in all. */
uint64_t cb_log_tail_size(const cb_log_tail *tail);

/* The tree after its first size leaves; false unless base.size <= size <= the leaves in all. */
bool cb_log_tail_at(const cb_log_tail *tail, uint64_t size, cb_merkle_frontier *out);

/* Makes the tree over the first size leaves the base. size as above. */
void cb_log_tail_advance(cb_log_tail *tail, const cb_merkle_frontier *base);

cb_tree_head cb_frontier_head(const cb_merkle_frontier *frontier);

/* The roots of the complete subtrees, largest first, as they are kept in the database. */
void cb_frontier_put(const cb_merkle_frontier *frontier, cb_buf *nodes);
cb_error cb_frontier_get(uint64_t size, cb_bytes nodes, cb_merkle_frontier *out); /* CB_E_FORMAT */

#endif
