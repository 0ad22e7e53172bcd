/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How cards were issued, and which of them are over.
 */
#include "broker/store/row.h"

#define COLUMNS "card, day, operator, station, manufacturer, serial, application, replaces"

static void bind_known(cb_query *q, const cb_id *id)
{
    static const cb_id none;
    cb_query_id(q, cb_id_same(id, &none) ? NULL : id);
}

cb_error cb_row_issue_put(cb_txn *txn, const cb_issue_row *issue)
{
    cb_query q =
        cb_query_begin(txn->sql, "INSERT INTO issue (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &issue->card);
    cb_query_number(&q, issue->day);
    cb_query_text(&q, issue->operator);
    cb_query_text(&q, issue->station);
    cb_query_text(&q, issue->manufacturer);
    cb_query_text(&q, issue->serial);
    bind_known(&q, &issue->application);
    bind_known(&q, &issue->replaces);
    return cb_query_run(&q);
}

static void read_issue(cb_query *q, cb_issue_row *out)
{
    cb_column_id(q, 0, &out->card);
    out->day = cb_column_number(q, 1);
    cb_column_text(q, 2, out->operator, sizeof out->operator);
    cb_column_text(q, 3, out->station, sizeof out->station);
    cb_column_text(q, 4, out->manufacturer, sizeof out->manufacturer);
    cb_column_text(q, 5, out->serial, sizeof out->serial);
    cb_column_known_id(q, 6, &out->application);
    cb_column_known_id(q, 7, &out->replaces);
}

cb_error cb_row_issue_each(cb_txn *txn, bool without_application, const cb_id *after,
                           unsigned limit, cb_issue_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_issue_row row;
    cb_query q = cb_query_begin(txn->sql, "SELECT " COLUMNS " FROM issue WHERE card > ?1 "
                                          "AND (?2 = 0 OR application IS NULL) "
                                          "ORDER BY card LIMIT ?3");
    cb_query_id(&q, cb_row_after(after));
    cb_query_number(&q, without_application);
    cb_query_number(&q, cb_row_limit(limit));
    while (!error && cb_query_next(&q)) {
        read_issue(&q, &row);
        error = q.error ? q.error : each(context, &row);
    }
    return cb_row_visited(&q, error);
}

static void read_count(cb_query *q, cb_issue_row *out)
{
    out->day = cb_column_number(q, 0);
    cb_column_text(q, 1, out->operator, sizeof out->operator);
    cb_column_text(q, 2, out->station, sizeof out->station);
    cb_column_id(q, 3, &out->card);
}

/* With what this card is counted. */
static cb_error counted_with(cb_txn *txn, const cb_id *card, cb_issue_row *out)
{
    cb_query q = cb_query_begin(txn->sql,
                                "SELECT day, operator, station, card FROM issue WHERE card = ?");
    cb_query_id(&q, card);
    bool found = cb_query_next(&q);
    if (found)
        read_count(&q, out);
    cb_error error = cb_query_end(&q);
    return error ? error : found ? CB_OK : CB_E_NOT_FOUND;
}

cb_error cb_row_issued_each(cb_txn *txn, int64_t from, int64_t to, const cb_id *after,
                            unsigned limit, cb_issued_visitor each, void *context)
{
    /* What the query is asked with stays as it is while it runs. */
    cb_issue_row row, last = {.day = from}; /* before all there is on that day */
    cb_error error = cb_id_is_zero(after) ? CB_OK : counted_with(txn, after, &last);
    if (error)
        return error;
    if (last.day < from)
        last = (cb_issue_row){.day = from};
    cb_query q = cb_query_begin(txn->sql,
                                "SELECT day, operator, station, min(card), count(*) FROM issue "
                                "WHERE day <= ? AND (day, operator, station) > (?, ?, ?) "
                                "GROUP BY day, operator, station "
                                "ORDER BY day, operator, station LIMIT ?");
    cb_query_number(&q, to);
    cb_query_number(&q, last.day);
    cb_query_text(&q, last.operator);
    cb_query_text(&q, last.station);
    cb_query_number(&q, cb_row_limit(limit));
    while (!error && cb_query_next(&q)) {
        read_count(&q, &row);
        uint64_t cards = (uint64_t)cb_column_number(&q, 4);
        error = q.error ? q.error : each(context, &row, cards);
    }
    return cb_row_visited(&q, error);
}

cb_error cb_row_card_due(cb_txn *txn, const cb_id *id, int64_t due)
{
    cb_query q = cb_query_begin(txn->sql, "UPDATE card SET due = ? WHERE id = ?");
    cb_query_number(&q, due);
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

cb_error cb_row_card_over(cb_txn *txn, bool due, int64_t by, cb_id *out, size_t most, size_t *count)
{
    /* Asked every few seconds. Left to itself, SQLite looks at every card in these states. */
    static const char expired[] =
        "SELECT id FROM card INDEXED BY card_expires WHERE expires > 0 AND expires <= ? "
        "AND state IN ('issued', 'active', 'suspended') ORDER BY expires LIMIT ?";
    static const char not_returned[] =
        "SELECT id FROM card INDEXED BY card_due WHERE due > 0 AND due <= ? "
        "AND state IN ('issued', 'active', 'suspended', 'expired') ORDER BY due LIMIT ?";
    *count = 0;
    cb_query q = cb_query_begin(txn->sql, due ? not_returned : expired);
    cb_query_number(&q, by);
    cb_query_number(&q, (int64_t)most);
    while (*count < most && cb_query_next(&q))
        cb_column_id(&q, 0, &out[(*count)++]);
    return cb_query_end(&q);
}
