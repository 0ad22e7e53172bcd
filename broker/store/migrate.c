/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/migrate.h"

#include "base/clock.h"
#include "base/log.h"
#include "broker/store/schema.h"

static cb_error other_version(const char *why)
{
    return cb_log_failure("store.version", CB_E_STORE_VERSION, why);
}

/* A file that holds tables but not our mark belongs to somebody else. */
static cb_error check_owner(cb_sql *sql, bool *fresh)
{
    int64_t mark = 0, tables = 0;
    cb_error error = cb_sql_number(sql, "PRAGMA application_id", &mark);
    if (!error)
        error = cb_sql_number(sql, "SELECT count(*) FROM sqlite_schema", &tables);
    *fresh = !error && mark == 0 && tables == 0;
    if (!error && !*fresh && mark != CB_SCHEMA_MARK)
        error = cb_log_failure("store.open", CB_E_STORE, "the file is not a Cardbroker database");
    return error;
}

static cb_error check_one(cb_query *q, unsigned expected)
{
    int64_t number = cb_column_number(q, 0);
    cb_digest recorded, ours;
    cb_column_digest(q, 1, &recorded);
    if (number > cb_migration_count)
        return other_version("the database is newer than this program");
    if (number != expected)
        return other_version("a migration is missing from the database's record");
    ours = cb_sha256(cb_bytes_str(cb_migrations[number - 1].sql));
    if (memcmp(&ours, &recorded, sizeof ours) != 0)
        return other_version("the database was made by a different form of a migration");
    return CB_OK;
}

/* How many migrations the database has, all of them as this program knows them. */
static cb_error applied(cb_sql *sql, unsigned *count)
{
    cb_error error = CB_OK;
    *count = 0;
    cb_query q = cb_query_begin(sql, "SELECT number, digest FROM schema_migration ORDER BY number");
    while (!error && cb_query_next(&q)) {
        error = check_one(&q, *count + 1);
        ++*count;
    }
    cb_error end = cb_query_end(&q);
    return error ? error : end;
}

static cb_error record(cb_sql *sql, const cb_migration *migration)
{
    cb_digest digest = cb_sha256(cb_bytes_str(migration->sql));
    cb_query q = cb_query_begin(
        sql, "INSERT INTO schema_migration (number, name, digest, applied) VALUES (?, ?, ?, ?)");
    cb_query_number(&q, migration->number);
    cb_query_text(&q, migration->name);
    cb_query_digest(&q, &digest);
    cb_query_number(&q, cb_clock_wall_us());
    return cb_query_run(&q);
}

static cb_error apply(cb_sql *sql, const cb_migration *migration)
{
    cb_error error = cb_sql_run(sql, migration->sql);
    if (!error)
        error = record(sql, migration);
    if (!error)
        cb_log(CB_LOG_INFO, "store.migrated", "The database was brought up to date", "migration",
               migration->name, NULL);
    return error;
}

/* The record of migrations says what was run here once. Triggers and views run inside this process,
 * and a table without its checks holds anything: so what is there now is compared too. */
static cb_error check_schema(cb_sql *sql, unsigned migrations)
{
    cb_buf here = CB_BUF(CB_SCHEMA_MAX), ours = CB_BUF(CB_SCHEMA_MAX);
    cb_error error = cb_schema_made(migrations, &ours);
    if (!error)
        error = cb_schema_describe(sql, &here);
    if (error == CB_E_TOO_LARGE ||
        (!error && !cb_bytes_same(cb_buf_bytes(&here), cb_buf_bytes(&ours))))
        error = other_version(
            "its tables, indexes, triggers or views are not those that its migrations made");
    cb_buf_free(&here);
    cb_buf_free(&ours);
    return error;
}

/* All of it in one transaction: a crash leaves the old version or the new one. */
static cb_error migrate_locked(cb_sql *sql)
{
    bool fresh;
    unsigned have = 0;
    cb_error error = check_owner(sql, &fresh);
    if (!error && fresh)
        error = cb_schema_begin(sql);
    if (!error)
        error = applied(sql, &have);
    if (!error)
        error = check_schema(sql, have);
    for (unsigned i = have; !error && i < cb_migration_count; i++)
        error = apply(sql, &cb_migrations[i]);
    return error;
}

cb_error cb_migrate(cb_sql *sql)
{
    cb_error error = cb_sql_do(sql, CB_SQL_BEGIN_WRITE);
    if (error)
        return error;
    error = migrate_locked(sql);
    if (!error)
        error = cb_sql_do(sql, CB_SQL_COMMIT);
    if (error)
        cb_sql_give_up(sql);
    return error;
}

cb_error cb_migrate_check(cb_sql *sql)
{
    bool fresh;
    unsigned have = 0;
    cb_error error = check_owner(sql, &fresh);
    if (!error && fresh)
        error = cb_log_failure("store.open", CB_E_STORE, "the file is empty");
    if (!error)
        error = applied(sql, &have);
    if (!error && have != cb_migration_count)
        error = other_version("the database is older than this program: start the broker once");
    if (!error)
        error = check_schema(sql, have);
    return error;
}
