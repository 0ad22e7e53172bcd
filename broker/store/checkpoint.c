/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making checkpoints (broker/evidence/checkpoint.h) while the broker serves.
 *
 * Only a process that has read the whole record again makes one: so what it says comes from the
 * leaves, and never from an earlier checkpoint alone. What is known is copied under the store's
 * lock; it is sorted, hashed and written in this thread while logins go on; the leaf that speaks of
 * it comes last. A leaf without a file, or a file without its leaf, is worth nothing and does no
 * harm. The file takes the place of the one before when its leaf is under a signed head.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "base/log.h"
#include "broker/store/checkpoint_file.h"

enum {
    SPARE = 4096, /* words that may come between asking how many there are and copying them */
    TRIES = 8,
    /* Between two there is at least a leaf for so many words: what writing and checking them costs
     * grows with the record, and no faster. */
    WORDS_A_LEAF = 8
};

typedef struct snapshot {
    cb_checkpoint checkpoint;
    cb_merkle_frontier tree;
    cb_id_entry *words;
    size_t room;
} snapshot;

/* ---- When. Lock held. ---- */

static bool settled_down(const cb_store *store)
{
    return store->settled && !store->check && !store->lane && !store->fault && !store->refused;
}

static bool next_is_due(const cb_store *store)
{
    uint64_t every = store->checkpoint.every, least = store->vouches.count / WORDS_A_LEAF;
    uint64_t last = store->checkpoint.size > store->checkpoint.tried ? store->checkpoint.size
                                                                     : store->checkpoint.tried;
    uint64_t size = cb_log_tail_size(&store->tail);
    return size >= last && size - last >= (every > least ? every : least);
}

static bool leaf_is_signed(const cb_store *store)
{
    return store->tail.base.size > store->checkpoint.leaf;
}

bool cb_checkpoint_due(const cb_store *store)
{
    if (!store->checkpoint.sound || store->checkpoint.every == 0)
        return false;
    if (store->checkpoint.waits)
        return leaf_is_signed(store);
    return settled_down(store) && next_is_due(store);
}

/* ---- What is known ---- */

/* Made ready, and touched, before the lock is taken. */
static cb_error make_room(snapshot *s, size_t words)
{
    if (words <= s->room)
        return CB_OK;
    free(s->words);
    s->room = words + SPARE;
    s->words = malloc(s->room * sizeof *s->words);
    if (!s->words)
        return CB_E_MEMORY;
    memset(s->words, 0, s->room * sizeof *s->words);
    return CB_OK;
}

/* Lock held. Leaves, revocations and words change together under it (commit_group.c). */
static void copy(cb_store *store, snapshot *s)
{
    cb_log_tail_at(&store->tail, cb_log_tail_size(&store->tail), &s->tree);
    s->checkpoint = (cb_checkpoint){.tree = cb_frontier_head(&s->tree),
                                    .feed = store->feed,
                                    .words = store->vouches.count,
                                    .rules = cb_vouch_rules()};
    cb_words_copy(&store->vouches, s->words);
}

static cb_error take(cb_store *store, snapshot *s)
{
    bool done = false;
    pthread_mutex_lock(&store->lock);
    for (int i = 0; !done && i < TRIES; i++) {
        size_t words = store->vouches.count;
        pthread_mutex_unlock(&store->lock);
        if (make_room(s, words) != CB_OK)
            return CB_E_MEMORY;
        pthread_mutex_lock(&store->lock);
        done = store->vouches.count <= s->room;
    }
    if (done)
        copy(store, s);
    pthread_mutex_unlock(&store->lock);
    return done ? CB_OK : CB_E_BUSY;
}

/* ---- The leaf ---- */

typedef struct saying {
    const cb_checkpoint *checkpoint;
    uint64_t leaf;
} saying;

static cb_error say(cb_txn *txn, void *context)
{
    saying *s = context;
    if (txn->position - s->checkpoint->tree.size >= CB_CHECKPOINT_LAG)
        return CB_E_BUSY;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "record.checkpoint", cb_clock_wall_us());
    cb_checkpoint_put(&leaf, s->checkpoint);
    cb_error error = cb_txn_leaf(txn, &leaf, &s->leaf);
    cb_buf_free(&leaf);
    return error;
}

/* ---- The thread ---- */

static cb_error make(cb_store *store, snapshot *s)
{
    cb_error error = take(store, s);
    if (error)
        return error;
    cb_words_sort(s->words, s->checkpoint.words);
    cb_probe(store, "checkpoint.sorted");
    error = cb_checkpoint_write(store, &s->checkpoint, &s->tree, s->words);
    cb_probe(store, "checkpoint.written");
    if (error)
        return error;
    saying what = {.checkpoint = &s->checkpoint};
    cb_change change = {.run = say, .context = &what, .urgency = CB_WRITE_DUE};
    error = cb_store_write(store, &change);
    cb_probe(store, "checkpoint.said");
    if (error)
        return error;
    pthread_mutex_lock(&store->lock);
    store->checkpoint.size = s->checkpoint.tree.size;
    store->checkpoint.waits = true;
    store->checkpoint.leaf = what.leaf;
    pthread_mutex_unlock(&store->lock);
    return CB_OK;
}

static void make_one(cb_store *store)
{
    snapshot s = {0};
    cb_error error = make(store, &s);
    free(s.words);
    if (!error || error == CB_E_STOPPING)
        return;
    cb_log(CB_LOG_WARNING, "store.checkpoint",
           "No checkpoint could be made: the next start reads more of the record, or all of it, "
           "before anybody is logged in; another is tried later",
           "error", cb_error_code(error), NULL);
    pthread_mutex_lock(&store->lock);
    store->checkpoint.tried = cb_log_tail_size(&store->tail);
    pthread_mutex_unlock(&store->lock);
}

static void keep(cb_store *store)
{
    cb_error error = cb_checkpoint_keep(store);
    cb_probe(store, "checkpoint.kept");
    if (error)
        cb_log(CB_LOG_WARNING, "store.checkpoint",
               "A checkpoint could not be given its name: the next start may read more of the "
               "record before anybody is logged in",
               "error", cb_error_code(error), NULL);
    pthread_mutex_lock(&store->lock);
    store->checkpoint.waits = false;
    pthread_mutex_unlock(&store->lock);
}

void cb_checkpoint_main(cb_store *store)
{
    pthread_mutex_lock(&store->lock);
    while (!store->writer_stops) {
        if (!cb_checkpoint_due(store)) {
            pthread_cond_wait(&store->checking, &store->lock);
            continue;
        }
        bool waited = store->checkpoint.waits;
        pthread_mutex_unlock(&store->lock);
        if (waited)
            keep(store);
        else
            make_one(store);
        pthread_mutex_lock(&store->lock);
    }
    pthread_mutex_unlock(&store->lock);
}

void cb_checkpoint_end(cb_store *store)
{
    if (store->checkpoint.waits && leaf_is_signed(store))
        keep(store);
}
