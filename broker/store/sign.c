/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The signer: has the head over everything committed signed, one head for however many groups came
 * in the meantime.
 *
 * The key service remembers the last head it signed and signs only what extends it. It may have
 * signed one whose answer was lost, so when it refuses, what it remembers is looked for in this
 * log: if it is there, the proof starts from it; if it is not, this database is older than, or
 * another than, the one that was served before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/store/internal.h"

/* An hsmd that was restarted is back in a moment; one that is away is not asked all the time. */
#define FIRST_RETRY (10 * CB_MILLISECOND)
#define LONGEST_RETRY (500 * CB_MILLISECOND)

/* What to sign, copied so that the lock is not held meanwhile. */
typedef struct job {
    cb_signed_batch *batch;
    cb_merkle_frontier after;
    cb_merkle_frontier known; /* what the key service is believed to remember */
} job;

static cb_error make_job(cb_store *store, job *out)
{
    const cb_log_tail *tail = &store->tail;
    out->batch = malloc(sizeof *out->batch + tail->count * sizeof *tail->hash);
    if (!out->batch)
        return CB_E_MEMORY;
    memset(out->batch, 0, sizeof *out->batch);
    out->batch->references = 1;
    out->batch->before = tail->base;
    out->batch->count = tail->count;
    if (tail->count > 0)
        memcpy(out->batch->hash, tail->hash, tail->count * sizeof *tail->hash);
    out->known = tail->base;
    return CB_OK;
}

/* The leaves of the batch and those before it as far back as the key service's memory, if that is
 * older. */
static cb_error prove_from(cb_store *store, const cb_merkle_frontier *known,
                           const cb_signed_batch *batch, cb_merkle_proof *proof)
{
    uint64_t base = batch->before.size;
    if (known->size >= base) {
        size_t skip = (size_t)(known->size - base);
        cb_merkle_consistency(known, batch->hash + skip, batch->count - skip, proof);
        return CB_OK;
    }
    cb_log_tail since = {0};
    cb_sql *sql = NULL;
    cb_error error = cb_reader_take(store, &sql);
    if (!error && known->size > 0)
        error = cb_row_hashes(sql, known->size, base + batch->count, &since);
    if (!error)
        cb_merkle_consistency(known, since.hash, since.count, proof);
    cb_reader_give(store, &sql);
    cb_log_tail_free(&since);
    return error;
}

/* The tree over the first size leaves: of those in memory, or else read from the start. */
static cb_error tree_at(cb_store *store, const cb_signed_batch *batch, uint64_t size,
                        cb_merkle_frontier *out)
{
    *out = batch->before;
    for (size_t i = 0; out->size < size && i < batch->count; i++)
        cb_merkle_append(out, &batch->hash[i]);
    if (out->size <= size)
        return out->size == size ? CB_OK : CB_E_HSM_ROLLED_BACK;
    cb_sql *sql = NULL;
    cb_error error = cb_reader_take(store, &sql);
    if (!error)
        error = cb_row_frontier_at(sql, size, out);
    cb_reader_give(store, &sql);
    return error;
}

static void say_rolled_back(uint64_t signed_size, uint64_t here)
{
    char theirs[24], ours[24];
    snprintf(theirs, sizeof theirs, "%llu", (unsigned long long)signed_size);
    snprintf(ours, sizeof ours, "%llu", (unsigned long long)here);
    cb_log(CB_LOG_ERROR, "store.rolled_back",
           "The key service has signed a log head that this database does not lead to: the "
           "database is older or another one; restore the newest",
           "signed", theirs, "here", ours, NULL);
}

/* Finds the remembered head in this log. CB_E_HSM_ROLLED_BACK when it is not there. */
static cb_error find_remembered(cb_store *store, const cb_signed_batch *batch,
                                const cb_tree_head *remembered, cb_merkle_frontier *out)
{
    *out = (cb_merkle_frontier){0};
    if (remembered->size == 0)
        return CB_OK;
    cb_error error = tree_at(store, batch, remembered->size, out);
    cb_tree_head ours = cb_frontier_head(out);
    if (!error && memcmp(&ours.root, &remembered->root, sizeof ours.root) != 0)
        error = CB_E_HSM_ROLLED_BACK;
    if (error == CB_E_HSM_ROLLED_BACK)
        say_rolled_back(remembered->size, batch->before.size + batch->count);
    return error;
}

static cb_error sign_once(cb_store *store, job *j, cb_tree_head *remembered)
{
    cb_merkle_proof proof;
    cb_tree_head head = cb_frontier_head(&j->after);
    cb_error error = prove_from(store, &j->known, j->batch, &proof);
    if (error)
        return error;
    const cb_head_signer *signer = &store->options.signer;
    error = signer->sign(signer->context, &head, &proof, &j->batch->head, remembered);
    if (!error && (j->batch->head.head.size != head.size ||
                   memcmp(&j->batch->head.head.root, &head.root, sizeof head.root) != 0))
        error = CB_E_PROTOCOL;
    return error;
}

/* Signs, and once more from what the key service remembers when that is not what was thought. */
static cb_error sign_job(cb_store *store, job *j)
{
    cb_tree_head remembered = {0};
    j->after = j->batch->before;
    for (size_t i = 0; i < j->batch->count; i++)
        cb_merkle_append(&j->after, &j->batch->hash[i]);
    cb_error error = sign_once(store, j, &remembered);
    if (error != CB_E_HSM_HEAD)
        return error;
    error = find_remembered(store, j->batch, &remembered, &j->known);
    return error ? error : sign_once(store, j, &remembered);
}

/* The first time. Where leaves were found that the key service has not signed, the next head waits
 * until they were looked at (recheck.c). */
static void note_contact(cb_store *store, const cb_tree_head *remembered)
{
    pthread_mutex_lock(&store->lock);
    if (!store->contact) {
        store->contact = true;
        store->remembered = *remembered;
        store->settled = remembered->size == 0 || remembered->size >= store->opened.size;
        pthread_cond_broadcast(&store->checking);
    }
    pthread_mutex_unlock(&store->lock);
}

static cb_error ask_remembered(cb_store *store, job *j)
{
    cb_tree_head remembered = {0};
    const cb_head_signer *signer = &store->options.signer;
    cb_error error = signer->state(signer->context, &remembered);
    if (!error)
        error = find_remembered(store, j->batch, &remembered, &j->known);
    if (!error)
        note_contact(store, &remembered);
    return error;
}

cb_error cb_signer_check(cb_store *store)
{
    job j = {0};
    cb_error error = make_job(store, &j);
    if (!error)
        error = ask_remembered(store, &j);
    free(j.batch);
    return error;
}

/* ---- Afterwards. Lock held. ---- */

static void pass_on(cb_store *store, cb_waiter *waiter, cb_signed_batch *batch)
{
    if (waiter->until == CB_UNTIL_STORED) {
        waiter->stage = CB_STAGE_SIGNED;
        cb_waiters_push(&store->unstored, waiter);
        return;
    }
    if (waiter->change->inclusion) {
        waiter->batch = batch;
        batch->references++;
    }
    cb_waiter_done(waiter, CB_OK);
}

static void signed_well(cb_store *store, job *j)
{
    cb_waiters waiting = store->unsigned_wait;
    cb_waiter *waiter;
    store->unsigned_wait = (cb_waiters){0};
    store->has_head = true;
    store->head = j->batch->head;
    store->head_frontier = j->after;
    store->head_since = cb_clock_monotonic_us();
    cb_log_tail_advance(&store->tail, &j->after);
    while ((waiter = cb_waiters_pop(&waiting))) {
        if (waiter->leaf < j->after.size)
            pass_on(store, waiter, j->batch);
        else
            cb_waiters_push(&store->unsigned_wait, waiter);
    }
    pthread_cond_signal(&store->work);
    if (cb_checkpoint_due(store))
        pthread_cond_broadcast(&store->checking);
}

static void lane_is(cb_store *store, cb_error error)
{
    if (error == CB_E_HSM_ROLLED_BACK)
        cb_store_refuse(store, error, "No change is taken on a database that is not the newest");
    if (error)
        cb_waiters_done(&store->unsigned_wait, UINT64_MAX, cb_store_unsigned(store));
    if ((store->lane == CB_OK) != (error == CB_OK))
        cb_log(error ? CB_LOG_ERROR : CB_LOG_INFO, error ? "store.unsigned" : "store.signing",
               error ? "Log heads are not being signed: only revocations are taken"
                     : "Log heads are being signed",
               "error", error ? cb_error_code(error) : NULL, NULL);
    /* 0: whoever found it away was not the signer (store.c, write.c). */
    int64_t longer = store->lane && store->lane_retry > 0 ? 2 * store->lane_retry : FIRST_RETRY;
    store->lane_retry = longer < LONGEST_RETRY ? longer : LONGEST_RETRY;
    store->lane = error;
}

/* One round: signs what is committed, or only asks whether the lane is back. Lock held on entry and
 * return. */
static void one_round(cb_store *store)
{
    job j = {0};
    bool was_down = store->lane != CB_OK, settled = store->settled;
    cb_error error = make_job(store, &j);
    pthread_mutex_unlock(&store->lock);
    if (!error && was_down)
        error = ask_remembered(store, &j);
    bool work = settled && j.batch && j.batch->count > 0;
    if (!error && work)
        error = sign_job(store, &j);
    cb_probe(store, "signed");
    pthread_mutex_lock(&store->lock);
    if (!error && work)
        signed_well(store, &j);
    lane_is(store, error);
    if (j.batch && --j.batch->references == 0)
        free(j.batch);
}

/* Waits for something to do; false when it is time to end. */
static bool wait_for_round(cb_store *store)
{
    if (store->lane == CB_OK && !store->refused) {
        while ((store->tail.count == 0 || !store->settled) && !store->signer_stops)
            pthread_cond_wait(&store->sign, &store->lock);
        return store->tail.count > 0 && store->settled;
    }
    int64_t due = cb_clock_monotonic_us() + store->lane_retry;
    struct timespec at = {.tv_sec = due / CB_SECOND, .tv_nsec = due % CB_SECOND * 1000};
    int status = 0;
    while (!store->signer_stops && (store->refused || status == 0)) {
        if (store->refused) {
            cb_waiters_done(&store->unsigned_wait, UINT64_MAX, store->refused);
            pthread_cond_wait(&store->sign, &store->lock);
        } else {
            status = pthread_cond_timedwait(&store->sign, &store->lock, &at);
        }
    }
    return !store->signer_stops;
}

void *cb_signer_main(void *context)
{
    cb_store *store = context;
    pthread_mutex_lock(&store->lock);
    while (wait_for_round(store))
        one_round(store);
    pthread_mutex_unlock(&store->lock);
    return NULL;
}
