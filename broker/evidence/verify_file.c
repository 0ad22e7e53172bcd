/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A database file as a source: one snapshot of it, so that a broker may go on working meanwhile.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "broker/evidence/verify.h"
#include "broker/store/internal.h"
#include "broker/store/migrate.h"

struct cb_evidence_file {
    cb_txn txn;
};

cb_error cb_evidence_file_open(const char *path, cb_evidence_file **out)
{
    *out = NULL;
    cb_evidence_file *file = calloc(1, sizeof *file);
    if (!file)
        return CB_E_MEMORY;
    cb_error error = cb_sql_open(path, CB_SQL_READ_ONLY, 2 * CB_SECOND, &file->txn.sql);
    if (!error)
        error = cb_migrate_check(file->txn.sql);
    if (!error)
        error = cb_sql_do(file->txn.sql, CB_SQL_BEGIN);
    if (error)
        cb_evidence_file_close(&file);
    *out = file;
    return error;
}

void cb_evidence_file_close(cb_evidence_file **file)
{
    if (!*file)
        return;
    cb_sql_close(&(*file)->txn.sql);
    free(*file);
    *file = NULL;
}

static cb_error file_leaves(void *context, uint64_t from, unsigned count, cb_leaf_visitor each,
                            void *each_context)
{
    cb_evidence_file *file = context;
    return cb_row_leaves(&file->txn, from, count, each, each_context);
}

static cb_error file_heads(void *context, uint64_t from, unsigned count, cb_head_visitor each,
                           void *each_context)
{
    cb_evidence_file *file = context;
    return cb_row_heads(&file->txn, from, count, each, each_context);
}

typedef struct feed_out {
    cb_feed_entry *entries;
    cb_digest *hashes;
    uint64_t *leaves;
    size_t count;
} feed_out;

static cb_error take_entry(void *context, const cb_feed_entry *entry, const cb_digest *hash,
                           uint64_t leaf)
{
    feed_out *out = context;
    out->entries[out->count] = *entry;
    out->hashes[out->count] = *hash;
    out->leaves[out->count++] = leaf;
    return CB_OK;
}

static cb_error file_feed(void *context, uint64_t after, cb_feed_entry *entries, cb_digest *hashes,
                          uint64_t *leaves, size_t max, size_t *count)
{
    cb_evidence_file *file = context;
    feed_out out = {entries, hashes, leaves, 0};
    cb_error error = cb_row_feed(&file->txn, after, max, take_entry, &out);
    *count = out.count;
    return error;
}

/* A key that is not retired is live: which one is in use, the leaves of its enrolment tell. */
static cb_error file_rows(void *context,
                          cb_error (*each)(void *each_context, const cb_table_row *row),
                          void *each_context)
{
    cb_evidence_file *file = context;
    cb_error error = CB_OK;
    cb_query q = cb_query_begin(
        file->txn.sql,
        "SELECT 'c', id, state, expires, own_expires, due, generation, "
        "EXISTS (SELECT 1 FROM suspension_code WHERE card = id), x'', x'' FROM card UNION ALL "
        "SELECT 't', id, state, 0, 0, 0, 0, 0, x'', x'' FROM terminal UNION ALL "
        "SELECT 'e', id, state, 0, 0, 0, 0, 0, x'', x'' FROM enrolment UNION ALL "
        "SELECT 'k', id, iif(state = 'retired', state, 'live'), sequence, 0, 0, 0, 0, "
        "enrolment, certificate FROM enrolment_key UNION ALL "
        "SELECT 'u', card, 'used', first_use, 0, 0, 0, 0, x'', x'' FROM card_proof "
        "WHERE first_use > 0 UNION ALL "
        "SELECT 'b', card, 'back', back, 0, 0, 0, 0, x'', x'' FROM card_proof WHERE back > 0");
    while (!error && cb_query_next(&q)) {
        char kind[2], state[16];
        cb_table_row row = {.state = state};
        cb_column_text(&q, 0, kind, sizeof kind);
        cb_column_id(&q, 1, &row.id);
        cb_column_text(&q, 2, state, sizeof state);
        row.kind = kind[0];
        for (size_t i = 0; i < CB_TABLE_NUMBERS; i++)
            row.number[i] = (uint64_t)cb_column_number(&q, 3 + (int)i);
        cb_column_as_found(&q, 8, row.of.bytes, CB_ID_SIZE);
        cb_bytes certificate = cb_column_bytes(&q, 9);
        row.certificate = certificate.len ? cb_sha256(certificate) : (cb_digest){{0}};
        error = q.error ? q.error : each(each_context, &row);
    }
    cb_error end = cb_query_end(&q);
    return error ? error : end;
}

static cb_error file_lines(void *context, cb_row_lines_visitor each, void *each_context)
{
    cb_evidence_file *file = context;
    return cb_row_lines_each(&file->txn, each, each_context);
}

static cb_error file_issues_since(void *context, int64_t *out)
{
    cb_evidence_file *file = context;
    return cb_row_lines_issues_since(&file->txn, out);
}

static cb_error file_stock(void *context, cb_stock_lines_visitor each, void *each_context,
                           uint64_t *issued)
{
    cb_evidence_file *file = context;
    return cb_stock_lines_each(&file->txn, each, each_context, issued);
}

static cb_error file_failures(void *context, cb_failure_row_visitor each, void *each_context)
{
    cb_evidence_file *file = context;
    return cb_row_failure_all(&file->txn, each, each_context);
}

static cb_error file_batches(void *context, cb_journal_batch_visitor each, void *each_context)
{
    cb_evidence_file *file = context;
    return cb_row_journal_batch_all(&file->txn, each, each_context);
}

static cb_error file_logs(void *context, cb_journal_row_visitor each, void *each_context)
{
    cb_evidence_file *file = context;
    return cb_row_journal_all(&file->txn, each, each_context);
}

static cb_error file_said(void *context, cb_said_visitor each, void *each_context)
{
    cb_evidence_file *file = context;
    return cb_said_rows(&file->txn, each, each_context);
}

cb_evidence_source cb_evidence_file_source(cb_evidence_file *file)
{
    return (cb_evidence_source){.context = file,
                                .leaves = file_leaves,
                                .heads = file_heads,
                                .feed = file_feed,
                                .rows = file_rows,
                                .failures = file_failures,
                                .batches = file_batches,
                                .logs = file_logs,
                                .said = file_said,
                                .lines = file_lines,
                                .issues_since = file_issues_since,
                                .stock = file_stock};
}
