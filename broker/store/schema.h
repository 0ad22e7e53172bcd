/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a database consists of: its mark, and its tables, indexes, triggers and views, described so
 * that two can be compared.
 */
#ifndef CB_BROKER_STORE_SCHEMA_H
#define CB_BROKER_STORE_SCHEMA_H

#include "base/buf.h"
#include "broker/store/sql.h"

/* CB_SCHEMA_MARK: its application_id, "CBBR". CB_SCHEMA_MAX: bytes of a description. */
enum { CB_SCHEMA_MARK = 0x43424252, CB_SCHEMA_MAX = 256 * 1024 };

/* Marks an empty database as ours and makes the table of its migrations. CB_E_STORE,
 * CB_E_STORE_FULL. */
cb_error cb_schema_begin(cb_sql *sql);

/* Describes what is there. CB_E_TOO_LARGE, CB_E_STORE, CB_E_MEMORY. */
cb_error cb_schema_describe(cb_sql *sql, cb_buf *out);

/* Describes what so many migrations make of an empty database, by doing it in memory: some 20
 * milliseconds. CB_E_STORE, CB_E_MEMORY. */
cb_error cb_schema_made(unsigned migrations, cb_buf *out);

#endif
