/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/statement_work.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

int __real_sqlite3_reset(sqlite3_stmt *statement);
int __wrap_sqlite3_reset(sqlite3_stmt *statement);
int __real_sqlite3_finalize(sqlite3_stmt *statement);
int __wrap_sqlite3_finalize(sqlite3_stmt *statement);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static work *counted; /* NULL: nothing is */

/* The number of its entry; count: it has none. */
static size_t number_of(const work *w, const char *text)
{
    size_t i = 0;
    while (i < w->count && strcmp(w->statement[i].text, text) != 0)
        i++;
    return i;
}

const work_statement *work_of(const work *w, const char *text)
{
    size_t i = number_of(w, text);
    return i < w->count ? &w->statement[i] : NULL;
}

static work_statement *entry_of(const char *text)
{
    size_t i = number_of(counted, text);
    assert(i < WORK_STATEMENTS && strlen(text) < WORK_TEXT);
    if (i == counted->count) {
        counted->count++;
        strcpy(counted->statement[i].text, text);
    }
    return &counted->statement[i];
}

/* What is taken is zero again, so that it is one run's. */
static uint64_t taken(sqlite3_stmt *statement, int what)
{
    return (uint64_t)(uint32_t)sqlite3_stmt_status(statement, what, 1);
}

static void note(sqlite3_stmt *statement)
{
    if (!statement)
        return;
    uint64_t steps = taken(statement, SQLITE_STMTSTATUS_VM_STEP),
             scanned = taken(statement, SQLITE_STMTSTATUS_FULLSCAN_STEP),
             sorted = taken(statement, SQLITE_STMTSTATUS_SORT),
             indexed = taken(statement, SQLITE_STMTSTATUS_AUTOINDEX);
    pthread_mutex_lock(&lock);
    if (counted && steps > 0) {
        work_statement *entry = entry_of(sqlite3_sql(statement));
        entry->runs++;
        entry->steps += steps;
        entry->most = steps > entry->most ? steps : entry->most;
        entry->scanned += scanned;
        entry->sorted += sorted;
        entry->indexed += indexed;
    }
    pthread_mutex_unlock(&lock);
}

int __wrap_sqlite3_reset(sqlite3_stmt *statement)
{
    note(statement);
    return __real_sqlite3_reset(statement);
}

int __wrap_sqlite3_finalize(sqlite3_stmt *statement)
{
    note(statement);
    return __real_sqlite3_finalize(statement);
}

void work_begin(work *into)
{
    pthread_mutex_lock(&lock);
    counted = into;
    pthread_mutex_unlock(&lock);
}

void work_end(void) { work_begin(NULL); }
