/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Leaves, heads and the feed in SQLite.
 */
#include "base/leaf.h"
#include "base/log.h"
#include "broker/store/row.h"

/* ---- Writing ---- */

cb_error cb_txn_leaf(cb_txn *txn, const cb_buf *leaf, uint64_t *position)
{
    cb_vouch word;
    cb_error error = cb_buf_error(leaf);
    if (!error)
        error = cb_log_tail_reserve(&txn->leaves, 1);
    if (!error)
        error = cb_vouch_list_reserve(&txn->words, 1);
    if (error)
        return error;
    cb_digest hash = cb_merkle_leaf(cb_buf_bytes(leaf));
    cb_query q = cb_query_begin(
        txn->sql, "INSERT INTO evidence_leaf (position, data, hash) VALUES (?, ?, ?)");
    cb_query_number(&q, (int64_t)txn->position);
    cb_query_blob(&q, cb_buf_bytes(leaf));
    cb_query_digest(&q, &hash);
    error = cb_query_run(&q);
    if (error == CB_E_EXISTS)
        error = cb_log_failure("store.leaf", CB_E_STORE, "somebody else wrote to the log");
    if (error)
        return error;
    cb_log_tail_append(&txn->leaves, &hash, 1);
    if (cb_vouch_read(cb_buf_bytes(leaf), &word))
        txn->words.item[txn->words.count++] = word;
    if (position)
        *position = txn->position;
    txn->position++;
    return CB_OK;
}

static cb_error put_entry(cb_txn *txn, const cb_feed_entry *entry, const cb_digest *hash,
                          uint64_t leaf)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO feed (number, kind, subject, time, hash, "
                                          "leaf) VALUES (?, ?, ?, ?, ?, ?)");
    cb_query_number(&q, (int64_t)entry->number);
    cb_query_number(&q, entry->kind);
    cb_query_id(&q, &entry->subject);
    cb_query_number(&q, entry->time);
    cb_query_digest(&q, hash);
    cb_query_number(&q, (int64_t)leaf);
    return cb_query_run(&q);
}

cb_error cb_txn_feed(cb_txn *txn, uint8_t kind, const cb_id *subject, int64_t time, cb_buf *leaf,
                     uint64_t *number)
{
    uint64_t position = 0;
    cb_feed_entry entry = {txn->feed.number + 1, kind, *subject, time};
    cb_digest hash = cb_feed_hash(&txn->feed.hash, &entry);
    cb_leaf_number(leaf, "feed", entry.number);
    cb_leaf_hex(leaf, "feed_hash", cb_digest_bytes(&hash));
    cb_error error = cb_txn_leaf(txn, leaf, &position);
    if (!error)
        error = put_entry(txn, &entry, &hash, position);
    if (error)
        return error;
    txn->feed = (cb_feed_head){entry.number, hash};
    if (number)
        *number = entry.number;
    return CB_OK;
}

static cb_error put_head(cb_sql *sql, const cb_signed_head *head)
{
    /* The same head may be signed again after an answer was lost; the first signature is kept. */
    cb_query q = cb_query_begin(sql, "INSERT INTO tree_head (size, root, time, signature) "
                                     "VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING");
    cb_query_number(&q, (int64_t)head->head.size);
    cb_query_digest(&q, &head->head.root);
    cb_query_number(&q, head->time);
    cb_query_blob(&q, CB_BYTES_OF(head->signature));
    return cb_query_run(&q);
}

cb_error cb_row_head_put(cb_sql *sql, const cb_signed_head *head,
                         const cb_merkle_frontier *frontier)
{
    cb_buf nodes = CB_BUF(CB_MERKLE_DEPTH * CB_SHA256_SIZE);
    cb_frontier_put(frontier, &nodes);
    cb_error error = cb_buf_error(&nodes);
    if (!error)
        error = put_head(sql, head);
    if (!error) {
        cb_query q = cb_query_begin(sql, "INSERT INTO tree_frontier (one, size, nodes) "
                                         "VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE "
                                         "SET size = excluded.size, nodes = excluded.nodes");
        cb_query_number(&q, (int64_t)frontier->size);
        cb_query_blob(&q, cb_buf_bytes(&nodes));
        error = cb_query_run(&q);
    }
    cb_buf_free(&nodes);
    return error;
}

/* ---- Reading ---- */

cb_error cb_row_leaves(cb_txn *txn, uint64_t from, unsigned count, cb_leaf_visitor each,
                       void *context)
{
    cb_error error = CB_OK;
    if (from > INT64_MAX)
        return CB_OK; /* no row has such a number; the last that can be would come again and again
                       */
    cb_query q = cb_query_begin(txn->sql, "SELECT position, data, hash FROM evidence_leaf "
                                          "WHERE position >= ? ORDER BY position LIMIT ?");
    cb_query_number(&q, (int64_t)from);
    cb_query_number(&q, cb_row_limit(count));
    while (!error && cb_query_next(&q)) {
        cb_log_leaf leaf = {.position = (uint64_t)cb_column_number(&q, 0)};
        cb_column_as_found(&q, 2, &leaf.hash, sizeof leaf.hash);
        leaf.data = cb_column_bytes(&q, 1);
        /* One byte more than any leaf has: enough to see that it is none. */
        if (leaf.data.len > CB_LEAF_MAX)
            leaf.data.len = CB_LEAF_MAX + 1;
        error = q.error ? q.error : each(context, &leaf);
    }
    cb_error end = cb_query_end(&q);
    return error ? error : end;
}

cb_error cb_row_leaf_get(cb_txn *txn, uint64_t position, cb_buf *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT data FROM evidence_leaf WHERE position = ?");
    cb_query_number(&q, (int64_t)position);
    bool found = cb_query_next(&q);
    if (found)
        cb_column_buf(&q, 0, out);
    return cb_row_found(&q, found);
}

cb_error cb_row_heads(cb_txn *txn, uint64_t from, unsigned count, cb_head_visitor each,
                      void *context)
{
    cb_error error = CB_OK;
    if (from > INT64_MAX)
        return CB_OK;
    cb_query q = cb_query_begin(txn->sql, "SELECT size, root, time, signature FROM tree_head "
                                          "WHERE size >= ? ORDER BY size LIMIT ?");
    cb_query_number(&q, (int64_t)from);
    cb_query_number(&q, cb_row_limit(count));
    while (!error && cb_query_next(&q)) {
        cb_signed_head head = {.head.size = (uint64_t)cb_column_number(&q, 0),
                               .time = cb_column_number(&q, 2)};
        cb_column_as_found(&q, 1, &head.head.root, sizeof head.head.root);
        cb_column_as_found(&q, 3, head.signature, sizeof head.signature);
        error = q.error ? q.error : each(context, &head);
    }
    cb_error end = cb_query_end(&q);
    return error ? error : end;
}

cb_error cb_row_feed(cb_txn *txn, uint64_t after, size_t max, cb_feed_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_query q = cb_query_begin(txn->sql, "SELECT number, kind, subject, time, hash, leaf "
                                          "FROM feed WHERE number > ? ORDER BY number LIMIT ?");
    cb_query_number(&q, after > INT64_MAX ? INT64_MAX : (int64_t)after);
    cb_query_number(&q, max > INT32_MAX ? INT32_MAX : (int64_t)max);
    while (!error && cb_query_next(&q)) {
        cb_feed_entry entry = {.number = (uint64_t)cb_column_number(&q, 0),
                               .kind = cb_column_byte(&q, 1),
                               .time = cb_column_number(&q, 3)};
        cb_digest hash;
        cb_column_id(&q, 2, &entry.subject);
        cb_column_digest(&q, 4, &hash);
        uint64_t leaf = (uint64_t)cb_column_number(&q, 5);
        error = q.error ? q.error : each(context, &entry, &hash, leaf);
    }
    cb_error end = cb_query_end(&q);
    return error ? error : end;
}

cb_error cb_row_feed_head(cb_sql *sql, cb_feed_head *out)
{
    *out = (cb_feed_head){0};
    cb_query q = cb_query_begin(sql, "SELECT number, hash FROM feed ORDER BY number DESC LIMIT 1");
    if (cb_query_next(&q)) {
        out->number = (uint64_t)cb_column_number(&q, 0);
        cb_column_digest(&q, 1, &out->hash);
    }
    return cb_query_end(&q);
}

/* ---- The end of the log, at the start ---- */

static cb_error broken(const char *why)
{
    return cb_log_failure("store.evidence", CB_E_EVIDENCE, why);
}

cb_error cb_row_hashes(cb_sql *sql, uint64_t from, uint64_t to, cb_log_tail *out)
{
    cb_error error = CB_OK;
    cb_query q = cb_query_begin(sql, "SELECT position, hash FROM evidence_leaf "
                                     "WHERE position >= ? AND position < ? ORDER BY position");
    cb_query_number(&q, (int64_t)from);
    cb_query_number(&q, to > INT64_MAX ? INT64_MAX : (int64_t)to);
    for (uint64_t next = from; !error && cb_query_next(&q); next++) {
        cb_digest hash;
        cb_column_digest(&q, 1, &hash);
        error = (uint64_t)cb_column_number(&q, 0) == next ? cb_log_tail_reserve(out, 1)
                                                          : broken("a leaf is missing");
        if (!error)
            cb_log_tail_append(out, &hash, 1);
    }
    cb_error end = cb_query_end(&q);
    return error ? error : end;
}

cb_error cb_row_frontier_at(cb_sql *sql, uint64_t size, cb_merkle_frontier *out)
{
    *out = (cb_merkle_frontier){0};
    cb_query q = cb_query_begin(sql, "SELECT position, hash FROM evidence_leaf "
                                     "WHERE position < ? ORDER BY position");
    cb_query_number(&q, size > INT64_MAX ? INT64_MAX : (int64_t)size);
    while (cb_query_next(&q) && (uint64_t)cb_column_number(&q, 0) == out->size) {
        cb_digest hash;
        cb_column_digest(&q, 1, &hash);
        cb_merkle_append(out, &hash);
    }
    cb_error error = cb_query_end(&q);
    return !error && out->size != size ? broken("a leaf is missing") : error;
}

static cb_error last_head(cb_sql *sql, cb_tree_head *out)
{
    *out = (cb_tree_head){0};
    cb_query q = cb_query_begin(sql, "SELECT size, root FROM tree_head ORDER BY size DESC LIMIT 1");
    if (cb_query_next(&q)) {
        out->size = (uint64_t)cb_column_number(&q, 0);
        cb_column_digest(&q, 1, &out->root);
    }
    return cb_query_end(&q);
}

static cb_error kept_frontier(cb_sql *sql, cb_merkle_frontier *out)
{
    *out = (cb_merkle_frontier){0};
    cb_query q = cb_query_begin(sql, "SELECT size, nodes FROM tree_frontier");
    if (cb_query_next(&q) &&
        cb_frontier_get((uint64_t)cb_column_number(&q, 0), cb_column_bytes(&q, 1), out) != CB_OK)
        *out = (cb_merkle_frontier){0};
    return cb_query_end(&q);
}

static bool leads_to(const cb_merkle_frontier *frontier, const cb_tree_head *head)
{
    cb_tree_head own = cb_frontier_head(frontier);
    return own.size == head->size && memcmp(&own.root, &head->root, sizeof own.root) == 0;
}

/* The frontier is believed when it has the last head's root; if not, the leaves themselves are
 * asked. */
static cb_error load_base(cb_sql *sql, const cb_tree_head *head, cb_merkle_frontier *base)
{
    cb_error error = kept_frontier(sql, base);
    if (error || head->size == 0) {
        *base = (cb_merkle_frontier){0};
        return error;
    }
    if (leads_to(base, head))
        return CB_OK;
    cb_log(CB_LOG_WARNING, "store.rebuild", "The tree is computed again from all leaves", NULL);
    error = cb_row_frontier_at(sql, head->size, base);
    if (!error && !leads_to(base, head))
        error = broken("the leaves do not lead to the last signed head");
    return error;
}

/* Nothing signed covers the leaves after the last head yet, so here their text is hashed again too.
 */
static cb_error check_tail(cb_sql *sql, const cb_log_tail *tail)
{
    cb_error error = CB_OK;
    uint64_t next = tail->base.size;
    cb_query q = cb_query_begin(sql, "SELECT data, hash FROM evidence_leaf "
                                     "WHERE position >= ? ORDER BY position");
    cb_query_number(&q, (int64_t)next);
    for (; !error && cb_query_next(&q); next++) {
        cb_digest stored, hash = cb_merkle_leaf(cb_column_bytes(&q, 0));
        cb_column_digest(&q, 1, &stored);
        if (memcmp(&stored, &hash, sizeof hash) != 0)
            error = broken("a leaf was edited");
    }
    cb_error end = cb_query_end(&q);
    return error ? error : end;
}

static cb_error check_covered(cb_sql *sql, uint64_t size)
{
    if (size == 0)
        return CB_OK;
    cb_query q = cb_query_begin(sql, "SELECT 1 FROM evidence_leaf WHERE position = ?");
    cb_query_number(&q, (int64_t)size - 1);
    bool there = cb_query_next(&q);
    cb_error error = cb_query_end(&q);
    return !error && !there ? broken("leaves below the last signed head are missing") : error;
}

cb_error cb_row_tail_load(cb_sql *sql, cb_log_tail *tail)
{
    cb_tree_head head;
    cb_error error = last_head(sql, &head);
    if (!error)
        error = check_covered(sql, head.size);
    if (!error)
        error = load_base(sql, &head, &tail->base);
    if (!error)
        error = cb_row_hashes(sql, head.size, UINT64_MAX, tail);
    if (!error)
        error = check_tail(sql, tail);
    return error;
}
