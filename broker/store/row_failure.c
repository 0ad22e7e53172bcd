/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/row_failure.h"

#include "broker/store/row.h"

#define COUNTS "wrong_pins, proofs, told_pins, passwords"
#define REST                                                                                       \
    "pins_row, proofs_row, last, day, pins_today, claims_today, window, counted, proofs_seen, "    \
    "accepted"

static const char *const kinds[] = {NULL, "wrong_pin", "proof", "told_pin", "password"};
static const char *const subjects[] = {NULL, "card", "holder", "terminal"};

static uint8_t find(const char *const *names, uint8_t count, const char *name)
{
    for (uint8_t i = 1; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return 0;
}

const char *cb_failure_name(uint8_t kind) { return kind < 5 ? kinds[kind] : NULL; }
uint8_t cb_failure_named(const char *name) { return find(kinds, 5, name); }
const char *cb_failing_name(uint8_t of) { return of < 4 ? subjects[of] : NULL; }
uint8_t cb_failing_named(const char *name) { return find(subjects, 4, name); }

/* ---- One subject ---- */

static void read_counts(cb_query *q, int column, uint64_t count[CB_FAILURE_KINDS])
{
    count[CB_FAILURE_NONE] = 0;
    for (int i = 1; i < CB_FAILURE_KINDS; i++)
        count[i] = (uint64_t)cb_column_number(q, column + i - 1);
}

static void read_row(cb_query *q, int column, cb_failure_row *out)
{
    read_counts(q, column, out->count);
    out->pins_row = (uint64_t)cb_column_number(q, column + 4);
    out->proofs_row = (uint64_t)cb_column_number(q, column + 5);
    out->last = cb_column_number(q, column + 6);
    out->day = cb_column_number(q, column + 7);
    out->pins_today = (uint64_t)cb_column_number(q, column + 8);
    out->claims_today = (uint64_t)cb_column_number(q, column + 9);
    out->window = cb_column_number(q, column + 10);
    out->counted = (uint64_t)cb_column_number(q, column + 11);
    out->proofs_seen = (uint64_t)cb_column_number(q, column + 12);
    out->accepted = (uint64_t)cb_column_number(q, column + 13);
}

cb_error cb_row_failure_get(cb_txn *txn, uint8_t of, const cb_id *id, cb_failure_row *out)
{
    cb_query q = cb_query_begin(txn->sql, "SELECT " COUNTS ", " REST
                                          " FROM failure WHERE kind = ? AND subject = ?");
    *out = (cb_failure_row){.last = 0};
    cb_query_text(&q, cb_failing_name(of));
    cb_query_id(&q, id);
    if (cb_query_next(&q))
        read_row(&q, 0, out);
    return cb_query_end(&q);
}

cb_error cb_row_failure_set(cb_txn *txn, uint8_t of, const cb_id *id, const cb_failure_row *row)
{
    cb_query q = cb_query_begin(txn->sql, "INSERT OR REPLACE INTO failure (kind, subject, " COUNTS
                                          ", " REST ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                                          "?, ?, ?, ?)");
    cb_query_text(&q, cb_failing_name(of));
    cb_query_id(&q, id);
    for (int i = 1; i < CB_FAILURE_KINDS; i++)
        cb_query_number(&q, (int64_t)row->count[i]);
    cb_query_number(&q, (int64_t)row->pins_row);
    cb_query_number(&q, (int64_t)row->proofs_row);
    cb_query_number(&q, row->last);
    cb_query_number(&q, row->day);
    cb_query_number(&q, (int64_t)row->pins_today);
    cb_query_number(&q, (int64_t)row->claims_today);
    cb_query_number(&q, row->window);
    cb_query_number(&q, (int64_t)row->counted);
    cb_query_number(&q, (int64_t)row->proofs_seen);
    cb_query_number(&q, (int64_t)row->accepted);
    return cb_query_run(&q);
}

cb_error cb_row_failure_end(cb_txn *txn, uint8_t of, const cb_id *id, bool with_pin)
{
    cb_query q = cb_query_begin(
        txn->sql, "UPDATE failure SET proofs_row = 0, pins_row = iif(?3, 0, pins_row), "
                  "accepted = accepted + (kind = 'terminal') WHERE kind = ?1 AND subject = ?2");
    cb_query_text(&q, cb_failing_name(of));
    cb_query_id(&q, id);
    cb_query_number(&q, with_pin);
    return cb_query_run(&q);
}

cb_error cb_row_failure_forgive(cb_txn *txn, uint8_t of, const cb_id *id)
{
    cb_query q =
        cb_query_begin(txn->sql, "UPDATE failure SET proofs_row = 0, pins_row = 0, pins_today = 0, "
                                 "claims_today = 0, counted = 0, proofs_seen = 0, accepted = 0 "
                                 "WHERE kind = ? AND subject = ?");
    cb_query_text(&q, cb_failing_name(of));
    cb_query_id(&q, id);
    cb_error error = cb_query_run(&q);
    return error || of != CB_OF_TERMINAL ? error : cb_row_failure_at_clear(txn, id);
}

/* ---- Days ---- */

static cb_error forget_oldest(cb_txn *txn, uint8_t of, const cb_id *id)
{
    cb_query q = cb_query_begin(
        txn->sql, "DELETE FROM failure_day WHERE kind = ?1 AND subject = ?2 AND day <= "
                  "(SELECT day FROM failure_day WHERE kind = ?1 AND subject = ?2 "
                  "ORDER BY day DESC LIMIT 1 OFFSET ?3)");
    cb_query_text(&q, cb_failing_name(of));
    cb_query_id(&q, id);
    cb_query_number(&q, CB_FAILURE_DAYS);
    return cb_query_run(&q);
}

cb_error cb_row_failure_day(cb_txn *txn, uint8_t of, const cb_id *id, int64_t day, uint8_t kind,
                            uint64_t count)
{
    cb_query q = cb_query_begin(
        txn->sql,
        "INSERT INTO failure_day (kind, subject, day, " COUNTS ") VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (kind, subject, day) DO UPDATE SET "
        "wrong_pins = wrong_pins + excluded.wrong_pins, proofs = proofs + excluded.proofs, "
        "told_pins = told_pins + excluded.told_pins, passwords = passwords + excluded.passwords");
    cb_query_text(&q, cb_failing_name(of));
    cb_query_id(&q, id);
    cb_query_number(&q, day);
    for (uint8_t i = 1; i < CB_FAILURE_KINDS; i++)
        cb_query_number(&q, i == kind ? (int64_t)count : 0);
    cb_error error = cb_query_run(&q);
    return error ? error : forget_oldest(txn, of, id);
}

cb_error cb_row_failure_day_take(cb_txn *txn, uint8_t of, const cb_id *id, int64_t day)
{
    cb_query q = cb_query_begin(txn->sql, "UPDATE failure_day SET proofs = max(proofs - 1, 0) "
                                          "WHERE kind = ? AND subject = ? AND day = ?");
    cb_query_text(&q, cb_failing_name(of));
    cb_query_id(&q, id);
    cb_query_number(&q, day);
    return cb_query_run(&q);
}

/* ---- What a terminal's window has of each card ---- */

cb_error cb_row_failure_at(cb_txn *txn, const cb_id *terminal, const cb_id *card, uint64_t *count)
{
    cb_query q =
        cb_query_begin(txn->sql, "SELECT counted FROM failure_at WHERE terminal = ? AND card = ?");
    cb_query_id(&q, terminal);
    cb_query_id(&q, card);
    *count = cb_query_next(&q) ? (uint64_t)cb_column_number(&q, 0) : 0;
    return cb_query_end(&q);
}

cb_error cb_row_failure_at_add(cb_txn *txn, const cb_id *terminal, const cb_id *card)
{
    cb_query q = cb_query_begin(txn->sql,
                                "INSERT INTO failure_at (terminal, card, counted) VALUES (?, ?, 1) "
                                "ON CONFLICT (terminal, card) DO UPDATE SET counted = counted + 1");
    cb_query_id(&q, terminal);
    cb_query_id(&q, card);
    return cb_query_run(&q);
}

cb_error cb_row_failure_at_take(cb_txn *txn, const cb_id *terminal, const cb_id *card)
{
    cb_query q = cb_query_begin(txn->sql, "UPDATE failure_at SET counted = max(counted - 1, 0) "
                                          "WHERE terminal = ? AND card = ?");
    cb_query_id(&q, terminal);
    cb_query_id(&q, card);
    return cb_query_run(&q);
}

cb_error cb_row_failure_at_clear(cb_txn *txn, const cb_id *terminal)
{
    cb_query q = cb_query_begin(txn->sql, "DELETE FROM failure_at WHERE terminal = ?");
    cb_query_id(&q, terminal);
    return cb_query_run(&q);
}

/* ---- Reading ---- */

cb_error cb_row_failure_each(cb_txn *txn, const cb_failure_query *query, cb_failure_visitor each,
                             void *context)
{
    cb_error error = CB_OK;
    cb_failure_day day;
    char of[16];
    const cb_failure_day newest = {.day = query->to + 1}; /* before all there is on that day */
    const cb_failure_day *after =
        query->after && query->after->day <= query->to ? query->after : &newest;
    cb_query q =
        cb_query_begin(txn->sql, "SELECT kind, subject, day, " COUNTS " FROM failure_day "
                                 "WHERE day >= ?1 AND (day, kind, subject) < (?2, ?3, ?4) "
                                 "AND (?5 IS NULL OR kind = ?5) "
                                 "AND wrong_pins + proofs + told_pins + passwords >= ?6 "
                                 "ORDER BY day DESC, kind DESC, subject DESC LIMIT ?7");
    cb_query_number(&q, query->from);
    cb_query_number(&q, after->day);
    cb_query_text(&q, after->of ? cb_failing_name(after->of) : "");
    cb_query_id(&q, &after->id);
    cb_query_text(&q, cb_failing_name(query->of));
    cb_query_number(&q, (int64_t)query->least);
    cb_query_number(&q, cb_row_limit(query->limit));
    while (!error && cb_query_next(&q)) {
        cb_column_text(&q, 0, of, sizeof of);
        day.of = cb_failing_named(of);
        cb_column_id(&q, 1, &day.id);
        day.day = cb_column_number(&q, 2);
        read_counts(&q, 3, day.count);
        error = q.error ? q.error : each(context, &day);
    }
    return cb_row_visited(&q, error);
}

cb_error cb_row_failure_all(cb_txn *txn, cb_failure_row_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_query q = cb_query_begin(
        txn->sql,
        "SELECT f.kind, f.subject, f.wrong_pins, f.proofs, f.told_pins, f.passwords, f.pins_row, "
        "f.proofs_row, f.last, f.day, f.pins_today, f.claims_today, f.window, f.counted, "
        "f.proofs_seen, f.accepted, coalesce(sum(d.wrong_pins), 0), coalesce(sum(d.proofs), 0), "
        "coalesce(sum(d.told_pins), 0), coalesce(sum(d.passwords), 0), count(d.day) "
        "FROM failure f LEFT JOIN failure_day d ON d.kind = f.kind AND d.subject = f.subject "
        "GROUP BY f.kind, f.subject");
    while (!error && cb_query_next(&q)) {
        cb_failure_row row;
        uint64_t days[CB_FAILURE_KINDS];
        cb_id id;
        char of[16];
        cb_column_text(&q, 0, of, sizeof of);
        cb_column_id(&q, 1, &id);
        read_row(&q, 2, &row);
        read_counts(&q, 16, days);
        error = q.error ? q.error
                        : each(context, cb_failing_named(of), &id, &row, days,
                               (unsigned)cb_column_number(&q, 20));
    }
    return cb_row_visited(&q, error);
}
