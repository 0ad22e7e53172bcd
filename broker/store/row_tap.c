/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Intents and sessions.
 */
#include "broker/store/row.h"

#define INTENT "tap, leaf, card, holder, terminal, enrolment, key, service, reached, time"
#define SESSION "id, tap, leaf, card, holder, terminal, enrolment, service, kind, opened, expires"

/* ---- Intents ---- */

cb_error cb_row_intent_put(cb_txn *txn, const cb_intent_row *intent)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO intent (" INTENT
                                          ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &intent->tap);
    cb_query_number(&q, (int64_t)intent->leaf);
    cb_query_id(&q, &intent->card);
    cb_query_id(&q, &intent->holder);
    cb_query_id(&q, &intent->terminal);
    cb_query_id(&q, &intent->enrolment);
    cb_query_id(&q, &intent->key);
    cb_query_text(&q, intent->service);
    cb_query_number(&q, intent->reached);
    cb_query_number(&q, intent->time);
    return cb_query_run(&q);
}

static void read_intent(cb_query *q, cb_intent_row *out)
{
    cb_column_id(q, 0, &out->tap);
    out->leaf = (uint64_t)cb_column_number(q, 1);
    cb_column_id(q, 2, &out->card);
    cb_column_id(q, 3, &out->holder);
    cb_column_id(q, 4, &out->terminal);
    cb_column_id(q, 5, &out->enrolment);
    cb_column_id(q, 6, &out->key);
    cb_column_text(q, 7, out->service, sizeof out->service);
    out->reached = cb_column_byte(q, 8);
    out->time = cb_column_number(q, 9);
}

cb_error cb_row_intent_get(cb_txn *txn, const cb_id *tap, cb_intent_row *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " INTENT " FROM intent WHERE tap = ?");
    cb_query_id(&q, tap);
    bool found = cb_query_next(&q);
    if (found)
        read_intent(&q, out);
    return cb_row_found(&q, found);
}

cb_error cb_row_intent_end(cb_txn *txn, const cb_id *tap)
{
    cb_query q = cb_query_begin(txn->sql, "DELETE FROM intent WHERE tap = ?");
    cb_query_id(&q, tap);
    return cb_query_change_one(&q);
}

/* The statement for one kind of match, so that each uses its index. */
static cb_query begin_match(cb_txn *txn, const cb_tap_match *match, const char *const text[4])
{
    const cb_id *key = match->card       ? match->card
                       : match->terminal ? match->terminal
                                         : match->enrolment;
    unsigned which = match->card ? 0 : match->terminal ? 1 : match->enrolment ? 2 : 3;
    cb_query q = cb_query_begin(txn->sql, text[which]);
    if (key)
        cb_query_id(&q, key);
    return q;
}

cb_error cb_row_intent_each(cb_txn *txn, const cb_tap_match *match,
                            cb_error (*each)(void *context, const cb_intent_row *intent),
                            void *context)
{
    static const char *const text[4] = {
        "SELECT " INTENT " FROM intent WHERE card = ?",
        "SELECT " INTENT " FROM intent WHERE terminal = ?",
        "SELECT " INTENT " FROM intent WHERE enrolment = ?",
        "SELECT " INTENT " FROM intent",
    };
    cb_error error = CB_OK;
    cb_intent_row intent;
    cb_query q = begin_match(txn, match, text);
    while (!error && cb_query_next(&q)) {
        read_intent(&q, &intent);
        error = q.error ? q.error : each(context, &intent);
    }
    return cb_row_visited(&q, error);
}

/* ---- Sessions ---- */

cb_error cb_row_session_put(cb_txn *txn, const cb_session_row *session)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT INTO session (" SESSION
                                          ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    cb_query_id(&q, &session->id);
    cb_query_id(&q, &session->tap);
    cb_query_number(&q, (int64_t)session->leaf);
    cb_query_id(&q, &session->card);
    cb_query_id(&q, &session->holder);
    cb_query_id(&q, &session->terminal);
    cb_query_id(&q, &session->enrolment);
    cb_query_text(&q, session->service);
    cb_query_number(&q, session->kind);
    cb_query_number(&q, session->opened);
    cb_query_number(&q, session->expires);
    return cb_query_run(&q);
}

static void read_session(cb_query *q, cb_session_row *out)
{
    cb_column_id(q, 0, &out->id);
    cb_column_id(q, 1, &out->tap);
    out->leaf = (uint64_t)cb_column_number(q, 2);
    cb_column_id(q, 3, &out->card);
    cb_column_id(q, 4, &out->holder);
    cb_column_id(q, 5, &out->terminal);
    cb_column_id(q, 6, &out->enrolment);
    cb_column_text(q, 7, out->service, sizeof out->service);
    out->kind = cb_column_byte(q, 8);
    out->opened = cb_column_number(q, 9);
    out->expires = cb_column_number(q, 10);
}

cb_error cb_row_session_get(cb_txn *txn, const cb_id *id, cb_session_row *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " SESSION " FROM session WHERE id = ?");
    cb_query_id(&q, id);
    bool found = cb_query_next(&q);
    if (found)
        read_session(&q, out);
    return cb_row_found(&q, found);
}

cb_error cb_row_session_end(cb_txn *txn, const cb_id *id)
{
    cb_query q = cb_query_begin(txn->sql, "DELETE FROM session WHERE id = ?");
    cb_query_id(&q, id);
    return cb_query_change_one(&q);
}

static cb_error visit_sessions(cb_query *q, cb_session_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_session_row session;
    while (!error && cb_query_next(q)) {
        read_session(q, &session);
        error = q->error ? q->error : each(context, &session);
    }
    return cb_row_visited(q, error);
}

cb_error cb_row_session_each(cb_txn *txn, const cb_tap_match *match, cb_session_visitor each,
                             void *context)
{
    static const char *const text[4] = {
        "SELECT " SESSION " FROM session WHERE card = ?",
        "SELECT " SESSION " FROM session WHERE terminal = ?",
        "SELECT " SESSION " FROM session WHERE enrolment = ?",
        "SELECT " SESSION " FROM session",
    };
    cb_query q = begin_match(txn, match, text);
    return visit_sessions(&q, each, context);
}
