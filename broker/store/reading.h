/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading the record again, leaf by leaf in order: each is hashed from its bytes into the tree, the
 * chain of revocations is followed, and what the log says about rows is collected.
 */
#ifndef CB_BROKER_STORE_READING_H
#define CB_BROKER_STORE_READING_H

#include "broker/store/internal.h"

typedef struct cb_reading cb_reading;

struct cb_reading {
    cb_store *store;
    uint64_t until;  /* leaves, all of which were there when the store was opened */
    uint64_t *seen;  /* the store's count of leaves that were read so far, under its lock */
    uint64_t before; /* what that counts besides this reading */
    uint64_t from;   /* where the reading began: */
    cb_merkle_frontier tree;
    cb_feed_head feed;
    cb_id_map words;
    /* With each leaf, once it is in the tree; word NULL: it says nothing of a row. May be NULL. */
    cb_error (*each)(cb_reading *reading, const cb_log_leaf *leaf, const cb_vouch *word);
};

/* Goes on from tree.size to until. CB_E_EVIDENCE: a leaf is missing; CB_E_STOPPING; what each
 * returns; errors of the store, CB_E_MEMORY. */
cb_error cb_reading_run(cb_reading *reading);

/* Whether it came to this tree and this end of the feed. */
bool cb_reading_is(const cb_reading *reading, const cb_tree_head *tree, const cb_feed_head *feed);

#endif
