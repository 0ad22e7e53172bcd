/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The caller's side of a change: into the queue, and wait for as long as the change asks.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "broker/store/internal.h"

enum { QUEUE_DEFAULT = 1024, LOOKS = 5 };

static cb_error admission(cb_store *store, const cb_change *change)
{
    unsigned most = store->options.queue ? store->options.queue : QUEUE_DEFAULT;
    if (store->writer_stops)
        return CB_E_STOPPING;
    if (store->refused)
        return store->refused;
    if (change->urgency == CB_WRITE_REFUSAL)
        return cb_store_short_of_space(store) ? CB_E_STORE_FULL : CB_OK;
    if (change->urgency != CB_WRITE_ORDINARY)
        return CB_OK;
    if (store->fault)
        return store->fault;
    if (store->lane)
        return CB_E_HSM_DOWN;
    if (store->check && store->check != CB_E_BUSY)
        return store->check;
    if (cb_store_short_of_space(store))
        return CB_E_STORE_FULL;
    return store->queued >= most ? CB_E_BUSY : CB_OK;
}

static void enqueue(cb_store *store, cb_waiter *waiter)
{
    if (waiter->change->urgency == CB_WRITE_URGENT) {
        cb_waiters_push(&store->urgent, waiter);
    } else {
        cb_waiters_push(&store->queue, waiter);
        store->queued++;
    }
    pthread_cond_signal(&store->work);
}

/* A signer that lets one wait too long lets the next wait too: until it answers, nobody else is
 * made to. */
static void give_up(cb_store *store, cb_waiter *waiter)
{
    if (waiter->stage == CB_STAGE_COMMITTED && !store->lane)
        store->lane = CB_E_TIMEOUT;
    cb_waiters_remove(waiter->stage == CB_STAGE_SIGNED ? &store->unstored : &store->unsigned_wait,
                      waiter);
    cb_waiter_done(waiter, cb_store_unsigned(store));
}

/* False when it was not woken for a look's time. */
static bool wait_a_look(cb_store *store, cb_waiter *waiter)
{
    int64_t due = cb_deadline_in(CB_STORE_SIGN_WAIT / LOOKS);
    struct timespec at = {.tv_sec = due / CB_SECOND, .tv_nsec = due % CB_SECOND * 1000};
    return pthread_cond_timedwait(&waiter->wake, &store->lock, &at) == 0;
}

/* What is queued will be committed or not, and only then is it known which; so that wait has no end
 * of its own. Nobody is woken to hear that he was committed: he looks himself. A process that was
 * held up for long takes that for one look in vain, and not for the signer's silence. */
static void wait_until_done(cb_store *store, cb_waiter *waiter)
{
    unsigned in_vain = 1; /* a part of one is not seen: in which it was committed */
    while (waiter->stage != CB_STAGE_DONE) {
        bool committed = waiter->stage != CB_STAGE_QUEUED;
        bool woken = wait_a_look(store, waiter);
        if (committed && !woken && waiter->stage != CB_STAGE_DONE && ++in_vain == LOOKS)
            give_up(store, waiter);
    }
}

/* Made by the caller, so that proofs of one group are made side by side. */
static void prove(const cb_waiter *waiter, cb_inclusion *out)
{
    const cb_signed_batch *batch = waiter->batch;
    out->index = waiter->leaf;
    out->head = batch->head;
    cb_merkle_inclusion(&batch->before, batch->hash, batch->count,
                        (size_t)(waiter->leaf - batch->before.size), &out->path);
}

static void let_go(cb_store *store, cb_signed_batch *batch)
{
    if (!batch)
        return;
    pthread_mutex_lock(&store->lock);
    bool last = --batch->references == 0;
    pthread_mutex_unlock(&store->lock);
    if (last)
        free(batch);
}

cb_error cb_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return CB_E_MEMORY;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int status = pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return status == 0 ? CB_OK : CB_E_MEMORY;
}

cb_error cb_store_write(cb_store *store, const cb_change *change)
{
    cb_waiter waiter = {.change = change};
    cb_error error = cb_cond_init(&waiter.wake);
    if (error)
        return error;
    pthread_mutex_lock(&store->lock);
    error = admission(store, change);
    if (!error) {
        enqueue(store, &waiter);
        wait_until_done(store, &waiter);
        error = waiter.result;
    }
    pthread_mutex_unlock(&store->lock);
    if (!error && change->inclusion && waiter.batch)
        prove(&waiter, change->inclusion);
    let_go(store, waiter.batch);
    if (change->committed)
        *change->committed = waiter.committed;
    pthread_cond_destroy(&waiter.wake);
    cb_probe(store, "released");
    return error;
}

bool cb_store_signs(cb_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool signs = store->lane == CB_OK;
    pthread_mutex_unlock(&store->lock);
    return signs;
}

cb_error cb_store_feed_head(cb_store *store, cb_feed_head *out)
{
    pthread_mutex_lock(&store->lock);
    cb_error error = store->refused ? store->refused : store->fault;
    *out = store->feed;
    pthread_mutex_unlock(&store->lock);
    return error;
}

void cb_txn_commit_only(cb_txn *txn) { txn->until = CB_UNTIL_COMMITTED; }
