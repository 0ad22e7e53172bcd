/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row.h"

cb_error cb_row_journal_get(cb_txn *txn, const cb_id *terminal, cb_journal_row *out)
{
    cb_query q =
        cb_query_begin(txn->sql, "SELECT part, number, hash, finding, after, found, resume "
                                 "FROM terminal_log WHERE terminal = ?");
    cb_query_id(&q, terminal);
    bool found = cb_query_next(&q);
    *out = (cb_journal_row){.part = 1};
    if (found) {
        out->part = (uint64_t)cb_column_number(&q, 0);
        out->head.number = (uint64_t)cb_column_number(&q, 1);
        cb_column_digest(&q, 2, &out->head.hash);
        cb_column_text(&q, 3, out->finding, sizeof out->finding);
        out->after = (uint64_t)cb_column_number(&q, 4);
        out->found = cb_column_number(&q, 5);
        out->resume = cb_column_number(&q, 6) != 0;
    }
    return cb_query_end(&q);
}

/* As they are found: what has the wrong size is for the check to say. */
cb_error cb_row_journal_all(cb_txn *txn, cb_journal_row_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_query q = cb_query_begin(txn->sql, "SELECT terminal, part, number, hash, resume FROM "
                                        "terminal_log");
    while (!error && cb_query_next(&q)) {
        cb_id terminal;
        cb_journal_row row = {.part = (uint64_t)cb_column_number(&q, 1),
                              .head.number = (uint64_t)cb_column_number(&q, 2),
                              .resume = cb_column_number(&q, 4) != 0};
        cb_column_as_found(&q, 0, &terminal, sizeof terminal);
        cb_column_as_found(&q, 3, &row.head.hash, sizeof row.head.hash);
        error = q.error ? q.error : each(context, &terminal, &row);
    }
    return cb_row_visited(&q, error);
}

cb_error cb_row_journal_set(cb_txn *txn, const cb_id *terminal, const cb_journal_row *row)
{
    cb_query q = cb_query_begin(
        txn->sql, "INSERT INTO terminal_log VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (terminal) "
                  "DO UPDATE SET part = excluded.part, number = excluded.number, hash = "
                  "excluded.hash, finding = excluded.finding, after = excluded.after, found = "
                  "excluded.found, resume = excluded.resume");
    cb_query_id(&q, terminal);
    cb_query_number(&q, (int64_t)row->part);
    cb_query_number(&q, (int64_t)row->head.number);
    cb_query_digest(&q, &row->head.hash);
    cb_query_text(&q, row->finding);
    cb_query_number(&q, (int64_t)row->after);
    cb_query_number(&q, row->found);
    cb_query_number(&q, row->resume);
    return cb_query_run(&q);
}

cb_error cb_row_journal_batch_put(cb_txn *txn, const cb_id *terminal, const cb_journal_batch *batch)
{
    cb_query q =
        cb_query_begin(txn->sql, "INSERT INTO terminal_log_batch (terminal, part, last, after, "
                                 "previous, hash, key, signature, received, entries) "
                                 "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, terminal);
    cb_query_number(&q, (int64_t)batch->part);
    cb_query_number(&q, (int64_t)batch->last.number);
    cb_query_number(&q, (int64_t)batch->before.number);
    cb_query_digest(&q, &batch->before.hash);
    cb_query_digest(&q, &batch->last.hash);
    cb_query_blob(&q, batch->key);
    cb_query_blob(&q, batch->signature);
    cb_query_number(&q, batch->received);
    cb_query_blob(&q, batch->entries);
    return cb_query_run(&q);
}

cb_error cb_row_journal_batch_each(cb_txn *txn, const cb_id *terminal, uint64_t part,
                                   uint64_t after, unsigned limit, cb_journal_visitor each,
                                   void *context)
{
    cb_error error = CB_OK;
    cb_query q = cb_query_begin(
        txn->sql, "SELECT part, after, previous, last, hash, key, signature, received, entries "
                  "FROM terminal_log_batch WHERE terminal = ?1 AND (part, last) > (?2, ?3) "
                  "ORDER BY part, last LIMIT ?4");
    cb_query_id(&q, terminal);
    cb_query_number(&q, (int64_t)part);
    cb_query_number(&q, (int64_t)after);
    cb_query_number(&q, cb_row_limit(limit));
    while (!error && cb_query_next(&q)) {
        cb_journal_batch batch = {.part = (uint64_t)cb_column_number(&q, 0),
                                  .before.number = (uint64_t)cb_column_number(&q, 1),
                                  .last.number = (uint64_t)cb_column_number(&q, 3),
                                  .received = cb_column_number(&q, 7)};
        cb_column_digest(&q, 2, &batch.before.hash);
        cb_column_digest(&q, 4, &batch.last.hash);
        batch.key = cb_column_bytes(&q, 5);
        batch.signature = cb_column_bytes(&q, 6);
        batch.entries = cb_column_bytes(&q, 8);
        error = q.error ? q.error : each(context, &batch);
    }
    return cb_row_visited(&q, error);
}

cb_error cb_row_journal_batch_all(cb_txn *txn, cb_journal_batch_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_query q = cb_query_begin(
        txn->sql,
        "SELECT terminal, part, after, previous, last, hash, key, signature, received, entries "
        "FROM terminal_log_batch ORDER BY terminal, part, last");
    while (!error && cb_query_next(&q)) {
        cb_id terminal;
        cb_journal_batch batch = {.part = (uint64_t)cb_column_number(&q, 1),
                                  .before.number = (uint64_t)cb_column_number(&q, 2),
                                  .last.number = (uint64_t)cb_column_number(&q, 4),
                                  .received = cb_column_number(&q, 8)};
        cb_column_as_found(&q, 0, &terminal, sizeof terminal);
        cb_column_as_found(&q, 3, &batch.before.hash, sizeof batch.before.hash);
        cb_column_as_found(&q, 5, &batch.last.hash, sizeof batch.last.hash);
        batch.key = cb_column_bytes(&q, 6);
        batch.signature = cb_column_bytes(&q, 7);
        batch.entries = cb_column_bytes(&q, 9);
        error = q.error ? q.error : each(context, &terminal, &batch);
    }
    return cb_row_visited(&q, error);
}
