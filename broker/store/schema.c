/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/schema.h"

#include <stdio.h>

#include "broker/store/migrate.h"

cb_error cb_schema_begin(cb_sql *sql)
{
    char text[64];
    snprintf(text, sizeof text, "PRAGMA application_id = %d", CB_SCHEMA_MARK);
    cb_error error = cb_sql_run(sql, text);
    if (error)
        return error;
    return cb_sql_run(sql, "CREATE TABLE schema_migration ("
                           " number INTEGER PRIMARY KEY,"
                           " name TEXT NOT NULL,"
                           " digest BLOB NOT NULL CHECK (length(digest) = 32),"
                           " applied INTEGER NOT NULL) STRICT");
}

cb_error cb_schema_describe(cb_sql *sql, cb_buf *out)
{
    cb_query q = cb_query_begin(sql, "SELECT type, name, tbl_name, coalesce(sql, '') "
                                     "FROM sqlite_schema ORDER BY type, name");
    while (cb_query_next(&q)) {
        for (int column = 0; column < 4; column++)
            cb_buf_put_var(out, cb_column_bytes(&q, column));
    }
    cb_error error = cb_query_end(&q);
    return error ? error : cb_buf_error(out);
}

cb_error cb_schema_made(unsigned migrations, cb_buf *out)
{
    cb_sql *fresh = NULL;
    cb_error error = cb_sql_open(":memory:", CB_SQL_READ, 0, &fresh);
    if (!error)
        error = cb_schema_begin(fresh);
    for (unsigned i = 0; !error && i < migrations; i++)
        error = cb_sql_run(fresh, cb_migrations[i].sql);
    if (!error)
        error = cb_schema_describe(fresh, out);
    cb_sql_close(&fresh);
    return error;
}
