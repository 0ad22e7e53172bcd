/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What lies before the checkpoint from which a start went on is read while logins are served.
 *
 * It must lead to what the checkpoint says. Where it does not, one of its leaves was changed, or
 * the checkpoint was false from the beginning, which only a broker that was taken over can have
 * brought about: nobody is logged in from then on. A leaf takes the checkpoint back, so that the
 * next start reads everything first, whatever files it finds. Heads are signed on: the tree is the
 * one that was signed, for the start has seen that it leads to the head that the key service
 * remembers.
 */
#include <string.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "base/log.h"
#include "broker/store/checkpoint_file.h"
#include "broker/store/reading.h"

#define RETRY (10 * CB_SECOND)

static const char leaves_differ[] =
    "Old leaves of the record are not the ones that were signed: nobody is logged in any more; keep "
    "a copy, and ask cardbrokerctl audit verify";
static const char words_differ[] =
    "The checkpoint from which this start went on does not say what the leaves before it say: the "
    "broker that made it was not sound. Nobody is logged in any more; the next start reads the whole "
    "record first";

static cb_error compare(const cb_reading *r, const cb_checkpoint *said, const char **wrong)
{
    cb_checkpoint own = {.tree = said->tree, .feed = said->feed, .rules = said->rules};
    *wrong = leaves_differ;
    if (!cb_reading_is(r, &said->tree, &said->feed))
        return CB_E_EVIDENCE;
    cb_error error = cb_words_of(&r->words, &own);
    *wrong = words_differ;
    return error || cb_checkpoint_same(&own, said) ? error : CB_E_EVIDENCE;
}

static cb_error read_rest(cb_store *store, const cb_checkpoint *said, const char **wrong)
{
    cb_reading r = {.store = store,
                    .until = said->tree.size,
                    .seen = &store->checked,
                    .before = store->opened.size - said->tree.size};
    *wrong = leaves_differ;
    cb_error error = cb_reading_run(&r);
    if (!error)
        error = compare(&r, said, wrong);
    cb_id_map_free(&r.words);
    return error;
}

/* False when the store is being closed. */
static bool wait_a_while(cb_store *store)
{
    int64_t due = cb_deadline_in(RETRY);
    struct timespec at = {.tv_sec = due / CB_SECOND, .tv_nsec = due % CB_SECOND * 1000};
    int status = 0;
    pthread_mutex_lock(&store->lock);
    while (!store->writer_stops && status == 0)
        status = pthread_cond_timedwait(&store->checking, &store->lock, &at);
    bool goes_on = !store->writer_stops;
    pthread_mutex_unlock(&store->lock);
    return goes_on;
}

static cb_error run_refuted(cb_txn *txn, void *context)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_checkpoint_take_back(&leaf, cb_clock_wall_us(), context);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

/* A head over it is signed as soon as the key service answers. */
static void refute(cb_store *store)
{
    cb_error error;
    bool written = false;
    cb_checkpoint_over end = {.position = store->gone_on_leaf};
    cb_change change = {.run = run_refuted,
                        .context = &end,
                        .urgency = CB_WRITE_DUE,
                        .until = CB_UNTIL_SIGNED,
                        .committed = &written};
    do {
        error = cb_store_write(store, &change);
        if (error)
            cb_log(CB_LOG_WARNING, "store.checkpoint",
                   written ? "That a checkpoint was refuted is not under a signed head yet"
                           : "That a checkpoint was refuted is not in the record yet",
                   "error", cb_error_code(error), NULL);
    } while (error && !written && wait_a_while(store));
}

static void close_down(cb_store *store, const char *wrong)
{
    if (!cb_checkpoint_forget(store))
        cb_log(CB_LOG_WARNING, "store.checkpoint",
               "The files of a checkpoint that was refuted cannot be removed", NULL);
    pthread_mutex_lock(&store->lock);
    store->check = CB_E_EVIDENCE;
    pthread_cond_broadcast(&store->checking);
    pthread_mutex_unlock(&store->lock);
    cb_log(CB_LOG_ERROR, "store.evidence", wrong, "error", cb_error_code(CB_E_EVIDENCE), NULL);
    refute(store);
}

bool cb_reread(cb_store *store)
{
    const char *wrong = NULL;
    cb_error error;
    pthread_mutex_lock(&store->lock);
    cb_checkpoint said = store->gone_on;
    bool sound = store->checkpoint.sound, good = store->check == CB_OK;
    pthread_mutex_unlock(&store->lock);
    if (sound || !good)
        return sound;
    do {
        error = read_rest(store, &said, &wrong);
        if (error && error != CB_E_EVIDENCE && error != CB_E_STOPPING)
            cb_log(CB_LOG_WARNING, "store.reread", "Old leaves cannot be read again just now",
                   "error", cb_error_code(error), NULL);
    } while (error && error != CB_E_EVIDENCE && error != CB_E_STOPPING && wait_a_while(store));
    if (error == CB_E_EVIDENCE)
        close_down(store, wrong);
    pthread_mutex_lock(&store->lock);
    store->checkpoint.sound = !error;
    pthread_mutex_unlock(&store->lock);
    return !error;
}
