/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row_maintenance.h"

#include "broker/store/row.h"

#define COLUMNS "id, holder, terminal, created"

cb_error cb_row_maintainer_put(cb_txn *txn, const cb_maintainer *maintainer)
{
    bool all = cb_id_is_zero(&maintainer->terminal);
    cb_query q =
        cb_query_begin(txn->sql, "INSERT INTO maintainer (" COLUMNS ") VALUES (?, ?, ?, ?)");
    cb_query_id(&q, &maintainer->id);
    cb_query_id(&q, &maintainer->holder);
    cb_query_blob(&q, all ? (cb_bytes){0} : cb_id_bytes(&maintainer->terminal));
    cb_query_number(&q, maintainer->created);
    return cb_query_run(&q);
}

cb_error cb_row_maintainer_remove(cb_txn *txn, const cb_id *id)
{
    cb_query q = cb_query_begin(txn->sql, "DELETE FROM maintainer WHERE id = ?");
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

static cb_error visit(cb_query *q, cb_maintainer_visitor each, void *context)
{
    cb_error error = CB_OK;
    while (!error && cb_query_next(q)) {
        cb_maintainer maintainer = {.created = cb_column_number(q, 3)};
        cb_column_id(q, 0, &maintainer.id);
        cb_column_id(q, 1, &maintainer.holder);
        if (cb_column_bytes(q, 2).len > 0)
            cb_column_id(q, 2, &maintainer.terminal);
        error = q->error ? q->error : each(context, &maintainer);
    }
    return cb_row_visited(q, error);
}

cb_error cb_row_maintainer_each(cb_txn *txn, const cb_id *after, unsigned limit,
                                cb_maintainer_visitor each, void *context)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS
                                          " FROM maintainer WHERE id > ? ORDER BY id LIMIT ?");
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    return visit(&q, each, context);
}

cb_error cb_row_maintainer_match(cb_txn *txn, const cb_id *holder, const cb_id *terminal,
                                 cb_maintainer_visitor each, void *context)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM maintainer WHERE holder = ? "
                                          "AND terminal IN (?, x'')");
    cb_query_id(&q, holder);
    cb_query_id(&q, terminal);
    return visit(&q, each, context);
}

cb_error cb_row_maintenance_get(cb_txn *txn, const cb_id *terminal, cb_maintenance *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT holder, card, began, until, reason FROM "
                                          "terminal_maintenance WHERE terminal = ?");
    cb_query_id(&q, terminal);
    bool found = cb_query_next(&q);
    *out = (cb_maintenance){.began = 0};
    if (found) {
        cb_column_id(&q, 0, &out->holder);
        cb_column_id(&q, 1, &out->card);
        out->began = cb_column_number(&q, 2);
        out->until = cb_column_number(&q, 3);
        cb_column_text(&q, 4, out->reason, sizeof out->reason);
    }
    return cb_row_found(&q, found);
}

cb_error cb_row_maintenance_set(cb_txn *txn, const cb_id *terminal,
                                const cb_maintenance *maintenance)
{
    cb_query q = cb_query_begin(
        txn->sql, "INSERT INTO terminal_maintenance VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT "
                  "(terminal) DO UPDATE SET holder = excluded.holder, card = excluded.card, began "
                  "= excluded.began, until = excluded.until, reason = excluded.reason");
    cb_query_id(&q, terminal);
    cb_query_id(&q, &maintenance->holder);
    cb_query_id(&q, &maintenance->card);
    cb_query_number(&q, maintenance->began);
    cb_query_number(&q, maintenance->until);
    cb_query_text(&q, maintenance->reason);
    return cb_query_run(&q);
}
