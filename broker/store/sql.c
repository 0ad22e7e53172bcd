/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static const char *what_to_do(int status)
{
    switch (status & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "Another program holds the database: end it (fuser names it)";
    case SQLITE_FULL:
        return "There is no space for the database: free some";
    case SQLITE_IOERR:
        return "The disk of the database failed: look at the kernel's log, mend or remount it";
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
        return "The database cannot be opened or written: look at the file, its owner and mode, "
               "its "
               "folder and how that is mounted";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "The database is damaged: stop the broker, keep a copy of its files, restore the "
               "newest backup";
    default:
        return "SQLite failed";
    }
}

static cb_error fault(cb_sql *sql, int status)
{
    cb_log(CB_LOG_ERROR, "store.sqlite", what_to_do(status), "reason", sqlite3_errstr(status),
           "detail", sql && sql->db ? sqlite3_errmsg(sql->db) : NULL, NULL);
    return CB_E_STORE;
}

cb_error cb_sql_error(cb_sql *sql, int status)
{
    switch (status) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return CB_OK;
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
        return CB_E_EXISTS;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return CB_E_NOT_FOUND;
    case SQLITE_CONSTRAINT_CHECK:
    case SQLITE_CONSTRAINT_DATATYPE:
    case SQLITE_CONSTRAINT_NOTNULL:
        return CB_E_ARGUMENT;
    default:
        break;
    }
    cb_error error = fault(sql, status);
    if (status == SQLITE_IOERR_NOMEM)
        return CB_E_MEMORY;
    switch (status & 0xFF) {
    case SQLITE_FULL:
        return CB_E_STORE_FULL;
    case SQLITE_NOMEM:
        return CB_E_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return CB_E_STORE_DAMAGED;
    default:
        return error;
    }
}

/* The file's name must survive a power cut as well as what is in it. */
static cb_error sync_folder(const char *path)
{
    cb_buf folder = CB_BUF(4096);
    const char *slash = strrchr(path, '/');
    cb_buf_put(&folder,
               slash ? cb_bytes_make(path, (size_t)(slash - path) + 1) : cb_bytes_str("."));
    const char *name = cb_buf_cstr(&folder);
    int fd = name ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    cb_error error = fd >= 0 && fsync(fd) == 0 ? CB_OK : CB_E_STORE;
    if (fd >= 0)
        close(fd);
    cb_buf_free(&folder);
    return error;
}

/* SQLite would make the file with the umask's permissions; its WAL takes over the file's own. */
static cb_error make_private(const char *path)
{
    bool is_new = access(path, F_OK) != 0 && errno == ENOENT;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return cb_log_failure("store.open", CB_E_STORE, strerror(errno));
    if (is_new)
        cb_log(
            CB_LOG_WARNING, "store.created",
            "There was no database: a new one was made. If there should be one, look whether its "
            "disk is mounted",
            "path", path, NULL);
    cb_error error = fchmod(fd, 0600) == 0 ? CB_OK : CB_E_STORE;
    close(fd);
    return error ? error : sync_folder(path);
}

/* On a file system without shared memory SQLite keeps another mode without a word. */
static cb_error check_wal(cb_sql *sql)
{
    char mode[8];
    cb_query q = cb_query_begin(sql, "PRAGMA journal_mode");
    if (cb_query_next(&q))
        cb_column_text(&q, 0, mode, sizeof mode);
    cb_error error = cb_query_end(&q);
    if (!error && strcmp(mode, "wal") != 0)
        error = cb_log_failure("store.open", CB_E_STORE, "this file system does not support WAL");
    return error;
}

/* Whoever can write the file can put into it what SQLite would run or trust: no views, no functions
 * called by the schema, no value that is larger than any of ours, no write past the tables. What
 * the schema itself says is compared by cb_migrate. */
static cb_error distrust_file(cb_sql *sql)
{
    static const struct {
        int what, on;
    } switches[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                    {SQLITE_DBCONFIG_ENABLE_VIEW, 0},    {SQLITE_DBCONFIG_DQS_DDL, 0},
                    {SQLITE_DBCONFIG_DQS_DML, 0},        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
                    {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0}};
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < sizeof switches / sizeof *switches; i++)
        error = cb_sql_error(
            sql, sqlite3_db_config(sql->db, switches[i].what, switches[i].on, (int *)NULL));
    sqlite3_limit(sql->db, SQLITE_LIMIT_LENGTH, CB_SQL_VALUE_MAX);
    sqlite3_limit(sql->db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
    return error;
}

static const char *const step_text[CB_SQL_STEPS] = {
    [CB_SQL_BEGIN] = "BEGIN",
    [CB_SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [CB_SQL_COMMIT] = "COMMIT",
    [CB_SQL_ROLLBACK] = "ROLLBACK",
    [CB_SQL_SAVEPOINT] = "SAVEPOINT change",
    [CB_SQL_UNDO] = "ROLLBACK TO change",
    [CB_SQL_RELEASE] = "RELEASE change",
};

static cb_error prepare_steps(cb_sql *sql)
{
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < CB_SQL_STEPS; i++) {
        cb_query q = cb_query_begin(sql, step_text[i]);
        error = cb_query_end(&q);
    }
    return error;
}

static cb_error settle(cb_sql *sql, cb_sql_mode mode)
{
    cb_error error = distrust_file(sql);
    if (!error)
        error = cb_sql_run(sql, "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;"
                                "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0");
    if (error || mode != CB_SQL_WRITE)
        return error;
    error = cb_sql_run(sql, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                            "PRAGMA secure_delete = ON");
    return error ? error : check_wal(sql);
}

cb_error cb_sql_open(const char *path, cb_sql_mode mode, int64_t lock_wait, cb_sql **out)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (mode == CB_SQL_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
    *out = NULL;
    cb_error error = mode == CB_SQL_WRITE ? make_private(path) : CB_OK;
    if (error)
        return error;
    cb_sql *sql = calloc(1, sizeof *sql);
    if (!sql)
        return CB_E_MEMORY;
    error = cb_sql_error(sql, sqlite3_open_v2(path, &sql->db, flags, NULL));
    if (!error)
        error = cb_sql_error(sql, sqlite3_busy_timeout(sql->db, (int)(lock_wait / 1000)));
    if (!error)
        error = settle(sql, mode);
    if (!error)
        error = prepare_steps(sql);
    if (error)
        cb_sql_close(&sql);
    *out = sql;
    return error;
}

void cb_sql_close(cb_sql **sql)
{
    if (!*sql)
        return;
    for (size_t i = 0; i < CB_SQL_STATEMENTS; i++)
        sqlite3_finalize((*sql)->kept[i].statement);
    sqlite3_close((*sql)->db);
    free(*sql);
    *sql = NULL;
}

cb_error cb_sql_run(cb_sql *sql, const char *text)
{
    return cb_sql_error(sql, sqlite3_exec(sql->db, text, NULL, NULL, NULL));
}

cb_error cb_sql_do(cb_sql *sql, cb_sql_step step)
{
    cb_query q = cb_query_begin(sql, step_text[step]);
    return cb_query_run(&q);
}

void cb_sql_give_up(cb_sql *sql)
{
    if (cb_sql_in_transaction(sql))
        cb_sql_do(sql, CB_SQL_ROLLBACK);
}

bool cb_sql_in_transaction(cb_sql *sql) { return !sqlite3_get_autocommit(sql->db); }

static size_t slot_of(const cb_sql *sql, const char *text)
{
    size_t at = ((uintptr_t)text >> 3) * 0x9E3779B1u % CB_SQL_STATEMENTS;
    while (sql->kept[at].text && sql->kept[at].text != text)
        at = (at + 1) % CB_SQL_STATEMENTS;
    return at;
}

cb_query cb_query_begin(cb_sql *sql, const char *text)
{
    size_t at = slot_of(sql, text);
    cb_query query = {.sql = sql};
    if (!sql->kept[at].text) {
        query.error =
            cb_sql_error(sql, sqlite3_prepare_v3(sql->db, text, -1, SQLITE_PREPARE_PERSISTENT,
                                                 &sql->kept[at].statement, NULL));
        if (query.error)
            return query;
        sql->kept[at].text = text;
    }
    query.statement = sql->kept[at].statement;
    return query;
}

static void bound(cb_query *query, int status)
{
    if (!query->error)
        query->error = cb_sql_error(query->sql, status);
}

void cb_query_blob(cb_query *query, cb_bytes value)
{
    int at = ++query->bound;
    if (query->error)
        return;
    bound(query, value.len > 0 ? sqlite3_bind_blob64(query->statement, at, value.data, value.len,
                                                     SQLITE_STATIC)
                               : sqlite3_bind_zeroblob(query->statement, at, 0));
}

void cb_query_text(cb_query *query, const char *value)
{
    int at = ++query->bound;
    if (!query->error)
        bound(query, sqlite3_bind_text(query->statement, at, value, -1, SQLITE_STATIC));
}

void cb_query_number(cb_query *query, int64_t value)
{
    int at = ++query->bound;
    if (!query->error)
        bound(query, sqlite3_bind_int64(query->statement, at, value));
}

void cb_query_id(cb_query *query, const cb_id *value)
{
    if (value)
        cb_query_blob(query, cb_id_bytes(value));
    else
        cb_query_text(query, NULL);
}

void cb_query_id_or_null(cb_query *query, const cb_id *value)
{
    cb_query_id(query, cb_id_is_zero(value) ? NULL : value);
}

void cb_query_digest(cb_query *query, const cb_digest *value)
{
    cb_query_blob(query, cb_digest_bytes(value));
}

bool cb_query_next(cb_query *query)
{
    if (query->error)
        return false;
    int status = sqlite3_step(query->statement);
    query->error = cb_sql_error(query->sql, status);
    return status == SQLITE_ROW;
}

cb_error cb_query_end(cb_query *query)
{
    if (query->statement) {
        sqlite3_reset(query->statement);
        sqlite3_clear_bindings(query->statement);
    }
    query->statement = NULL;
    return query->error;
}

cb_error cb_query_run(cb_query *query)
{
    cb_query_next(query);
    return cb_query_end(query);
}

cb_error cb_query_change_one(cb_query *query)
{
    cb_error error = cb_query_run(query);
    if (!error && sqlite3_changes(query->sql->db) != 1)
        error = CB_E_NOT_FOUND;
    return error;
}

cb_error cb_sql_number(cb_sql *sql, const char *text, int64_t *out)
{
    cb_query q = cb_query_begin(sql, text);
    *out = cb_query_next(&q) ? cb_column_number(&q, 0) : 0;
    return cb_query_end(&q);
}

int64_t cb_column_number(cb_query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

bool cb_column_is_null(cb_query *query, int column)
{
    return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

cb_bytes cb_column_bytes(cb_query *query, int column)
{
    const void *data = sqlite3_column_blob(query->statement, column);
    int len = sqlite3_column_bytes(query->statement, column);
    return cb_bytes_make(data, data ? (size_t)len : 0);
}

/* Sizes are checked by the schema: another one means that somebody else wrote to the file; or that
 * there was no memory to give it out. */
static void wrong_size(cb_query *query)
{
    if (query->error)
        return;
    query->error = sqlite3_errcode(query->sql->db) == SQLITE_NOMEM
                       ? CB_E_MEMORY
                       : cb_log_failure("store.row", CB_E_STORE, "a column has the wrong size");
}

uint8_t cb_column_byte(cb_query *query, int column)
{
    int64_t number = cb_column_number(query, column);
    if (number >= 0 && number <= UINT8_MAX)
        return (uint8_t)number;
    wrong_size(query);
    return 0;
}

void cb_column_fixed(cb_query *query, int column, void *out, size_t len)
{
    cb_bytes bytes = cb_column_bytes(query, column);
    if (bytes.len == len) {
        memcpy(out, bytes.data, len);
        return;
    }
    memset(out, 0, len);
    wrong_size(query);
}

void cb_column_as_found(cb_query *query, int column, void *out, size_t len)
{
    cb_bytes bytes = cb_column_bytes(query, column);
    memset(out, 0, len);
    if (bytes.len == len)
        memcpy(out, bytes.data, len);
}

void cb_column_id(cb_query *query, int column, cb_id *out)
{
    cb_column_fixed(query, column, out->bytes, CB_ID_SIZE);
}

void cb_column_known_id(cb_query *query, int column, cb_id *out)
{
    *out = (cb_id){{0}};
    if (!cb_column_is_null(query, column))
        cb_column_id(query, column, out);
}

void cb_column_digest(cb_query *query, int column, cb_digest *out)
{
    cb_column_fixed(query, column, out->bytes, CB_SHA256_SIZE);
}

void cb_column_text(cb_query *query, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(query->statement, column);
    size_t len = (size_t)sqlite3_column_bytes(query->statement, column);
    if (!text || len >= size || strlen(text) != len) {
        out[0] = 0;
        wrong_size(query);
        return;
    }
    memcpy(out, text, len + 1);
}

void cb_column_buf(cb_query *query, int column, cb_buf *out)
{
    cb_buf_reset(out);
    cb_buf_put(out, cb_column_bytes(query, column));
    if (!query->error)
        query->error = cb_buf_error(out);
}
