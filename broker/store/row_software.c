/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row_software.h"

#include "broker/store/row.h"

#define COLUMNS "id, version, program, config, note, since, until, created"

static cb_bytes config_of(const cb_software_entry *entry)
{
    return entry->any_config ? (cb_bytes){0} : cb_digest_bytes(&entry->what.config);
}

cb_error cb_row_software_put(cb_txn *txn, const cb_software_entry *entry)
{
    cb_query q =
        cb_query_begin(txn->sql, "INSERT INTO software (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, "
                                 "?, ?)");
    cb_query_id(&q, &entry->id);
    cb_query_text(&q, entry->what.version);
    cb_query_digest(&q, &entry->what.program);
    cb_query_blob(&q, config_of(entry));
    cb_query_text(&q, entry->note);
    cb_query_number(&q, entry->since);
    cb_query_number(&q, entry->until);
    cb_query_number(&q, entry->created);
    return cb_query_run(&q);
}

static void read_entry(cb_query *q, cb_software_entry *out)
{
    *out = (cb_software_entry){.any_config = cb_column_bytes(q, 3).len == 0};
    cb_column_id(q, 0, &out->id);
    cb_column_text(q, 1, out->what.version, sizeof out->what.version);
    cb_column_digest(q, 2, &out->what.program);
    if (!out->any_config)
        cb_column_digest(q, 3, &out->what.config);
    cb_column_text(q, 4, out->note, sizeof out->note);
    out->since = cb_column_number(q, 5);
    out->until = cb_column_number(q, 6);
    out->created = cb_column_number(q, 7);
}

cb_error cb_row_software_remove(cb_txn *txn, const cb_id *id)
{
    cb_query q = cb_query_begin(txn->sql, "DELETE FROM software WHERE id = ?");
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

static cb_error visit(cb_query *q, cb_software_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_software_entry entry;
    while (!error && cb_query_next(q)) {
        read_entry(q, &entry);
        error = q->error ? q->error : each(context, &entry);
    }
    return cb_row_visited(q, error);
}

cb_error cb_row_software_each(cb_txn *txn, const cb_id *after, unsigned limit,
                              cb_software_visitor each, void *context)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS
                                          " FROM software WHERE id > ? ORDER BY id LIMIT ?");
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    return visit(&q, each, context);
}

/* The index is unique: two at most. */
cb_error cb_row_software_match(cb_txn *txn, const cb_software *what, cb_software_visitor each,
                               void *context)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM software WHERE program = ? AND "
                                          "config IN (?, x'') AND version = ?");
    cb_query_digest(&q, &what->program);
    cb_query_digest(&q, &what->config);
    cb_query_text(&q, what->version);
    return visit(&q, each, context);
}

cb_error cb_row_terminal_software_get(cb_txn *txn, const cb_id *terminal, cb_terminal_software *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT version, program, config, started, received, "
                                          "finding FROM terminal_software WHERE terminal = ?");
    cb_query_id(&q, terminal);
    *out = (cb_terminal_software){.started = 0};
    if (cb_query_next(&q)) {
        cb_column_text(&q, 0, out->what.version, sizeof out->what.version);
        cb_column_digest(&q, 1, &out->what.program);
        cb_column_digest(&q, 2, &out->what.config);
        out->started = cb_column_number(&q, 3);
        out->received = cb_column_number(&q, 4);
        cb_column_text(&q, 5, out->finding, sizeof out->finding);
    }
    return cb_query_end(&q);
}

cb_error cb_row_terminal_software_set(cb_txn *txn, const cb_id *terminal,
                                      const cb_terminal_software *software)
{
    cb_query q = cb_query_begin(
        txn->sql, "INSERT INTO terminal_software VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT "
                  "(terminal) DO UPDATE SET version = excluded.version, program = "
                  "excluded.program, config = excluded.config, started = excluded.started, "
                  "received = excluded.received, finding = excluded.finding");
    cb_query_id(&q, terminal);
    cb_query_text(&q, software->what.version);
    cb_query_digest(&q, &software->what.program);
    cb_query_digest(&q, &software->what.config);
    cb_query_number(&q, software->started);
    cb_query_number(&q, software->received);
    cb_query_text(&q, software->finding);
    return cb_query_run(&q);
}
