/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/log.h"

#include "broker/store/txn.h"

typedef struct leaf_read {
    uint64_t from;
    unsigned count;
    cb_leaf_visitor each;
    void *context;
} leaf_read;

static cb_error read_leaves(cb_txn *txn, void *context)
{
    const leaf_read *read = context;
    return cb_row_leaves(txn, read->from, read->count, read->each, read->context);
}

cb_error cb_log_leaves(cb_store *store, uint64_t from, unsigned count, cb_leaf_visitor each,
                       void *context)
{
    leaf_read read = {from, count, each, context};
    return cb_store_read(store, read_leaves, &read);
}

typedef struct head_read {
    uint64_t from;
    unsigned count;
    cb_head_visitor each;
    void *context;
} head_read;

static cb_error read_heads(cb_txn *txn, void *context)
{
    const head_read *read = context;
    return cb_row_heads(txn, read->from, read->count, read->each, read->context);
}

cb_error cb_log_heads(cb_store *store, uint64_t from, unsigned count, cb_head_visitor each,
                      void *context)
{
    head_read read = {from, count, each, context};
    return cb_store_read(store, read_heads, &read);
}
