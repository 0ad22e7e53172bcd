/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row.h"

#define COLUMNS "id, holder, service, state, data, created, changed"

cb_error cb_row_enrolment_put(cb_txn *txn, const cb_enrolment *enrolment)
{
    cb_buf data = CB_BUF(CB_ENROLMENT_DATA_MAX + 1);
    cb_buf_put(&data, cb_buf_bytes(&enrolment->data));
    const char *text = cb_buf_cstr(&data);
    if (!text) {
        cb_error error = cb_buf_error(&data);
        cb_buf_free(&data);
        return error;
    }
    cb_query q = cb_query_begin(txn->sql,
                                "INSERT INTO enrolment (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &enrolment->id);
    cb_query_id(&q, &enrolment->holder);
    cb_query_text(&q, enrolment->service);
    cb_query_text(&q, cb_row_state(cb_enrolment_states, enrolment->state));
    cb_query_text(&q, text);
    cb_query_number(&q, enrolment->created);
    cb_query_number(&q, enrolment->changed);
    cb_error error = cb_query_run(&q);
    cb_buf_free(&data);
    return error;
}

static void read_enrolment(cb_query *q, cb_enrolment *out)
{
    cb_column_id(q, 0, &out->id);
    cb_column_id(q, 1, &out->holder);
    cb_column_text(q, 2, out->service, sizeof out->service);
    out->state = cb_column_state(q, 3, cb_enrolment_states);
    cb_column_buf(q, 4, &out->data);
    out->created = cb_column_number(q, 5);
    out->changed = cb_column_number(q, 6);
}

static void forget_key(cb_enrolment_key *key)
{
    key->id = (cb_id){{0}};
    cb_buf_reset(&key->sealed);
    cb_buf_reset(&key->public_key);
    cb_buf_reset(&key->certificate);
    cb_buf_reset(&key->chain);
}

static void read_key(cb_query *q, cb_enrolment_key *out)
{
    cb_column_id(q, 1, &out->id);
    out->algorithm = cb_column_byte(q, 2);
    out->level = cb_column_byte(q, 3);
    out->sequence = (uint64_t)cb_column_number(q, 4);
    cb_column_buf(q, 5, &out->sealed);
    cb_column_buf(q, 6, &out->public_key);
    cb_column_buf(q, 7, &out->certificate);
    cb_column_buf(q, 8, &out->chain);
}

static cb_error read_keys(cb_txn *txn, cb_enrolment *out)
{
    forget_key(&out->current);
    forget_key(&out->next);
    cb_query q = cb_query_begin(
        txn->sql, "SELECT state, id, algorithm, level, sequence, sealed, public_key, certificate, "
                  "chain FROM enrolment_key WHERE enrolment = ? AND state <> 'retired'");
    cb_query_id(&q, &out->id);
    while (cb_query_next(&q)) {
        char state[16];
        cb_column_text(&q, 0, state, sizeof state);
        read_key(&q, strcmp(state, "current") == 0 ? &out->current : &out->next);
    }
    return cb_query_end(&q);
}

static cb_error get_one(cb_txn *txn, cb_query *q, cb_enrolment *out)
{
    bool found = cb_query_next(q);
    if (found)
        read_enrolment(q, out);
    cb_error error = cb_row_found(q, found);
    return error ? error : read_keys(txn, out);
}

cb_error cb_row_enrolment_get(cb_txn *txn, const cb_id *id, cb_enrolment *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM enrolment WHERE id = ?");
    cb_query_id(&q, id);
    return get_one(txn, &q, out);
}

cb_error cb_row_enrolment_find(cb_txn *txn, const cb_id *holder, const char *service,
                               cb_enrolment *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM enrolment "
                                          "WHERE holder = ? AND service = ? "
                                          "AND state <> 'removed'");
    cb_query_id(&q, holder);
    cb_query_text(&q, service);
    return get_one(txn, &q, out);
}

cb_error cb_row_enrolment_state(cb_txn *txn, const cb_id *id, uint8_t state, int64_t changed)
{
    cb_query q =
        cb_query_begin(txn->sql, "UPDATE enrolment SET state = ?, changed = ? WHERE id = ?");
    cb_query_text(&q, cb_row_state(cb_enrolment_states, state));
    cb_query_number(&q, changed);
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

static cb_query begin_each(cb_txn *txn, const cb_id *holder, const char *service)
{
    static const char all[] = "SELECT " COLUMNS " FROM enrolment WHERE id > ? ORDER BY id LIMIT ?";
    static const char of_holder[] =
        "SELECT " COLUMNS " FROM enrolment WHERE holder = ? AND id > ? ORDER BY id LIMIT ?";
    static const char of_service[] =
        "SELECT " COLUMNS " FROM enrolment WHERE service = ? AND id > ? ORDER BY id LIMIT ?";
    /* Left to itself, SQLite looks at all who are enrolled at the service. */
    static const char of_both[] = "SELECT " COLUMNS " FROM enrolment INDEXED BY enrolment_of_holder "
                                  "WHERE holder = ? AND service = ? AND id > ? ORDER BY id LIMIT ?";
    const char *one = holder ? of_holder : of_service;
    cb_query q = cb_query_begin(txn->sql, holder && service   ? of_both
                                          : holder || service ? one
                                                              : all);
    if (holder)
        cb_query_id(&q, holder);
    if (service)
        cb_query_text(&q, service);
    return q;
}

cb_error cb_row_enrolment_each(cb_txn *txn, const cb_id *holder, const char *service,
                               const cb_id *after, unsigned limit, cb_enrolment_visitor each,
                               void *context)
{
    cb_error error = CB_OK;
    cb_enrolment enrolment;
    cb_query q = begin_each(txn, holder, service);
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    cb_enrolment_init(&enrolment);
    while (!error && cb_query_next(&q)) {
        read_enrolment(&q, &enrolment);
        error = q.error ? q.error : read_keys(txn, &enrolment);
        if (!error)
            error = each(context, &enrolment);
    }
    cb_enrolment_free(&enrolment);
    return cb_row_visited(&q, error);
}

/* ---- Keys ---- */

cb_error cb_row_key_put(cb_txn *txn, const cb_id *enrolment, bool current,
                        const cb_enrolment_key *key)
{
    cb_query q = cb_query_begin(
        txn->sql, "INSERT INTO enrolment_key (id, enrolment, state, algorithm, level, sequence, "
                  "sealed, public_key, certificate, chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &key->id);
    cb_query_id(&q, enrolment);
    cb_query_text(&q, current ? "current" : "next");
    cb_query_number(&q, key->algorithm);
    cb_query_number(&q, key->level);
    cb_query_number(&q, (int64_t)key->sequence);
    cb_query_blob(&q, cb_buf_bytes(&key->sealed));
    cb_query_blob(&q, cb_buf_bytes(&key->public_key));
    cb_query_blob(&q, cb_buf_bytes(&key->certificate));
    cb_query_blob(&q, cb_buf_bytes(&key->chain));
    return cb_query_run(&q);
}

cb_error cb_row_key_certificate(cb_txn *txn, const cb_id *key, cb_bytes certificate, cb_bytes chain)
{
    cb_query q = cb_query_begin(txn->sql,
                                "UPDATE enrolment_key SET certificate = ?, chain = ? WHERE id = ?");
    cb_query_blob(&q, certificate);
    cb_query_blob(&q, chain);
    cb_query_id(&q, key);
    return cb_query_change_one(&q);
}

cb_error cb_row_key_sealed(cb_txn *txn, const cb_id *key, cb_bytes sealed)
{
    cb_query q = cb_query_begin(
        txn->sql, "UPDATE enrolment_key SET sealed = ? WHERE id = ? AND state <> 'retired'");
    cb_query_blob(&q, sealed);
    cb_query_id(&q, key);
    return cb_query_change_one(&q);
}

cb_error cb_row_key_promote(cb_txn *txn, const cb_id *key)
{
    cb_query q = cb_query_begin(
        txn->sql, "UPDATE enrolment_key SET state = 'current' WHERE id = ? AND state = 'next'");
    cb_query_id(&q, key);
    return cb_query_change_one(&q);
}

cb_error cb_row_key_retire(cb_txn *txn, const cb_id *key)
{
    cb_query q = cb_query_begin(txn->sql, "UPDATE enrolment_key SET state = 'retired', "
                                          "sealed = NULL WHERE id = ? AND state <> 'retired'");
    cb_query_id(&q, key);
    return cb_query_change_one(&q);
}
