/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row.h"

#define COLUMNS                                                                                    \
    "id, holder, state, profile, level, sequence, created, changed, expires, due, binding, "       \
    "certificates, generation, own_expires"

cb_error cb_row_card_put(cb_txn *txn, const cb_card *card)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO card (" COLUMNS
                                          ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &card->id);
    cb_query_id(&q, &card->holder);
    cb_query_text(&q, cb_row_state(cb_card_states, card->state));
    cb_query_number(&q, card->profile);
    cb_query_number(&q, card->level);
    cb_query_number(&q, (int64_t)card->sequence);
    cb_query_number(&q, card->created);
    cb_query_number(&q, card->changed);
    cb_query_number(&q, card->expires);
    cb_query_number(&q, card->due);
    cb_query_blob(&q, cb_buf_bytes(&card->binding));
    cb_query_blob(&q, cb_buf_bytes(&card->certificates));
    cb_query_number(&q, card->generation);
    cb_query_number(&q, card->own_expires);
    return cb_query_run(&q);
}

static void read_card(cb_query *q, cb_card *out)
{
    cb_column_id(q, 0, &out->id);
    cb_column_id(q, 1, &out->holder);
    out->state = cb_column_state(q, 2, cb_card_states);
    out->profile = cb_column_byte(q, 3);
    out->level = cb_column_byte(q, 4);
    out->sequence = (uint64_t)cb_column_number(q, 5);
    out->created = cb_column_number(q, 6);
    out->changed = cb_column_number(q, 7);
    out->expires = cb_column_number(q, 8);
    out->due = cb_column_number(q, 9);
    cb_column_buf(q, 10, &out->binding);
    cb_column_buf(q, 11, &out->certificates);
    out->generation = cb_column_byte(q, 12);
    out->own_expires = cb_column_number(q, 13);
}

cb_error cb_row_card_get(cb_txn *txn, const cb_id *id, cb_card *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM card WHERE id = ?");
    cb_query_id(&q, id);
    bool found = cb_query_next(&q);
    if (found)
        read_card(&q, out);
    return cb_row_found(&q, found);
}

cb_error cb_row_card_state(cb_txn *txn, const cb_id *id, uint8_t state, int64_t changed)
{
    cb_query q = cb_query_begin(txn->sql, "UPDATE card SET state = ?, changed = ? WHERE id = ?");
    cb_query_text(&q, cb_row_state(cb_card_states, state));
    cb_query_number(&q, changed);
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

cb_error cb_row_card_renew(cb_txn *txn, const cb_card *card)
{
    cb_query q = cb_query_begin(txn->sql, "UPDATE card SET state = ?, sequence = ?, changed = ?, "
                                          "expires = ?, own_expires = ?, binding = ?, certificates = ? "
                                          "WHERE id = ?");
    cb_query_text(&q, cb_row_state(cb_card_states, card->state));
    cb_query_number(&q, (int64_t)card->sequence);
    cb_query_number(&q, card->changed);
    cb_query_number(&q, card->expires);
    cb_query_number(&q, card->own_expires);
    cb_query_blob(&q, cb_buf_bytes(&card->binding));
    cb_query_blob(&q, cb_buf_bytes(&card->certificates));
    cb_query_id(&q, &card->id);
    return cb_query_change_one(&q);
}

cb_error cb_row_card_generation(cb_txn *txn, const cb_id *id, uint8_t generation)
{
    cb_query q = cb_query_begin(txn->sql, "UPDATE card SET generation = ? WHERE id = ?");
    cb_query_number(&q, generation);
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

cb_error cb_row_generation_each(cb_txn *txn, cb_generation_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_query q =
        cb_query_begin(txn->sql, "SELECT generation, state, count(*) FROM card WHERE profile = 1 "
                                 "AND state IN ('issued', 'active', 'suspended') "
                                 "GROUP BY generation, state ORDER BY generation, state");
    while (!error && cb_query_next(&q)) {
        uint8_t generation = cb_column_byte(&q, 0), state = cb_column_state(&q, 1, cb_card_states);
        uint64_t cards = (uint64_t)cb_column_number(&q, 2);
        error = q.error ? q.error : each(context, generation, state, cards);
    }
    return cb_row_visited(&q, error);
}

cb_error cb_row_card_each(cb_txn *txn, const cb_id *holder, const cb_id *after, unsigned limit,
                          cb_card_visitor each, void *context)
{
    static const char of_all[] = "SELECT " COLUMNS " FROM card WHERE id > ? ORDER BY id LIMIT ?";
    static const char of_one[] =
        "SELECT " COLUMNS " FROM card WHERE holder = ? AND id > ? ORDER BY id LIMIT ?";
    cb_error error = CB_OK;
    cb_card card;
    cb_query q = cb_query_begin(txn->sql, holder ? of_one : of_all);
    if (holder)
        cb_query_id(&q, holder);
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    cb_card_init(&card);
    while (!error && cb_query_next(&q)) {
        read_card(&q, &card);
        error = q.error ? q.error : each(context, &card);
    }
    cb_card_free(&card);
    return cb_row_visited(&q, error);
}

cb_error cb_row_outstanding_each(cb_txn *txn, const char *state, const cb_id *after, unsigned limit,
                                 cb_card_visitor each, void *context)
{
    static const char of_all[] = "SELECT " COLUMNS " FROM card WHERE id > ? "
                                 "AND state NOT IN ('returned', 'destroyed') ORDER BY id LIMIT ?";
    static const char of_state[] = "SELECT " COLUMNS " FROM card WHERE state = ? AND id > ? "
                                   "AND state NOT IN ('returned', 'destroyed') ORDER BY id LIMIT ?";
    cb_error error = CB_OK;
    cb_card card;
    cb_query q = cb_query_begin(txn->sql, state ? of_state : of_all);
    if (state)
        cb_query_text(&q, state);
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, cb_row_limit(limit));
    cb_card_init(&card);
    while (!error && cb_query_next(&q)) {
        read_card(&q, &card);
        error = q.error ? q.error : each(context, &card);
    }
    cb_card_free(&card);
    return cb_row_visited(&q, error);
}

/* ---- Codes of holders ---- */

cb_error cb_row_suspension_code_set(cb_txn *txn, const cb_id *card, const cb_digest *hash)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO suspension_code (card, hash) VALUES (?, ?) "
                                          "ON CONFLICT (card) DO UPDATE SET hash = excluded.hash");
    cb_query_id(&q, card);
    cb_query_digest(&q, hash);
    return cb_query_run(&q);
}

cb_error cb_row_suspension_code_known(cb_txn *txn, const cb_id *card, bool *known)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT 1 FROM suspension_code WHERE card = ?");
    cb_query_id(&q, card);
    *known = cb_query_next(&q);
    cb_error error = cb_row_found(&q, *known);
    return error == CB_E_NOT_FOUND ? CB_OK : error;
}

cb_error cb_row_suspension_code_card(cb_txn *txn, const cb_digest *hash, cb_id *card)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT card FROM suspension_code WHERE hash = ?");
    cb_query_digest(&q, hash);
    bool found = cb_query_next(&q);
    if (found)
        cb_column_id(&q, 0, card);
    return cb_row_found(&q, found);
}
