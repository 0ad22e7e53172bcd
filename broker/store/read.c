/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Readers: connections of their own, kept for the next one who reads. Each read is one snapshot.
 */
#include "broker/store/internal.h"

cb_error cb_readers_init(cb_store *store)
{
    cb_readers *readers = &store->readers;
    if (pthread_mutex_init(&readers->lock, NULL) != 0)
        return CB_E_MEMORY;
    return cb_cond_init(&readers->back);
}

void cb_readers_end(cb_store *store)
{
    cb_readers *readers = &store->readers;
    while (readers->idle_count > 0)
        cb_sql_close(&readers->idle[--readers->idle_count]);
    pthread_cond_destroy(&readers->back);
    pthread_mutex_destroy(&readers->lock);
}

/* An idle one, or a place to open one (*out is NULL then). */
static void claim(cb_readers *readers, cb_sql **out)
{
    pthread_mutex_lock(&readers->lock);
    while (readers->idle_count == 0 && readers->open >= CB_READERS_MAX)
        pthread_cond_wait(&readers->back, &readers->lock);
    if (readers->idle_count > 0)
        *out = readers->idle[--readers->idle_count];
    else
        readers->open++;
    pthread_mutex_unlock(&readers->lock);
}

static void give_place_back(cb_readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    readers->open--;
    pthread_cond_signal(&readers->back);
    pthread_mutex_unlock(&readers->lock);
}

/* What lies under the name now must be what the writer has open. */
static cb_error is_ours(cb_store *store)
{
    cb_error error = cb_store_in_place(store);
    pthread_mutex_lock(&store->lock);
    if (error && !store->fault)
        cb_store_faulty(store, error);
    pthread_mutex_unlock(&store->lock);
    return error;
}

cb_error cb_reader_take(cb_store *store, cb_sql **out)
{
    *out = NULL;
    claim(&store->readers, out);
    if (*out)
        return CB_OK;
    cb_error error = cb_sql_open(store->path, CB_SQL_READ, store->options.lock_wait, out);
    if (!error)
        error = is_ours(store);
    if (error) {
        cb_sql_close(out);
        give_place_back(&store->readers);
    }
    return error;
}

/* One that is still in a transaction would show the next who reads what was, not what is. */
void cb_reader_give(cb_store *store, cb_sql **reader)
{
    cb_readers *readers = &store->readers;
    if (!*reader)
        return;
    cb_sql_give_up(*reader);
    if (cb_sql_in_transaction(*reader)) {
        cb_sql_close(reader);
        give_place_back(readers);
        return;
    }
    pthread_mutex_lock(&readers->lock);
    readers->idle[readers->idle_count++] = *reader;
    pthread_cond_signal(&readers->back);
    pthread_mutex_unlock(&readers->lock);
    *reader = NULL;
}

static cb_error read_snapshot(cb_store *store, cb_txn_function run, void *context, bool again)
{
    cb_txn txn = {.store = store, .asked_again = again};
    cb_error error = cb_reader_take(store, &txn.sql);
    if (error)
        return error;
    error = cb_sql_do(txn.sql, CB_SQL_BEGIN);
    if (!error) {
        error = run(&txn, context);
        cb_error end =
            cb_sql_in_transaction(txn.sql) ? cb_sql_do(txn.sql, CB_SQL_COMMIT) : CB_E_STORE;
        error = error ? error : end;
    }
    cb_reader_give(store, &txn.sql);
    return error;
}

cb_error cb_store_read(cb_store *store, cb_txn_function run, void *context)
{
    return read_snapshot(store, run, context, false);
}

cb_error cb_store_read_said(cb_store *store, cb_txn_function run, void *context)
{
    const cb_change change = {
        .run = run, .context = context, .urgency = CB_WRITE_DUE, .until = CB_UNTIL_COMMITTED};
    cb_error error = read_snapshot(store, run, context, true);
    return error == CB_E_HSM_RECORD ? cb_store_write(store, &change) : error;
}

bool cb_txn_is_asked_again(const cb_txn *txn) { return txn->asked_again; }
