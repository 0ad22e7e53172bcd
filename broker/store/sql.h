/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A connection to SQLite whose statements are prepared once and kept, and queries that are written
 * like buffers: bind, step and read without asking each time; the first thing that went wrong is
 * remembered and said at the end.
 *
 *   cb_query q = cb_query_begin(sql, "SELECT name FROM holder WHERE id = ?");
 *   cb_query_id(&q, id);
 *   if (cb_query_next(&q))
 *       cb_column_text(&q, 0, name, sizeof name);
 *   return cb_query_end(&q);
 *
 * SQL texts are string literals: a statement is found again by its text's address. Internal to the
 * store.
 */
#ifndef CB_BROKER_STORE_SQL_H
#define CB_BROKER_STORE_SQL_H

#include <sqlite3.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/id.h"

enum {
    CB_SQL_STATEMENTS = 256,      /* slots, a power of two; far more than there are statements */
    CB_SQL_VALUE_MAX = 256 * 1024 /* bytes of a value or a row; a larger one is not read */
};

/* The statements around changes. They are prepared when the connection is opened, so that none of
 * them, least of all the one that undoes, can fail later for want of memory to be prepared. */
typedef enum cb_sql_step {
    CB_SQL_BEGIN,
    CB_SQL_BEGIN_WRITE,
    CB_SQL_COMMIT,
    CB_SQL_ROLLBACK,
    CB_SQL_SAVEPOINT,
    CB_SQL_UNDO, /* back to the savepoint, which stays */
    CB_SQL_RELEASE,
    CB_SQL_STEPS
} cb_sql_step;

typedef struct cb_sql {
    sqlite3 *db;
    struct {
        const char *text;
        sqlite3_stmt *statement;
    } kept[CB_SQL_STATEMENTS];
} cb_sql;

typedef enum cb_sql_mode {
    CB_SQL_WRITE,    /* makes the file (0600) */
    CB_SQL_READ,     /* beside the writer */
    CB_SQL_READ_ONLY /* of a file that may not be written at all */
} cb_sql_mode;

/* Opens a connection with the store's settings: WAL, synchronous FULL, foreign keys, a bounded wait
 * for locks. */
cb_error cb_sql_open(const char *path, cb_sql_mode mode, int64_t lock_wait, cb_sql **out);
void cb_sql_close(cb_sql **sql);

/* Runs statements that give no rows and have no parameters. */
cb_error cb_sql_run(cb_sql *sql, const char *text);

cb_error cb_sql_do(cb_sql *sql, cb_sql_step step);

/* Ends a transaction that is open, without its changes. */
void cb_sql_give_up(cb_sql *sql);

/* The number that a query without parameters gives; 0 when it gives no row. text is a literal. */
cb_error cb_sql_number(cb_sql *sql, const char *text, int64_t *out);

/* What an SQLite status means here; faults are logged. CB_E_EXISTS (unique), CB_E_NOT_FOUND
 * (foreign key), CB_E_ARGUMENT (check), CB_E_STORE_FULL, CB_E_MEMORY, CB_E_STORE_DAMAGED,
 * CB_E_STORE. */
cb_error cb_sql_error(cb_sql *sql, int status);

/* Whether a transaction is open: some errors end it. */
bool cb_sql_in_transaction(cb_sql *sql);

typedef struct cb_query {
    cb_sql *sql;
    sqlite3_stmt *statement;
    int bound;
    cb_error error;
} cb_query;

cb_query cb_query_begin(cb_sql *sql, const char *text);

/* Bind the next parameter. What they point to must live until cb_query_end. */
void cb_query_id(cb_query *query, const cb_id *value); /* NULL binds NULL */
void cb_query_id_or_null(cb_query *query, const cb_id *value); /* zero binds NULL */
void cb_query_digest(cb_query *query, const cb_digest *value);
void cb_query_text(cb_query *query, const char *value); /* NULL binds NULL */
void cb_query_blob(cb_query *query, cb_bytes value);    /* never NULL: empty is an empty blob */
void cb_query_number(cb_query *query, int64_t value);

/* The next row. False at the end and after an error. */
bool cb_query_next(cb_query *query);

/* Ends the query, so that its statement can be used again. */
cb_error cb_query_end(cb_query *query);

/* Runs a statement that gives no rows, and ends the query. CB_E_NOT_FOUND when it was to change a
 * row and changed none. */
cb_error cb_query_run(cb_query *query);
cb_error cb_query_change_one(cb_query *query);

/* Columns of the present row, from 0. A value of the wrong size marks the query with CB_E_STORE and
 * gives zero. */
int64_t cb_column_number(cb_query *query, int column);
uint8_t cb_column_byte(cb_query *query, int column);
bool cb_column_is_null(cb_query *query, int column);
void cb_column_id(cb_query *query, int column, cb_id *out);
void cb_column_known_id(cb_query *query, int column, cb_id *out); /* NULL: zero */
void cb_column_digest(cb_query *query, int column, cb_digest *out);
void cb_column_fixed(cb_query *query, int column, void *out, size_t len);
/* Of evidence, which is shown as it is found: another size gives zeros, which no check believes. */
void cb_column_as_found(cb_query *query, int column, void *out, size_t len);
void cb_column_text(cb_query *query, int column, char *out, size_t size);
cb_bytes cb_column_bytes(cb_query *query, int column);        /* borrowed until the next step */
void cb_column_buf(cb_query *query, int column, cb_buf *out); /* replaces what it held */

#endif
