/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/row_lines.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/store/row.h"

enum { COLUMNS = 12, TEXT = 512 };

typedef enum how {
    END,
    TIME,
    WORDS, /* text */
    NUMBER,
    ID,
    DIGEST, /* as it is */
    DIGEST_OF
} how;

/* The first column is the row's identifier; then one for each line. NULL and empty text are no
 * line. */
static const struct {
    char kind;
    const char *sql;
    struct {
        how how;
        uint8_t part;
        const char *line;
    } column[COLUMNS];
} tables[] = {
    {'h', "SELECT id, created FROM holder", {{TIME, 0, "time"}}},
    /* A day that does not follow from the time is a line that no leaf has. */
    {'c',
     "SELECT c.id, iif(i.card IS NULL, NULL, c.created), "
     "nullif(i.day, c.created / 86400000000), i.operator, i.station, i.manufacturer, i.serial, "
     "i.replaces, i.application, c.holder, c.sequence, c.binding, c.changed "
     "FROM card AS c LEFT JOIN issue AS i ON i.card = c.id",
     {{TIME, 0, "time"},
      {NUMBER, 0, "day"},
      {WORDS, 0, "actor"},
      {WORDS, 0, "station"},
      {WORDS, 0, "manufacturer"},
      {WORDS, 0, "serial"},
      {ID, 0, "replaces"},
      {ID, 0, "application"},
      {ID, 1, "holder"},
      {NUMBER, 1, "sequence"},
      {DIGEST_OF, 1, "binding_sha256"},
      {TIME, 2, "time"}}},
    {'a',
     "SELECT id, created, holder, profile, reason, operator, approver, 'application.' || state, "
     "changed, card FROM application",
     {{TIME, 0, "time"},
      {ID, 0, "holder"},
      {NUMBER, 0, "profile"},
      {WORDS, 0, "for"},
      {WORDS, 0, "operator"},
      {WORDS, 1, "actor"},
      {WORDS, 2, "kind"},
      {TIME, 2, "time"},
      {ID, 2, "of_card"}}},
    {'g',
     "SELECT code, created, operator, holder, profiles, level, expires, replaces, "
     "'registration.' || iif(state = 'open', 'allowed', state), changed, card, terminal "
     "FROM registration",
     {{TIME, 0, "time"},
      {WORDS, 0, "actor"},
      {ID, 0, "holder"},
      {NUMBER, 0, "profiles"},
      {NUMBER, 0, "level"},
      {NUMBER, 0, "expires"},
      {ID, 0, "replaces"},
      {WORDS, 2, "kind"},
      {TIME, 2, "time"},
      {ID, 2, "card"},
      {ID, 2, "terminal"}}},
    {'m',
     "SELECT zeroblob(16), time, actor, kind, manufacturer, serial, delivery, card, application "
     "FROM mismatch",
     {{TIME, 0, "time"},
      {WORDS, 0, "actor"},
      {WORDS, 0, "what"},
      {WORDS, 0, "manufacturer"},
      {WORDS, 0, "serial"},
      {WORDS, 0, "delivery"},
      {ID, 0, "of_card"},
      {ID, 0, "application"}}},
    {'t', "SELECT id, created, changed FROM terminal", {{TIME, 0, "time"}, {TIME, 2, "time"}}},
    {'o',
     "SELECT terminal, hash, expires FROM terminal_code",
     {{DIGEST, 0, "code_sha256"}, {NUMBER, 0, "code_expires"}}},
    {'p',
     "SELECT terminal, version, program, config FROM terminal_software WHERE version <> ''",
     {{WORDS, 0, "version"}, {DIGEST, 0, "program_sha256"}, {DIGEST, 0, "config_sha256"}}},
    {'u',
     "SELECT terminal, began, reason, card, holder, until FROM terminal_maintenance",
     {{TIME, 0, "time"},
      {WORDS, 0, "reason"},
      {ID, 0, "card"},
      {ID, 0, "holder"},
      {NUMBER, 0, "maintenance_until"}}},
    {'n',
     "SELECT tap, time, card, holder, terminal, key, service, reached, leaf FROM intent",
     {{TIME, 0, "time"},
      {ID, 0, "card"},
      {ID, 0, "holder"},
      {ID, 0, "terminal"},
      {ID, 0, "key"},
      {WORDS, 0, "service"},
      {NUMBER, 0, "reached"},
      {NUMBER, 0, "leaf"}}},
    {'v',
     "SELECT id, opened, tap, card, holder, terminal, enrolment, service, leaf FROM session",
     {{TIME, 0, "time"},
      {ID, 0, "tap"},
      {ID, 0, "card"},
      {ID, 0, "holder"},
      {ID, 0, "terminal"},
      {ID, 0, "enrolment"},
      {WORDS, 0, "service"},
      {NUMBER, 0, "leaf"}}},
};

enum { TABLES = sizeof tables / sizeof *tables };

static void put_line(cb_query *q, int column, how as, const char *name, cb_buf *lines)
{
    char text[TEXT];
    cb_id id;
    cb_digest digest;
    switch (as) {
    case END:
        break;
    case TIME:
        cb_time_text(cb_column_number(q, column), text);
        cb_leaf_text(lines, name, text);
        break;
    case WORDS:
        cb_column_text(q, column, text, sizeof text);
        if (text[0])
            cb_leaf_text(lines, name, text);
        break;
    case NUMBER:
        cb_leaf_number(lines, name, (uint64_t)cb_column_number(q, column));
        break;
    case ID:
        cb_column_id(q, column, &id);
        cb_leaf_id(lines, name, &id);
        break;
    case DIGEST:
        cb_column_digest(q, column, &digest);
        cb_leaf_hex(lines, name, cb_digest_bytes(&digest));
        break;
    case DIGEST_OF:
        digest = cb_sha256(cb_column_bytes(q, column));
        cb_leaf_hex(lines, name, cb_digest_bytes(&digest));
        break;
    }
}

static cb_error read_row(cb_query *q, size_t table, cb_buf part[CB_ROW_PARTS], cb_row_lines *row)
{
    for (size_t i = 0; i < CB_ROW_PARTS; i++)
        cb_buf_reset(&part[i]);
    cb_column_id(q, 0, &row->id);
    row->kind = tables[table].kind;
    for (int i = 0; i < COLUMNS && tables[table].column[i].how != END; i++) {
        if (!cb_column_is_null(q, i + 1))
            put_line(q, i + 1, tables[table].column[i].how, tables[table].column[i].line,
                     &part[tables[table].column[i].part]);
    }
    for (size_t i = 0; i < CB_ROW_PARTS && !q->error; i++) {
        row->part[i] = cb_buf_bytes(&part[i]);
        q->error = cb_buf_error(&part[i]);
    }
    return q->error;
}

cb_error cb_row_lines_each(cb_txn *txn, cb_row_lines_visitor each, void *context)
{
    cb_error error = CB_OK;
    cb_buf part[CB_ROW_PARTS];
    cb_row_lines row;
    for (size_t i = 0; i < CB_ROW_PARTS; i++)
        part[i] = CB_BUF(CB_LEAF_MAX);
    for (size_t i = 0; i < TABLES && !error; i++) {
        cb_query q = cb_query_begin(txn->sql, tables[i].sql);
        while (!error && cb_query_next(&q)) {
            error = read_row(&q, i, part, &row);
            if (!error)
                error = each(context, &row);
        }
        cb_error end = cb_query_end(&q);
        error = error ? error : end;
    }
    for (size_t i = 0; i < CB_ROW_PARTS; i++)
        cb_buf_free(&part[i]);
    return error;
}

cb_error cb_row_lines_issues_since(cb_txn *txn, int64_t *out)
{
    return cb_sql_number(
        txn->sql, "SELECT coalesce(max(applied), 0) FROM schema_migration WHERE number = 4", out);
}

/* ---- Stock ---- */

static void read_stock(cb_query *q, cb_stock_lines *row)
{
    row->is_batch = cb_column_number(q, 0) != 0;
    cb_column_text(q, 1, row->manufacturer, sizeof row->manufacturer);
    cb_column_text(q, 2, row->name, sizeof row->name);
    cb_column_id(q, 3, &row->batch);
    cb_column_text(q, 4, row->state, sizeof row->state);
    cb_column_text(q, 5, row->delivery, sizeof row->delivery);
    row->received = cb_column_number(q, 6) != 0;
    row->issued = cb_column_number(q, 7) != 0;
}

cb_error cb_stock_lines_each(cb_txn *txn, cb_stock_lines_visitor each, void *context,
                             uint64_t *issued)
{
    static const char *const queries[] = {
        "SELECT 1, manufacturer, name, id, '', '', 0, 0 FROM batch",
        "SELECT 0, s.manufacturer, s.serial, s.batch, s.state, s.delivery, s.line > 0, "
        "i.card IS NOT NULL FROM stock AS s LEFT JOIN issue AS i ON i.card = s.identity "
        "AND i.manufacturer = s.manufacturer AND i.serial = s.serial"};
    cb_error error = CB_OK;
    int64_t number = 0;
    cb_stock_lines row;
    for (size_t i = 0; i < sizeof queries / sizeof *queries && !error; i++) {
        cb_query q = cb_query_begin(txn->sql, queries[i]);
        while (!error && cb_query_next(&q)) {
            read_stock(&q, &row);
            error = q.error ? q.error : each(context, &row);
        }
        cb_error end = cb_query_end(&q);
        error = error ? error : end;
    }
    if (!error)
        error = cb_sql_number(txn->sql, "SELECT count(*) FROM issue WHERE serial <> ''", &number);
    *issued = (uint64_t)number;
    return error;
}
