/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row_stock.h"

#include "broker/store/row.h"

#define COLUMNS "id, holder, profile, reason, state, operator, approver, card, created, changed"

const char *const cb_application_states[] = {NULL,     "entered", "approved",
                                             "issued", "refused", NULL};

const char *cb_application_state_name(uint8_t state)
{
    const char *name = cb_row_state(cb_application_states, state);
    return name ? name : "unknown";
}

cb_error cb_row_application_put(cb_txn *txn, const cb_application *application)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO application (" COLUMNS
                                          ") VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)");
    cb_query_id(&q, &application->id);
    cb_query_id(&q, &application->holder);
    cb_query_number(&q, application->profile);
    cb_query_text(&q, application->reason);
    cb_query_text(&q, cb_row_state(cb_application_states, application->state));
    cb_query_text(&q, application->operator);
    cb_query_text(&q, application->approver);
    cb_query_number(&q, application->created);
    cb_query_number(&q, application->changed);
    return cb_query_run(&q);
}

static void read_application(cb_query *q, cb_application *out)
{
    cb_column_id(q, 0, &out->id);
    cb_column_id(q, 1, &out->holder);
    out->profile = cb_column_byte(q, 2);
    cb_column_text(q, 3, out->reason, sizeof out->reason);
    out->state = cb_column_state(q, 4, cb_application_states);
    cb_column_text(q, 5, out->operator, sizeof out->operator);
    cb_column_text(q, 6, out->approver, sizeof out->approver);
    out->card = (cb_id){{0}};
    if (!cb_column_is_null(q, 7))
        cb_column_id(q, 7, &out->card);
    out->created = cb_column_number(q, 8);
    out->changed = cb_column_number(q, 9);
}

static cb_error take_one(cb_query *q, cb_application *out)
{
    bool found = cb_query_next(q);
    if (found)
        read_application(q, out);
    return cb_row_found(q, found);
}

cb_error cb_row_application_get(cb_txn *txn, const cb_id *id, cb_application *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM application WHERE id = ?");
    cb_query_id(&q, id);
    return take_one(&q, out);
}

cb_error cb_row_application_find(cb_txn *txn, const cb_id *holder, uint8_t profile,
                                 const char *reason, cb_application *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM application WHERE holder = ? "
                                          "AND profile = ? AND reason = ? AND state = 'approved' "
                                          "ORDER BY created, id LIMIT 1");
    cb_query_id(&q, holder);
    cb_query_number(&q, profile);
    cb_query_text(&q, reason);
    return take_one(&q, out);
}

cb_error cb_row_application_set(cb_txn *txn, const cb_application *application)
{
    cb_query q = cb_query_begin(
        txn->sql,
        "UPDATE application SET state = ?, approver = ?, card = ?, changed = ? WHERE id = ?");
    cb_query_text(&q, cb_row_state(cb_application_states, application->state));
    cb_query_text(&q, application->approver);
    cb_query_id_or_null(&q, &application->card);
    cb_query_number(&q, application->changed);
    cb_query_id(&q, &application->id);
    return cb_query_change_one(&q);
}

cb_error cb_row_application_each(cb_txn *txn, const cb_id *holder, const char *state,
                                 const cb_id *after, unsigned limit, cb_application_visitor each,
                                 void *context)
{
    static const char of_all[] = "SELECT " COLUMNS " FROM application WHERE id > ?1 "
                                 "AND (?2 IS NULL OR state = ?2) ORDER BY id LIMIT ?3";
    static const char of_one[] = "SELECT " COLUMNS " FROM application WHERE holder = ?1 AND id > ?2 "
                                 "AND (?3 IS NULL OR state = ?3) ORDER BY id LIMIT ?4";
    cb_error error = CB_OK;
    cb_application row;
    cb_query q = cb_query_begin(txn->sql, holder ? of_one : of_all);
    if (holder)
        cb_query_id(&q, holder);
    cb_query_id(&q, cb_row_after(after));
    cb_query_text(&q, state);
    cb_query_number(&q, cb_row_limit(limit));
    while (!error && cb_query_next(&q)) {
        read_application(&q, &row);
        error = q.error ? q.error : each(context, &row);
    }
    return cb_row_visited(&q, error);
}
