/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row.h"

cb_error cb_row_holder_put(cb_txn *txn, const cb_holder *holder)
{
    cb_query q =
        cb_query_begin(txn->sql, "INSERT INTO holder (id, name, created) VALUES (?, ?, ?)");
    cb_query_id(&q, &holder->id);
    cb_query_text(&q, holder->name);
    cb_query_number(&q, holder->created);
    return cb_query_run(&q);
}

static void read_holder(cb_query *q, cb_holder *out)
{
    cb_column_id(q, 0, &out->id);
    cb_column_text(q, 1, out->name, sizeof out->name);
    out->created = cb_column_number(q, 2);
}

cb_error cb_row_holder_get(cb_txn *txn, const cb_id *id, cb_holder *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT id, name, created FROM holder WHERE id = ?");
    cb_query_id(&q, id);
    bool found = cb_query_next(&q);
    if (found)
        read_holder(&q, out);
    return cb_row_found(&q, found);
}

cb_error cb_row_holder_each(cb_txn *txn, const cb_id *after, unsigned limit, cb_holder_visitor each,
                            void *context)
{
    cb_error error = CB_OK;
    cb_holder holder;
    cb_query q = cb_query_begin(
        txn->sql, "SELECT id, name, created FROM holder WHERE id > ? ORDER BY id LIMIT ?");
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    while (!error && cb_query_next(&q)) {
        read_holder(&q, &holder);
        error = q.error ? q.error : each(context, &holder);
    }
    return cb_row_visited(&q, error);
}
