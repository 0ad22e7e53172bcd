/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row_registration.h"

#include "broker/store/row.h"

#define COLUMNS                                                                                    \
    "code, holder, profiles, level, operator, state, created, expires, changed, card, terminal, "  \
    "replaces"

static const char *const states[] = {NULL, "open", "used", "withdrawn", "lapsed", NULL};

const char *cb_code_state_name(uint8_t state)
{
    const char *name = cb_row_state(states, state);
    return name ? name : "unknown";
}

cb_error cb_row_registration_put(cb_txn *txn, const cb_registration_row *row)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO registration (" COLUMNS
                                          ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &row->code);
    cb_query_id(&q, &row->holder);
    cb_query_number(&q, row->profiles);
    cb_query_number(&q, row->level);
    cb_query_text(&q, row->operator);
    cb_query_text(&q, cb_row_state(states, row->state));
    cb_query_number(&q, row->created);
    cb_query_number(&q, row->expires);
    cb_query_number(&q, row->changed);
    cb_query_id_or_null(&q, &row->card);
    cb_query_id_or_null(&q, &row->terminal);
    cb_query_id_or_null(&q, &row->replaces);
    return cb_query_run(&q);
}

static void read_row(cb_query *q, cb_registration_row *out)
{
    cb_column_id(q, 0, &out->code);
    cb_column_id(q, 1, &out->holder);
    out->profiles = cb_column_byte(q, 2);
    out->level = cb_column_byte(q, 3);
    cb_column_text(q, 4, out->operator, sizeof out->operator);
    out->state = cb_column_state(q, 5, states);
    out->created = cb_column_number(q, 6);
    out->expires = cb_column_number(q, 7);
    out->changed = cb_column_number(q, 8);
    cb_column_known_id(q, 9, &out->card);
    cb_column_known_id(q, 10, &out->terminal);
    cb_column_known_id(q, 11, &out->replaces);
}

cb_error cb_row_registration_get(cb_txn *txn, const cb_id *code, cb_registration_row *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM registration WHERE code = ?");
    cb_query_id(&q, code);
    bool found = cb_query_next(&q);
    if (found)
        read_row(&q, out);
    return cb_row_found(&q, found);
}

cb_error cb_row_registration_set(cb_txn *txn, const cb_registration_row *row)
{
    cb_query q = cb_query_begin(txn->sql, "UPDATE registration SET state = ?, changed = ?, "
                                          "card = ?, terminal = ? WHERE code = ?");
    cb_query_text(&q, cb_row_state(states, row->state));
    cb_query_number(&q, row->changed);
    cb_query_id_or_null(&q, &row->card);
    cb_query_id_or_null(&q, &row->terminal);
    cb_query_id(&q, &row->code);
    return cb_query_change_one(&q);
}

cb_error cb_row_registration_each(cb_txn *txn, const cb_id *holder, const cb_id *after,
                                  unsigned limit, cb_registration_visitor each, void *context)
{
    static const char of_all[] =
        "SELECT " COLUMNS " FROM registration WHERE code > ? ORDER BY code LIMIT ?";
    static const char of_one[] = "SELECT " COLUMNS " FROM registration WHERE holder = ? AND "
                                 "code > ? ORDER BY code LIMIT ?";
    cb_error error = CB_OK;
    cb_registration_row row;
    cb_query q = cb_query_begin(txn->sql, holder ? of_one : of_all);
    if (holder)
        cb_query_id(&q, holder);
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    while (!error && cb_query_next(&q)) {
        read_row(&q, &row);
        error = q.error ? q.error : each(context, &row);
    }
    return cb_row_visited(&q, error);
}

static cb_error read_codes(cb_query *q, cb_id *out, size_t most, size_t *count)
{
    *count = 0;
    while (*count < most && cb_query_next(q))
        cb_column_id(q, 0, &out[(*count)++]);
    return cb_query_end(q);
}

cb_error cb_row_registration_replacing(cb_txn *txn, const cb_id *holder, const cb_id *card,
                                       cb_id *out, size_t most, size_t *count)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT code FROM registration WHERE holder = ? AND "
                                          "state = 'open' AND replaces = ? ORDER BY code LIMIT ?");
    cb_query_id(&q, holder);
    cb_query_id(&q, card);
    cb_query_number(&q, (int64_t)most);
    return read_codes(&q, out, most, count);
}

cb_error cb_row_registration_over(cb_txn *txn, int64_t by, cb_id *out, size_t most, size_t *count)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT code FROM registration WHERE state = 'open' AND "
                                          "expires <= ? ORDER BY expires LIMIT ?");
    cb_query_number(&q, by);
    cb_query_number(&q, (int64_t)most);
    return read_codes(&q, out, most, count);
}
