/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row.h"

#define FIRST_COLUMNS "id, name, state, key, rate, all_services, created, changed, passwords, kind, pad"
#define COLUMNS FIRST_COLUMNS ", expires, next_key, next_expires"

static cb_error put_service(cb_txn *txn, const cb_id *terminal, const char *service)
{
    cb_query q =
        cb_query_begin(txn->sql, "INSERT INTO terminal_service (terminal, service) VALUES (?, ?)");
    cb_query_id(&q, terminal);
    cb_query_text(&q, service);
    return cb_query_run(&q);
}

cb_error cb_row_terminal_put(cb_txn *txn, const cb_terminal *terminal)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO terminal (" FIRST_COLUMNS
                                          ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &terminal->id);
    cb_query_text(&q, terminal->name);
    cb_query_text(&q, cb_row_state(cb_terminal_states, terminal->state));
    cb_query_digest(&q, &terminal->key);
    cb_query_number(&q, terminal->rate);
    cb_query_number(&q, terminal->all_services);
    cb_query_number(&q, terminal->created);
    cb_query_number(&q, terminal->changed);
    cb_query_number(&q, terminal->passwords);
    cb_query_number(&q, terminal->kind);
    cb_query_number(&q, terminal->pad);
    cb_error error = cb_query_run(&q);
    for (unsigned i = 0; !error && i < terminal->service_count; i++)
        error = put_service(txn, &terminal->id, terminal->services[i]);
    return error;
}

static void read_terminal(cb_query *q, cb_terminal *out)
{
    cb_column_id(q, 0, &out->id);
    cb_column_text(q, 1, out->name, sizeof out->name);
    out->state = cb_column_state(q, 2, cb_terminal_states);
    cb_column_digest(q, 3, &out->key);
    out->rate = (uint32_t)cb_column_number(q, 4);
    out->all_services = cb_column_number(q, 5) != 0;
    out->created = cb_column_number(q, 6);
    out->changed = cb_column_number(q, 7);
    out->passwords = cb_column_number(q, 8) != 0;
    out->kind = cb_column_byte(q, 9);
    out->pad = cb_column_number(q, 10) != 0;
    out->expires = cb_column_number(q, 11);
    out->next_key = (cb_digest){{0}};
    if (!cb_column_is_null(q, 12))
        cb_column_digest(q, 12, &out->next_key);
    out->next_expires = cb_column_number(q, 13);
    out->service_count = 0;
}

static cb_error read_services(cb_txn *txn, cb_terminal *out)
{
    cb_query q = cb_query_begin(
        txn->sql, "SELECT service FROM terminal_service WHERE terminal = ? ORDER BY service");
    cb_query_id(&q, &out->id);
    while (out->service_count < CB_TERMINAL_SERVICES_MAX && cb_query_next(&q)) {
        char *name = out->services[out->service_count++];
        cb_column_text(&q, 0, name, CB_SERVICE_NAME_MAX + 1);
    }
    return cb_query_end(&q);
}

static cb_error get_one(cb_txn *txn, cb_query *q, cb_terminal *out)
{
    bool found = cb_query_next(q);
    if (found)
        read_terminal(q, out);
    cb_error error = cb_row_found(q, found);
    return !error && !out->all_services ? read_services(txn, out) : error;
}

cb_error cb_row_terminal_get(cb_txn *txn, const cb_id *id, cb_terminal *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM terminal WHERE id = ?");
    cb_query_id(&q, id);
    return get_one(txn, &q, out);
}

cb_error cb_row_terminal_find(cb_txn *txn, const cb_digest *key, cb_terminal *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS
                                          " FROM terminal WHERE key = ? OR next_key = ?");
    cb_query_digest(&q, key);
    cb_query_digest(&q, key);
    return get_one(txn, &q, out);
}

cb_error cb_row_terminal_named(cb_txn *txn, const char *name, cb_terminal *out)
{
    cb_query q = cb_query_begin(txn->sql,
                                "SELECT " COLUMNS " FROM terminal WHERE name = ? AND "
                                "state IN ('registered', 'active', 'deactivated', 'maintenance')");
    cb_query_text(&q, name);
    return get_one(txn, &q, out);
}

/* No key may be one terminal's now and another's soon. */
static cb_error is_free(cb_txn *txn, const cb_digest *key)
{
    cb_terminal other;
    cb_error error = cb_row_terminal_find(txn, key, &other);
    return error == CB_E_NOT_FOUND ? CB_OK : error ? error : CB_E_EXISTS;
}

static cb_error change_key(cb_txn *txn, const char *sql, const cb_id *id, const cb_digest *key,
                           int64_t expires, cb_bytes certificate)
{
    cb_error error = is_free(txn, key);
    if (error)
        return error;
    cb_query q = cb_query_begin(txn->sql, sql);
    cb_query_digest(&q, key);
    cb_query_number(&q, expires);
    cb_query_blob(&q, certificate);
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

cb_error cb_row_terminal_key(cb_txn *txn, const cb_terminal *terminal, cb_bytes certificate)
{
    return change_key(txn,
                      "UPDATE terminal SET key = ?, expires = ?, certificate = ? WHERE id = ?",
                      &terminal->id, &terminal->key, terminal->expires, certificate);
}

cb_error cb_row_terminal_next_key(cb_txn *txn, const cb_terminal *terminal, cb_bytes certificate)
{
    return change_key(
        txn,
        "UPDATE terminal SET next_key = ?, next_expires = ?, next_certificate = ? WHERE id = ?",
        &terminal->id, &terminal->next_key, terminal->next_expires, certificate);
}

cb_error cb_row_terminal_promote(cb_txn *txn, const cb_id *id)
{
    cb_query q = cb_query_begin(
        txn->sql, "UPDATE terminal SET key = next_key, expires = next_expires, "
                  "certificate = next_certificate, next_key = NULL, next_expires = 0, "
                  "next_certificate = x'' WHERE id = ? AND next_key IS NOT NULL");
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

cb_error cb_row_terminal_allow(cb_txn *txn, const cb_terminal *terminal)
{
    cb_query q = cb_query_begin(
        txn->sql, "UPDATE terminal SET rate = ?, all_services = ?, passwords = ?, kind = ?, pad = ?, "
                  "changed = ?, next_key = NULL, next_expires = 0, next_certificate = x'' "
                  "WHERE id = ?");
    cb_query_number(&q, terminal->rate);
    cb_query_number(&q, terminal->all_services);
    cb_query_number(&q, terminal->passwords);
    cb_query_number(&q, terminal->kind);
    cb_query_number(&q, terminal->pad);
    cb_query_number(&q, terminal->changed);
    cb_query_id(&q, &terminal->id);
    cb_error error = cb_query_change_one(&q);
    if (error)
        return error;
    q = cb_query_begin(txn->sql, "DELETE FROM terminal_service WHERE terminal = ?");
    cb_query_id(&q, &terminal->id);
    error = cb_query_run(&q);
    for (unsigned i = 0; !error && i < terminal->service_count; i++)
        error = put_service(txn, &terminal->id, terminal->services[i]);
    return error;
}

cb_error cb_row_terminal_certificate(cb_txn *txn, const cb_id *id, bool next, cb_buf *out)
{
    cb_query q = cb_query_begin(
        txn->sql, "SELECT CASE WHEN ? THEN next_certificate ELSE certificate END FROM terminal "
                  "WHERE id = ?");
    cb_query_number(&q, next);
    cb_query_id(&q, id);
    bool found = cb_query_next(&q);
    if (found)
        cb_buf_put(out, cb_column_bytes(&q, 0));
    cb_error error = cb_row_found(&q, found);
    return error ? error : cb_buf_error(out);
}

/* ---- One-time codes ---- */

cb_error cb_row_code_set(cb_txn *txn, const cb_id *terminal, const cb_terminal_code_row *code)
{
    cb_query q = cb_query_begin(
        txn->sql, "INSERT INTO terminal_code (terminal, hash, expires, tries) VALUES (?, ?, ?, ?) "
                  "ON CONFLICT (terminal) DO UPDATE SET hash = excluded.hash, "
                  "expires = excluded.expires, tries = excluded.tries");
    cb_query_id(&q, terminal);
    cb_query_digest(&q, &code->hash);
    cb_query_number(&q, code->expires);
    cb_query_number(&q, code->tries);
    return cb_query_run(&q);
}

cb_error cb_row_code_get(cb_txn *txn, const cb_id *terminal, cb_terminal_code_row *out)
{
    cb_query q = cb_query_begin(
        txn->sql, "SELECT hash, expires, tries FROM terminal_code WHERE terminal = ?");
    cb_query_id(&q, terminal);
    bool found = cb_query_next(&q);
    if (found) {
        cb_column_digest(&q, 0, &out->hash);
        out->expires = cb_column_number(&q, 1);
        out->tries = (uint32_t)cb_column_number(&q, 2);
    }
    return cb_row_found(&q, found);
}

cb_error cb_row_terminal_state(cb_txn *txn, const cb_id *id, uint8_t state, int64_t changed)
{
    cb_query q =
        cb_query_begin(txn->sql, "UPDATE terminal SET state = ?, changed = ? WHERE id = ?");
    cb_query_text(&q, cb_row_state(cb_terminal_states, state));
    cb_query_number(&q, changed);
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

cb_error cb_row_terminal_describe(cb_txn *txn, const cb_terminal *terminal)
{
    cb_query q = cb_query_begin(
        txn->sql, "UPDATE terminal SET kind = ?, pad = ?, changed = ? WHERE id = ?");
    cb_query_number(&q, terminal->kind);
    cb_query_number(&q, terminal->pad);
    cb_query_number(&q, terminal->changed);
    cb_query_id(&q, &terminal->id);
    return cb_query_change_one(&q);
}

cb_error cb_row_terminal_each(cb_txn *txn, const cb_id *after, unsigned limit,
                              cb_terminal_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_terminal terminal;
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS
                                          " FROM terminal WHERE id > ? ORDER BY id LIMIT ?");
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    while (!error && cb_query_next(&q)) {
        read_terminal(&q, &terminal);
        error = q.error;
        if (!error && !terminal.all_services)
            error = read_services(txn, &terminal);
        if (!error)
            error = each(context, &terminal);
    }
    return cb_row_visited(&q, error);
}
