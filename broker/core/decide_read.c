/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The revocation feed for hsmd, and the sessions that are open.
 */
#include "broker/core/decide.h"
#include "broker/store/txn.h"

cb_error cb_feed_head_now(cb_store *store, cb_feed_head *out)
{
    return cb_store_feed_head(store, out);
}

typedef struct feed_read {
    uint64_t after;
    cb_feed_entry *entries;
    size_t max;
    size_t count;
} feed_read;

static cb_error take_entry(void *context, const cb_feed_entry *entry, const cb_digest *hash,
                           uint64_t leaf)
{
    feed_read *read = context;
    (void)hash;
    (void)leaf;
    read->entries[read->count++] = *entry;
    return CB_OK;
}

static cb_error run_feed(cb_txn *txn, void *context)
{
    feed_read *read = context;
    read->count = 0;
    return cb_row_feed(txn, read->after, read->max, take_entry, read);
}

cb_error cb_feed_since(cb_store *store, uint64_t number, cb_feed_entry *entries, size_t max,
                       size_t *count)
{
    feed_read read = {number, entries, max, 0};
    cb_error error = cb_store_read(store, run_feed, &read);
    *count = error ? 0 : read.count;
    return error;
}
