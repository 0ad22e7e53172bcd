/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Batches, cards that nobody holds, and what did not fit.
 */
#include "broker/store/row_stock.h"

#include "broker/store/row.h"

#define STOCK "manufacturer, serial, batch, state, identity, delivery, line, changed"
#define MISMATCH "id, kind, manufacturer, serial, delivery, card, application, actor, time"

/* ---- Batches ---- */

cb_error cb_row_batch_put(cb_txn *txn, const cb_batch *batch)
{
    cb_query q = cb_query_begin(
        txn->sql, "INSERT INTO batch (id, manufacturer, name, created) VALUES (?, ?, ?, ?)");
    cb_query_id(&q, &batch->id);
    cb_query_text(&q, batch->manufacturer);
    cb_query_text(&q, batch->name);
    cb_query_number(&q, batch->created);
    return cb_query_run(&q);
}

cb_error cb_row_batch_find(cb_txn *txn, const char *manufacturer, const char *name, cb_batch *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT id, manufacturer, name, created FROM batch "
                                          "WHERE manufacturer = ? AND name = ?");
    cb_query_text(&q, manufacturer);
    cb_query_text(&q, name);
    bool found = cb_query_next(&q);
    if (found) {
        cb_column_id(&q, 0, &out->id);
        cb_column_text(&q, 1, out->manufacturer, sizeof out->manufacturer);
        cb_column_text(&q, 2, out->name, sizeof out->name);
        out->created = cb_column_number(&q, 3);
    }
    return cb_row_found(&q, found);
}

/* ---- Stock ---- */

cb_error cb_row_stock_put(cb_txn *txn, const cb_stock *stock)
{
    cb_query q =
        cb_query_begin(txn->sql, "INSERT INTO stock (" STOCK ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_text(&q, stock->manufacturer);
    cb_query_text(&q, stock->serial);
    cb_query_id(&q, &stock->batch);
    cb_query_text(&q, cb_row_state(cb_card_states, stock->state));
    cb_query_id_or_null(&q, &stock->identity);
    cb_query_text(&q, stock->delivery);
    cb_query_number(&q, stock->line);
    cb_query_number(&q, stock->changed);
    return cb_query_run(&q);
}

static void read_stock(cb_query *q, cb_stock *out)
{
    cb_column_text(q, 0, out->manufacturer, sizeof out->manufacturer);
    cb_column_text(q, 1, out->serial, sizeof out->serial);
    cb_column_id(q, 2, &out->batch);
    out->state = cb_column_state(q, 3, cb_card_states);
    cb_column_known_id(q, 4, &out->identity);
    cb_column_text(q, 5, out->delivery, sizeof out->delivery);
    out->line = cb_column_number(q, 6);
    out->changed = cb_column_number(q, 7);
}

static cb_error take_stock(cb_query *q, cb_stock *out)
{
    bool found = cb_query_next(q);
    if (found)
        read_stock(q, out);
    return cb_row_found(q, found);
}

cb_error cb_row_stock_get(cb_txn *txn, const char *manufacturer, const char *serial, cb_stock *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " STOCK
                                          " FROM stock WHERE manufacturer = ? AND serial = ?");
    cb_query_text(&q, manufacturer);
    cb_query_text(&q, serial);
    return take_stock(&q, out);
}

cb_error cb_row_stock_find(cb_txn *txn, const cb_id *identity, cb_stock *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " STOCK " FROM stock WHERE identity = ?");
    cb_query_id(&q, identity);
    return take_stock(&q, out);
}

cb_error cb_row_stock_set(cb_txn *txn, const cb_stock *stock)
{
    cb_query q = cb_query_begin(txn->sql,
                                "UPDATE stock SET state = ?, identity = ?, delivery = ?, line = ?, "
                                "changed = ? WHERE manufacturer = ? AND serial = ?");
    cb_query_text(&q, cb_row_state(cb_card_states, stock->state));
    cb_query_id_or_null(&q, &stock->identity);
    cb_query_text(&q, stock->delivery);
    cb_query_number(&q, stock->line);
    cb_query_number(&q, stock->changed);
    cb_query_text(&q, stock->manufacturer);
    cb_query_text(&q, stock->serial);
    return cb_query_change_one(&q);
}

static cb_error visit_stock(cb_query *q, cb_stock_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_stock stock;
    while (!error && cb_query_next(q)) {
        read_stock(q, &stock);
        error = q->error ? q->error : each(context, &stock);
    }
    return cb_row_visited(q, error);
}

cb_error cb_row_stock_each(cb_txn *txn, const char *manufacturer, const char *state,
                           const char *delivery, const char *after, unsigned limit,
                           cb_stock_visitor each, void *context)
{
    cb_query q = cb_query_begin(
        txn->sql, "SELECT " STOCK " FROM stock WHERE manufacturer = ?1 AND serial > ?2 "
                  "AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR delivery = ?4) "
                  "ORDER BY serial LIMIT ?5");
    cb_query_text(&q, manufacturer);
    cb_query_text(&q, after ? after : "");
    cb_query_text(&q, state);
    cb_query_text(&q, delivery);
    cb_query_number(&q, cb_row_limit(limit));
    return visit_stock(&q, each, context);
}

cb_error cb_row_stock_missing(cb_txn *txn, const char *manufacturer, const char *delivery,
                              unsigned limit, cb_stock_visitor each, void *context)
{
    /* Left to itself, SQLite looks at every card of the manufacturer. */
    cb_query q = cb_query_begin(
        txn->sql, "SELECT " STOCK " FROM stock AS s INDEXED BY stock_of_delivery "
                  "WHERE manufacturer = ?1 AND delivery = ?2 "
                  "AND state = 'in-transit' AND NOT EXISTS (SELECT 1 FROM mismatch AS m "
                  "WHERE m.manufacturer = s.manufacturer AND m.serial = s.serial "
                  "AND m.kind = 'missing' AND m.delivery = s.delivery) LIMIT ?3");
    cb_query_text(&q, manufacturer);
    cb_query_text(&q, delivery);
    cb_query_number(&q, cb_row_limit(limit));
    return visit_stock(&q, each, context);
}

/* ---- What did not fit ---- */

cb_error cb_row_mismatch_put(cb_txn *txn, const cb_mismatch *mismatch)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO mismatch (" MISMATCH
                                          ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &mismatch->id);
    cb_query_text(&q, mismatch->kind);
    cb_query_text(&q, mismatch->manufacturer);
    cb_query_text(&q, mismatch->serial);
    cb_query_text(&q, mismatch->delivery);
    cb_query_id_or_null(&q, &mismatch->card);
    cb_query_id_or_null(&q, &mismatch->application);
    cb_query_text(&q, mismatch->actor);
    cb_query_number(&q, mismatch->time);
    return cb_query_run(&q);
}

cb_error cb_row_mismatch_each(cb_txn *txn, const cb_id *after, unsigned limit,
                              cb_mismatch_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_mismatch row;
    cb_query q = cb_query_begin(txn->sql, "SELECT " MISMATCH
                                          " FROM mismatch WHERE id > ? ORDER BY id LIMIT ?");
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    while (!error && cb_query_next(&q)) {
        cb_column_id(&q, 0, &row.id);
        cb_column_text(&q, 1, row.kind, sizeof row.kind);
        cb_column_text(&q, 2, row.manufacturer, sizeof row.manufacturer);
        cb_column_text(&q, 3, row.serial, sizeof row.serial);
        cb_column_text(&q, 4, row.delivery, sizeof row.delivery);
        cb_column_known_id(&q, 5, &row.card);
        cb_column_known_id(&q, 6, &row.application);
        cb_column_text(&q, 7, row.actor, sizeof row.actor);
        row.time = cb_column_number(&q, 8);
        error = q.error ? q.error : each(context, &row);
    }
    return cb_row_visited(&q, error);
}
