/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/reading.h"

#include <string.h>

#include "broker/evidence/leaf_feed.h"

enum { PAGE = 500 };

static cb_error take_leaf(void *context, const cb_log_leaf *leaf)
{
    cb_reading *r = context;
    cb_vouch word;
    cb_feed_entry entry;
    cb_error error = CB_OK;
    if (leaf->position >= r->until)
        return CB_OK;
    if (leaf->position != r->tree.size)
        return CB_E_EVIDENCE;
    cb_digest hash = cb_merkle_leaf(leaf->data);
    cb_merkle_append(&r->tree, &hash);
    if (cb_leaf_feed(leaf->data, &entry)) {
        r->feed.hash = cb_feed_hash(&r->feed.hash, &entry);
        r->feed.number++;
    }
    bool says = cb_vouch_read(leaf->data, &word);
    if (says)
        error = cb_vouch_apply(&r->words, &word);
    return error || !r->each ? error : r->each(r, leaf, says ? &word : NULL);
}

static cb_error read_page(cb_txn *txn, void *context)
{
    return cb_row_leaves(txn, ((cb_reading *)context)->tree.size, PAGE, take_leaf, context);
}

static cb_error goes_on(cb_reading *r)
{
    cb_store *store = r->store;
    pthread_mutex_lock(&store->lock);
    *r->seen = r->before + r->tree.size - r->from;
    cb_error error = store->signer_stops || store->writer_stops ? CB_E_STOPPING : CB_OK;
    pthread_mutex_unlock(&store->lock);
    return error;
}

cb_error cb_reading_run(cb_reading *r)
{
    cb_error error = goes_on(r);
    while (!error && r->tree.size < r->until) {
        uint64_t before = r->tree.size;
        error = cb_store_read(r->store, read_page, r);
        if (!error && r->tree.size == before)
            error = CB_E_EVIDENCE;
        if (!error)
            error = goes_on(r);
    }
    return error;
}

bool cb_reading_is(const cb_reading *r, const cb_tree_head *tree, const cb_feed_head *feed)
{
    cb_tree_head own = cb_frontier_head(&r->tree);
    return own.size == tree->size && memcmp(&own.root, &tree->root, sizeof own.root) == 0 &&
           r->feed.number == feed->number &&
           memcmp(&r->feed.hash, &feed->hash, sizeof r->feed.hash) == 0;
}
