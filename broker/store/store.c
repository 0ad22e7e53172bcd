/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Opening and closing the store.
 */
#include "broker/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/store/internal.h"
#include "broker/store/migrate.h"

#define LOCK_WAIT_DEFAULT (2 * CB_SECOND)
#define CLOSE_WAIT (1 * CB_SECOND)

/* Two brokers on one database would each take the log for their own. The lock is a file beside it:
 * closing any other descriptor of the database itself would drop SQLite's locks. */
static cb_error lock_database(cb_store *store)
{
    char name[4096];
    int len = snprintf(name, sizeof name, "%s-lock", store->path);
    if (len < 0 || (size_t)len >= sizeof name)
        return CB_E_ARGUMENT;
    store->lock_file = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock_file < 0)
        return cb_log_failure("store.open", CB_E_STORE, strerror(errno));
    int64_t deadline = cb_deadline_in(store->options.lock_wait);
    while (flock(store->lock_file, LOCK_EX | LOCK_NB) != 0) {
        if (cb_deadline_left_ms(deadline) == 0)
            return cb_log_failure("store.open", CB_E_STORE, "another broker uses this database");
        usleep(10000);
    }
    return CB_OK;
}

static cb_error limit_size(cb_store *store)
{
    if (store->options.max_bytes <= 0)
        return CB_OK;
    char text[64];
    snprintf(text, sizeof text, "PRAGMA max_page_count = %lld",
             (long long)(store->options.max_bytes / 4096));
    return cb_sql_run(store->writer, text);
}

static void note_opened(cb_store *store)
{
    cb_merkle_frontier tree = store->tail.base;
    for (size_t i = 0; i < store->tail.count; i++)
        cb_merkle_append(&tree, &store->tail.hash[i]);
    store->opened = cb_frontier_head(&tree);
    store->opened_feed = store->feed;
    store->check = CB_E_BUSY;
}

static cb_error open_database(cb_store *store)
{
    cb_error error = lock_database(store);
    if (!error)
        error = cb_sql_open(store->path, CB_SQL_WRITE, store->options.lock_wait, &store->writer);
    if (!error)
        error = limit_size(store);
    if (!error)
        error = cb_migrate(store->writer);
    if (!error)
        error = cb_sql_number(store->writer, "PRAGMA schema_version", &store->schema_version);
    if (!error)
        error = cb_row_tail_load(store->writer, &store->tail);
    if (!error)
        error = cb_row_feed_head(store->writer, &store->feed);
    if (!error)
        error = cb_store_note_place(store);
    store->group = (cb_txn){.store = store, .sql = store->writer};
    note_opened(store);
    return error;
}

/* A signer that is away is asked again by its thread; one that has seen more than this database
 * ends the start. */
static cb_error check_signer(cb_store *store)
{
    store->lane = cb_signer_check(store);
    if (store->lane == CB_E_HSM_ROLLED_BACK || store->lane == CB_E_EVIDENCE)
        return store->lane;
    if (store->lane)
        cb_log(CB_LOG_WARNING, "store.unsigned",
               "The log lane does not answer: only revocations are taken until it does", "error",
               cb_error_code(store->lane), NULL);
    return CB_OK;
}

/* Signals are the program's business, not these threads'. */
static cb_error start_threads(cb_store *store)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    store->writer_runs = pthread_create(&store->writer_thread, NULL, cb_writer_main, store) == 0;
    store->signer_runs = pthread_create(&store->signer_thread, NULL, cb_signer_main, store) == 0;
    store->check_runs = pthread_create(&store->check_thread, NULL, cb_check_main, store) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return store->writer_runs && store->signer_runs && store->check_runs ? CB_OK : CB_E_MEMORY;
}

static uint64_t leaves_between(uint64_t asked)
{
    if (asked == 0)
        return CB_CHECKPOINT_LEAVES;
    if (asked == CB_CHECKPOINT_NONE)
        return 0;
    return asked < CB_CHECKPOINT_LEAST ? CB_CHECKPOINT_LEAST : asked;
}

static cb_error make(const cb_store_options *options, cb_store **out)
{
    cb_store *store = calloc(1, sizeof *store);
    if (!store)
        return CB_E_MEMORY;
    store->options = *options;
    store->lock_file = -1;
    if (store->options.lock_wait <= 0)
        store->options.lock_wait = LOCK_WAIT_DEFAULT;
    store->checkpoint.every = leaves_between(options->checkpoint);
    store->path = strdup(options->path);
    store->options.path = store->path;
    pthread_mutex_init(&store->lock, NULL);
    cb_error error = store->path ? cb_cond_init(&store->work) : CB_E_MEMORY;
    if (!error)
        error = cb_cond_init(&store->sign);
    if (!error)
        error = cb_cond_init(&store->checking);
    if (!error)
        error = cb_readers_init(store);
    if (error) {
        free(store->path);
        free(store);
        return error;
    }
    *out = store;
    return CB_OK;
}

cb_error cb_store_open(const cb_store_options *options, cb_store **out)
{
    *out = NULL;
    if (!options->path || !options->signer.sign || !options->signer.state)
        return CB_E_ARGUMENT;
    cb_store *store = NULL;
    cb_error error = make(options, &store);
    if (error)
        return error;
    error = open_database(store);
    if (!error)
        error = check_signer(store);
    if (!error)
        error = start_threads(store);
    if (!error)
        error = cb_store_recover(store);
    if (error)
        cb_store_close(&store);
    *out = store;
    return error;
}

/* The writer finishes the queue; the signer then signs what is committed; that last head is stored
 * from here. */
static void stop_threads(cb_store *store)
{
    /* What a crash left unsigned is signed after it was looked at: a short log takes no time. */
    if (store->check_runs)
        cb_store_checked(store, cb_deadline_in(CLOSE_WAIT));
    pthread_mutex_lock(&store->lock);
    store->writer_stops = true;
    pthread_cond_broadcast(&store->work);
    pthread_cond_broadcast(&store->checking);
    pthread_mutex_unlock(&store->lock);
    if (store->check_runs)
        pthread_join(store->check_thread, NULL);
    if (store->writer_runs)
        pthread_join(store->writer_thread, NULL);
    pthread_mutex_lock(&store->lock);
    store->signer_stops = true;
    pthread_cond_broadcast(&store->sign);
    pthread_mutex_unlock(&store->lock);
    if (store->signer_runs)
        pthread_join(store->signer_thread, NULL);
    if (store->writer_runs)
        cb_writer_main(store);
}

void cb_store_close(cb_store **out)
{
    cb_store *store = *out;
    if (!store)
        return;
    stop_threads(store);
    cb_checkpoint_end(store);
    cb_readers_end(store);
    cb_sql_close(&store->writer);
    if (store->lock_file >= 0)
        close(store->lock_file);
    cb_log_tail_free(&store->tail);
    cb_log_tail_free(&store->group.leaves);
    cb_vouch_list_free(&store->group.words);
    cb_vouch_list_free(&store->since);
    cb_id_map_free(&store->vouches);
    pthread_cond_destroy(&store->work);
    pthread_cond_destroy(&store->sign);
    pthread_cond_destroy(&store->checking);
    pthread_mutex_destroy(&store->lock);
    free(store->path);
    free(store);
    *out = NULL;
}

static cb_error count_open(cb_txn *txn, void *context)
{
    cb_store_state *out = context;
    cb_query q = cb_query_begin(
        txn->sql, "SELECT (SELECT count(*) FROM intent), (SELECT count(*) FROM session)");
    if (cb_query_next(&q)) {
        out->open_intents = (uint64_t)cb_column_number(&q, 0);
        out->open_sessions = (uint64_t)cb_column_number(&q, 1);
    }
    return cb_query_end(&q);
}

cb_error cb_store_status(cb_store *store, cb_store_state *out)
{
    *out = (cb_store_state){0};
    pthread_mutex_lock(&store->lock);
    bool checking = store->check == CB_E_BUSY;
    out->error = store->refused || (checking && !store->contact) ? store->refused : store->check;
    if (store->fault && !store->refused)
        out->error = store->fault;
    out->leaves_checked = store->checked;
    out->leaves_checkpoint = store->gone_on.tree.size;
    out->leaves_found = store->opened.size;
    out->signer = store->lane;
    out->leaves = cb_log_tail_size(&store->tail);
    out->leaves_unsigned = store->tail.count;
    out->feed_number = store->feed.number;
    out->queued = store->queued;
    out->groups = store->groups;
    out->changes = store->changes;
    pthread_mutex_unlock(&store->lock);
    return cb_store_read(store, count_open, out);
}

uint8_t cb_store_software_policy(const cb_store *store) { return store->options.software; }

uint8_t cb_txn_software_policy(const cb_txn *txn) { return txn->store->options.software; }
