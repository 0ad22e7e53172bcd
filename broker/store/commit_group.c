/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The writer: many changes, one COMMIT.
 *
 * Nothing waits for a group to fill: while one group is being committed the next gathers. Between
 * two changes of a group, urgent ones are taken first. When the whole transaction must be given up
 * for one change (a full disk, no memory), each is tried once more in a transaction of its own, so
 * that only those fail that cannot be done.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/store/internal.h"

/* A head that nobody waits for is stored with the next group, or after this time. */
#define HEAD_PATIENCE (20 * CB_MILLISECOND)
#define HEAD_RETRY (1 * CB_SECOND)

void cb_waiters_push(cb_waiters *list, cb_waiter *waiter)
{
    waiter->next = NULL;
    if (list->last)
        list->last->next = waiter;
    else
        list->first = waiter;
    list->last = waiter;
}

cb_waiter *cb_waiters_pop(cb_waiters *list)
{
    cb_waiter *waiter = list->first;
    if (!waiter)
        return NULL;
    list->first = waiter->next;
    if (!list->first)
        list->last = NULL;
    waiter->next = NULL;
    return waiter;
}

void cb_waiters_remove(cb_waiters *list, cb_waiter *waiter)
{
    cb_waiters kept = {0};
    cb_waiter *each;
    while ((each = cb_waiters_pop(list))) {
        if (each != waiter)
            cb_waiters_push(&kept, each);
    }
    *list = kept;
}

void cb_waiter_done(cb_waiter *waiter, cb_error result)
{
    waiter->result = result;
    waiter->stage = CB_STAGE_DONE;
    pthread_cond_signal(&waiter->wake);
}

void cb_waiters_done(cb_waiters *list, uint64_t size, cb_error result)
{
    cb_waiters kept = {0};
    cb_waiter *each;
    while ((each = cb_waiters_pop(list))) {
        if (each->leaf < size)
            cb_waiter_done(each, result);
        else
            cb_waiters_push(&kept, each);
    }
    *list = kept;
}

void cb_probe(cb_store *store, const char *step)
{
    if (store->options.probe)
        store->options.probe(store->options.probe_context, step);
}

void cb_store_refuse(cb_store *store, cb_error error, const char *why)
{
    if (store->refused)
        return;
    store->refused = error;
    cb_log(CB_LOG_ERROR, "store.refuses", why, "error", cb_error_code(error), NULL);
}

cb_error cb_store_unsigned(const cb_store *store)
{
    return store->refused ? store->refused : CB_E_HSM_DOWN;
}

/* ---- The transaction of a group ---- */

static cb_error ends_as_left(cb_txn *txn, bool *same)
{
    cb_query q =
        cb_query_begin(txn->sql, "SELECT coalesce((SELECT max(position) FROM evidence_leaf), -1), "
                                 "coalesce((SELECT max(number) FROM feed), 0)");
    *same = cb_query_next(&q) && cb_column_number(&q, 0) == (int64_t)txn->position - 1 &&
            cb_column_number(&q, 1) == (int64_t)txn->feed.number;
    return cb_query_end(&q);
}

/* As a statement of its own, for the function of this name is parsed anew at each call. */
static cb_error has_schema(cb_txn *txn, bool *same)
{
    cb_query q = cb_query_begin(txn->sql, "PRAGMA schema_version");
    *same = cb_query_next(&q) && cb_column_number(&q, 0) == txn->store->schema_version;
    return cb_query_end(&q);
}

/* Whether the database still ends where this process left it, with the schema that was compared at
 * the start: nobody else writes to it, so anything else is somebody's attack, or a copy that was
 * put in its place while the broker runs. */
static cb_error nobody_else_wrote(cb_txn *txn)
{
    bool same = false;
    cb_store *store = txn->store;
    cb_error error = ends_as_left(txn, &same);
    if (!error && same)
        error = has_schema(txn, &same);
    if (error || same)
        return error;
    pthread_mutex_lock(&store->lock);
    cb_store_refuse(store, CB_E_EVIDENCE,
                    "Somebody else wrote to the database or replaced it: no change is taken");
    pthread_mutex_unlock(&store->lock);
    return CB_E_EVIDENCE;
}

static cb_error txn_begin(cb_store *store)
{
    cb_txn *txn = &store->group;
    pthread_mutex_lock(&store->lock);
    txn->position = cb_log_tail_size(&store->tail);
    txn->feed = store->feed;
    pthread_mutex_unlock(&store->lock);
    txn->leaves.count = 0;
    txn->words.count = 0;
    cb_sql_give_up(txn->sql); /* one that could not be given up when it failed */
    cb_error error = cb_store_in_place(store);
    if (!error)
        error = cb_sql_do(txn->sql, CB_SQL_BEGIN_WRITE);
    return error ? error : nobody_else_wrote(txn);
}

/* What was taken in before the change, and nothing of it. */
static cb_error undo(cb_txn *txn, const cb_txn *before)
{
    cb_log_tail leaves = txn->leaves; /* its memory may have moved */
    cb_vouch_list words = txn->words;
    leaves.count = before->leaves.count;
    words.count = before->words.count;
    *txn = *before;
    txn->leaves = leaves;
    txn->words = words;
    return cb_sql_do(txn->sql, CB_SQL_UNDO);
}

/* Runs one change in its savepoint. *lost is set when the whole transaction must be given up:
 * SQLite has ended it, or the savepoint could not be undone or closed. */
static void run_one(cb_txn *txn, cb_waiter *waiter, bool *lost)
{
    cb_txn before = *txn;
    txn->until = waiter->change->until;
    waiter->result = cb_sql_do(txn->sql, CB_SQL_SAVEPOINT);
    bool open = !waiter->result;
    if (open)
        waiter->result = waiter->change->run(txn, waiter->change->context);
    waiter->until = txn->until;
    waiter->has_leaf = txn->position > before.position;
    waiter->leaf = txn->position - 1;
    *lost = !cb_sql_in_transaction(txn->sql);
    if (open && !*lost && waiter->result)
        *lost = undo(txn, &before) != CB_OK;
    if (open && !*lost) {
        cb_error error = cb_sql_do(txn->sql, CB_SQL_RELEASE);
        *lost = error != CB_OK;
        waiter->result = waiter->result ? waiter->result : error;
    }
    cb_probe(txn->store, "ran");
}

static cb_error commit(cb_txn *txn)
{
    cb_store *store = txn->store;
    pthread_mutex_lock(&store->lock);
    cb_error error = cb_log_tail_reserve(&store->tail, txn->leaves.count);
    if (!error)
        error = cb_store_room_for_words(store, txn->words.count);
    pthread_mutex_unlock(&store->lock);
    cb_probe(store, "commit");
    if (!error)
        error = cb_sql_do(txn->sql, CB_SQL_COMMIT);
    cb_probe(store, "committed");
    return error;
}

/* ---- A group ---- */

typedef struct group {
    cb_waiters members;
    unsigned count;
    bool trial; /* only to see whether it can be done */
    bool has_head;
    cb_signed_head head;
    cb_merkle_frontier frontier;
} group;

static cb_waiter *next_change(cb_store *store, unsigned taken)
{
    pthread_mutex_lock(&store->lock);
    cb_waiter *waiter = cb_waiters_pop(&store->urgent);
    if (!waiter && taken < CB_GROUP_MAX) {
        waiter = cb_waiters_pop(&store->queue);
        store->queued -= waiter ? 1 : 0;
    }
    pthread_mutex_unlock(&store->lock);
    return waiter;
}

static cb_error begin_with(cb_txn *txn, const group *g)
{
    cb_error error = g->trial ? cb_store_trial(txn) : CB_OK;
    if (!error && g->has_head)
        error = cb_row_head_put(txn->sql, &g->head, &g->frontier);
    return error;
}

/* A head that could not be stored is kept for later, unless a newer one has come or the store is
 * being closed: then it will be signed again at the next start. Lock held. */
static void head_failed(cb_store *store, const group *g, cb_error error)
{
    if (!g->has_head)
        return;
    if (!store->has_head && !store->writer_stops) {
        store->has_head = true;
        store->head = g->head;
        store->head_frontier = g->frontier;
        store->head_since = cb_clock_monotonic_us() + HEAD_RETRY;
    }
    cb_waiters_done(&store->unstored, g->head.head.size, error);
}

/* One that had nothing to write, for what it was to do is done: it waits for the signature over
 * that, and over all else that it has seen. Lock held. */
static bool waits(const cb_store *store, cb_waiter *waiter)
{
    if (waiter->until != CB_UNTIL_SIGNED || store->tail.count == 0)
        return false;
    waiter->leaf = store->tail.base.size + store->tail.count - 1;
    return true;
}

static void member_done(cb_store *store, cb_waiter *waiter, cb_error lost)
{
    if (waiter->result) {
        cb_waiter_done(waiter, waiter->result);
        return;
    }
    waiter->committed = true;
    store->changes++;
    if (lost) {
        cb_waiter_done(waiter, lost);
    } else if (waiter->until == CB_UNTIL_COMMITTED || !(waiter->has_leaf || waits(store, waiter))) {
        cb_waiter_done(waiter, CB_OK);
    } else if (store->lane) {
        cb_waiter_done(waiter, cb_store_unsigned(store));
    } else {
        waiter->stage = CB_STAGE_COMMITTED;
        cb_waiters_push(&store->unsigned_wait, waiter);
    }
}

/* After COMMIT: makes what the group did the state of the store, and lets its callers go on; none
 * is told that it is done when it was written to a file that nobody will find again. */
static void group_done(cb_store *store, group *g)
{
    cb_txn *txn = &store->group;
    cb_waiter *waiter;
    cb_error lost = cb_store_in_place(store);
    pthread_mutex_lock(&store->lock);
    if (lost)
        cb_store_faulty(store, lost);
    else
        cb_store_sound(store);
    cb_log_tail_append(&store->tail, txn->leaves.hash, txn->leaves.count);
    cb_store_take_words(store, &txn->words);
    store->feed = txn->feed;
    store->groups++;
    while ((waiter = cb_waiters_pop(&g->members)))
        member_done(store, waiter, lost);
    if (g->has_head)
        cb_waiters_done(&store->unstored, g->head.head.size, lost);
    if (txn->leaves.count > 0)
        pthread_cond_signal(&store->sign);
    pthread_mutex_unlock(&store->lock);
}

static void group_failed(cb_store *store, group *g, cb_error error)
{
    cb_waiter *waiter;
    pthread_mutex_lock(&store->lock);
    while ((waiter = cb_waiters_pop(&g->members)))
        cb_waiter_done(waiter, waiter->result ? waiter->result : error);
    head_failed(store, g, error);
    pthread_mutex_unlock(&store->lock);
}

/* One transaction for one change, or for the head alone. */
static void alone(cb_store *store, group *g)
{
    cb_txn *txn = &store->group;
    bool lost = false;
    cb_error error = txn_begin(store);
    if (!error)
        error = begin_with(txn, g);
    if (!error && g->members.first) {
        g->members.first->result = CB_OK;
        run_one(txn, g->members.first, &lost);
        error = lost ? g->members.first->result : CB_OK;
        error = lost && !error ? CB_E_STORE : error;
    }
    if (!error)
        error = commit(txn);
    if (!error) {
        group_done(store, g);
        return;
    }
    cb_store_note_fault(store, error);
    cb_sql_give_up(txn->sql);
    group_failed(store, g, error);
}

static void one_by_one(cb_store *store, group *g)
{
    cb_waiter *waiter;
    if (g->has_head) {
        group head = {.has_head = true, .head = g->head, .frontier = g->frontier};
        alone(store, &head);
    }
    while ((waiter = cb_waiters_pop(&g->members))) {
        group one = {.count = 1};
        cb_waiters_push(&one.members, waiter);
        alone(store, &one);
    }
}

static cb_error run_all(cb_store *store, group *g)
{
    cb_txn *txn = &store->group;
    cb_waiter *waiter;
    bool lost = false;
    cb_error error = begin_with(txn, g);
    while (!error && !lost && (waiter = next_change(store, g->count))) {
        cb_waiters_push(&g->members, waiter);
        g->count++;
        run_one(txn, waiter, &lost);
        if (lost)
            error = waiter->result ? waiter->result : CB_E_STORE;
    }
    return error;
}

static void run_group(cb_store *store, group *g)
{
    cb_txn *txn = &store->group;
    cb_error error = txn_begin(store);
    cb_probe(store, "begin");
    bool begun = !error;
    cb_waiter *waiter;
    while (error && (waiter = next_change(store, g->count++)))
        cb_waiters_push(&g->members, waiter);
    if (!error)
        error = run_all(store, g);
    if (!error)
        error = commit(txn);
    if (!error) {
        group_done(store, g);
        return;
    }
    cb_store_note_fault(store, error);
    cb_sql_give_up(txn->sql);
    if (begun && error != CB_E_STORE && error != CB_E_STORE_DAMAGED)
        one_by_one(store, g);
    else
        group_failed(store, g, error);
}

/* ---- The thread ---- */

static bool has_work(const cb_store *store)
{
    return store->urgent.first || store->queue.first || (store->has_head && store->unstored.first);
}

/* When there is something to do that nobody waits for; 0: nothing. */
static int64_t next_due(const cb_store *store)
{
    if (store->fault)
        return store->trial_at;
    return store->has_head ? store->head_since + HEAD_PATIENCE : 0;
}

static void wait_for_work(cb_store *store)
{
    while (!has_work(store) && !store->writer_stops) {
        int64_t due = next_due(store);
        if (due == 0) {
            pthread_cond_wait(&store->work, &store->lock);
            continue;
        }
        if (cb_clock_monotonic_us() >= due)
            return;
        struct timespec at = {.tv_sec = due / CB_SECOND, .tv_nsec = due % CB_SECOND * 1000};
        pthread_cond_timedwait(&store->work, &store->lock, &at);
    }
}

/* False when there is nothing left to do for good. */
static bool take_group(cb_store *store, group *g)
{
    memset(g, 0, sizeof *g);
    pthread_mutex_lock(&store->lock);
    wait_for_work(store);
    int64_t now = cb_clock_monotonic_us();
    g->trial = store->fault && !store->writer_stops && now >= store->trial_at;
    bool more = has_work(store) || store->has_head || !store->writer_stops;
    /* One that could not be stored just now must not keep changes from being tried. */
    g->has_head = store->has_head && (store->unstored.first || store->writer_stops ||
                                      now >= (store->fault ? store->trial_at : store->head_since));
    if (g->has_head) {
        g->head = store->head;
        g->frontier = store->head_frontier;
        store->has_head = false;
    }
    pthread_mutex_unlock(&store->lock);
    return more;
}

void *cb_writer_main(void *context)
{
    cb_store *store = context;
    group g;
    while (take_group(store, &g))
        run_group(store, &g);
    return NULL;
}
