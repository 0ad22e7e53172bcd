/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Migrations: the numbered files of schema/sqlite/, which are part of the program.
 *
 * Each is applied once, in its own transaction, and recorded with its number, name and SHA-256. A
 * database that records one which this program does not have, or has differently, is of another
 * version and left alone. So is one whose schema is not, to the letter, what those migrations make:
 * triggers and views would run inside this process.
 */
#ifndef CB_BROKER_STORE_MIGRATE_H
#define CB_BROKER_STORE_MIGRATE_H

#include "broker/store/sql.h"

typedef struct cb_migration {
    unsigned number; /* from 1, without gaps */
    const char *name;
    const char *sql;
} cb_migration;

extern const cb_migration cb_migrations[];
extern const unsigned cb_migration_count;

/* Applies what is missing. CB_E_STORE_VERSION, CB_E_STORE, CB_E_STORE_FULL. */
cb_error cb_migrate(cb_sql *sql);

/* Whether the database is exactly of this program's version; for readers, which change nothing.
 * CB_E_STORE_VERSION. */
cb_error cb_migrate_check(cb_sql *sql);

#endif
