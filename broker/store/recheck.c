/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * After the start: the whole record is read again, in a thread of its own, while revocations are
 * taken already. Logins wait for its end.
 *
 * Every leaf is hashed from its bytes. The tree must have the root that the key service remembers
 * and the root from which this process went on, the chain of revocations the hash from which it
 * went on. On the way what the log says about rows is collected (broker/evidence/vouch.h).
 *
 * Leaves after the head that the key service remembers were under no signature when they were
 * found: a crash leaves some there, and whoever writes the database can leave more. What they take
 * away counts; for each that would let somebody do more, a leaf "registry.unconfirmed" takes its
 * word back before the next head is signed, and the act has to be repeated. No act of an
 * administrator is acknowledged before it is under a head (core/act.c), so nothing that was
 * promised is lost. A key service that remembers nothing at all was set up anew: then the log is
 * taken as it is, which auditors have to compare with the heads they keep (cardbroker-hsmd(8)).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "base/log.h"
#include "broker/evidence/leaf_feed.h"
#include "broker/store/internal.h"

enum { PAGE = 500, BATCH = 200 };

#define RETRY (500 * CB_MILLISECOND)

typedef struct doubtful {
    uint64_t leaf;
    cb_vouch vouch;
} doubtful;

typedef struct pass {
    cb_store *store;
    cb_merkle_frontier tree;
    cb_tree_head remembered;
    uint64_t confirmed; /* leaves below this were under a head that the key service remembers */
    cb_feed_head feed;
    cb_id_map vouches;
    doubtful *doubt;
    size_t doubts;
    uint64_t seen;
} pass;

/* ---- Reading ---- */

static cb_error note_doubt(pass *p, uint64_t position, const cb_vouch *vouch)
{
    /* Grows by powers of two: the size is known from the count. */
    if ((p->doubts & (p->doubts - 1)) == 0) {
        doubtful *grown = realloc(p->doubt, (p->doubts ? 2 * p->doubts : 1) * sizeof *grown);
        if (!grown)
            return CB_E_MEMORY;
        p->doubt = grown;
    }
    p->doubt[p->doubts++] = (doubtful){position, *vouch};
    return CB_OK;
}

static bool is_remembered(const pass *p)
{
    cb_tree_head own = cb_frontier_head(&p->tree);
    return memcmp(&own.root, &p->remembered.root, sizeof own.root) == 0;
}

static cb_error take_leaf(void *context, const cb_log_leaf *leaf)
{
    pass *p = context;
    cb_vouch vouch;
    cb_feed_entry entry;
    if (leaf->position >= p->store->opened.size)
        return CB_OK;
    if (leaf->position != p->tree.size)
        return CB_E_EVIDENCE;
    cb_digest hash = cb_merkle_leaf(leaf->data);
    cb_merkle_append(&p->tree, &hash);
    if (p->tree.size == p->remembered.size && !is_remembered(p))
        return CB_E_EVIDENCE;
    if (cb_leaf_feed(leaf->data, &entry)) {
        p->feed.hash = cb_feed_hash(&p->feed.hash, &entry);
        p->feed.number++;
    }
    if (!cb_vouch_read(leaf->data, &vouch))
        return CB_OK;
    cb_error error = cb_vouch_apply(&p->vouches, &vouch);
    if (!error && leaf->position >= p->confirmed && cb_vouch_grants(&vouch))
        error = note_doubt(p, leaf->position, &vouch);
    return error;
}

static cb_error read_page(cb_txn *txn, void *context)
{
    return cb_row_leaves(txn, ((pass *)context)->tree.size, PAGE, take_leaf, context);
}

static cb_error goes_on(pass *p)
{
    cb_store *store = p->store;
    pthread_mutex_lock(&store->lock);
    store->checked = p->tree.size;
    cb_error error = store->signer_stops || store->writer_stops ? CB_E_STOPPING : CB_OK;
    pthread_mutex_unlock(&store->lock);
    return error;
}

static cb_error read_all(pass *p)
{
    cb_store *store = p->store;
    cb_error error = CB_OK;
    while (!error && p->tree.size < store->opened.size) {
        uint64_t before = p->tree.size;
        error = cb_store_read(store, read_page, p);
        if (!error && p->tree.size == before)
            error = CB_E_EVIDENCE;
        if (!error)
            error = goes_on(p);
    }
    if (error)
        return error;
    cb_tree_head own = cb_frontier_head(&p->tree);
    bool same = memcmp(&own.root, &store->opened.root, sizeof own.root) == 0 &&
                p->feed.number == store->opened_feed.number &&
                memcmp(&p->feed.hash, &store->opened_feed.hash, sizeof p->feed.hash) == 0;
    return same ? CB_OK : CB_E_EVIDENCE;
}

/* ---- What was found unsigned ---- */

typedef struct batch {
    const doubtful *doubt;
    size_t count;
} batch;

static cb_error put_unconfirmed(cb_txn *txn, const doubtful *doubt)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX), found = CB_BUF(CB_LEAF_MAX), name = CB_BUF(CB_LEAF_MAX);
    const char *about, *taken_back;
    cb_vouch_lines(doubt->vouch.kind, &about, &taken_back);
    cb_error error = cb_row_leaf_get(txn, doubt->leaf, &found);
    if (!error)
        error = cb_leaf_find(cb_buf_bytes(&found), about, &name);
    const char *text = error ? NULL : cb_buf_cstr(&name);
    cb_leaf_begin(&leaf, "registry.unconfirmed", cb_clock_wall_us());
    cb_leaf_number(&leaf, "leaf", doubt->leaf);
    cb_leaf_text(&leaf, taken_back, text ? text : "");
    if (!error)
        error = text ? cb_txn_leaf(txn, &leaf, NULL) : CB_E_MEMORY;
    cb_buf_free(&leaf);
    cb_buf_free(&found);
    cb_buf_free(&name);
    return error;
}

static cb_error run_batch(cb_txn *txn, void *context)
{
    const batch *b = context;
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < b->count; i++)
        error = put_unconfirmed(txn, &b->doubt[i]);
    return error;
}

static cb_error take_back(pass *p)
{
    cb_error error = CB_OK;
    for (size_t at = 0; !error && at < p->doubts; at += BATCH) {
        batch b = {p->doubt + at, p->doubts - at < BATCH ? p->doubts - at : BATCH};
        cb_change change = {.run = run_batch, .context = &b, .urgency = CB_WRITE_DUE};
        error = cb_store_write(p->store, &change);
    }
    if (p->doubts > 0) {
        char number[24];
        snprintf(number, sizeof number, "%zu", p->doubts);
        cb_log(
            CB_LOG_WARNING, "store.unconfirmed",
            "Acts of administrators that no signed head covered were found in the log: they count "
            "for nothing until they are repeated (leaves registry.unconfirmed name them)",
            "count", number, NULL);
    }
    return error;
}

/* ---- The thread ---- */

/* Until the key service has said once what it remembers. */
static cb_error wait_for_contact(pass *p)
{
    cb_store *store = p->store;
    pthread_mutex_lock(&store->lock);
    while (!store->contact && !store->writer_stops)
        pthread_cond_wait(&store->checking, &store->lock);
    p->remembered = store->remembered;
    cb_error error = store->contact ? CB_OK : CB_E_STOPPING;
    pthread_mutex_unlock(&store->lock);
    p->confirmed = p->remembered.size ? p->remembered.size : store->opened.size;
    return error;
}

/* What was said since the start comes after what was read. */
static cb_error hand_over(pass *p)
{
    cb_store *store = p->store;
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < store->since.count; i++)
        error = cb_vouch_apply(&p->vouches, &store->since.item[i]);
    /* For a group that made room while this was not the map. */
    if (!error)
        error = cb_id_map_reserve(&p->vouches, 2 * store->since.room);
    if (error)
        return error;
    store->vouches = p->vouches;
    p->vouches = (cb_id_map){0};
    cb_vouch_list_free(&store->since);
    return CB_OK;
}

/* Whether to read again in a while: what failed may have passed by then. Lock held. */
static bool waits_for_another(cb_store *store, cb_error error)
{
    int64_t due = cb_deadline_in(RETRY);
    struct timespec at = {.tv_sec = due / CB_SECOND, .tv_nsec = due % CB_SECOND * 1000};
    int status = 0;
    if (!error || error == CB_E_EVIDENCE || error == CB_E_STOPPING || store->refused)
        return false;
    while (!store->writer_stops && status == 0)
        status = pthread_cond_timedwait(&store->checking, &store->lock, &at);
    return !store->writer_stops;
}

/* False when the record is to be read once more. */
static bool done(pass *p, cb_error error)
{
    cb_store *store = p->store;
    pthread_mutex_lock(&store->lock);
    if (!error)
        error = hand_over(p);
    if (waits_for_another(store, error)) {
        pthread_mutex_unlock(&store->lock);
        return false;
    }
    store->check = error;
    if (error != CB_E_STOPPING)
        store->settled = !error;
    pthread_cond_broadcast(&store->checking);
    pthread_cond_signal(&store->sign);
    pthread_mutex_unlock(&store->lock);
    if (error && error != CB_E_STOPPING)
        cb_log(CB_LOG_ERROR, "store.evidence",
               "The record is not the one that was signed: nobody is logged in and no head is "
               "signed; keep a copy, and ask cardbrokerctl audit verify",
               "error", cb_error_code(error), NULL);
    return true;
}

static bool one_pass(cb_store *store)
{
    pass p = {.store = store};
    cb_error error = wait_for_contact(&p);
    if (!error)
        error = read_all(&p);
    if (!error)
        error = take_back(&p);
    bool ended = done(&p, error);
    cb_id_map_free(&p.vouches);
    free(p.doubt);
    return ended;
}

void *cb_check_main(void *store)
{
    while (!one_pass(store))
        ;
    return NULL;
}

cb_error cb_store_checked(cb_store *store, int64_t deadline)
{
    struct timespec at = {.tv_sec = deadline / CB_SECOND, .tv_nsec = deadline % CB_SECOND * 1000};
    int status = 0;
    pthread_mutex_lock(&store->lock);
    while (store->check == CB_E_BUSY && store->contact && !store->refused && status == 0)
        status = pthread_cond_timedwait(&store->checking, &store->lock, &at);
    cb_error error = store->refused ? store->refused : store->check;
    if (error == CB_E_BUSY && !store->contact)
        error = CB_E_HSM_DOWN;
    pthread_mutex_unlock(&store->lock);
    return error;
}

/* ---- Words ---- */

void cb_vouch_list_free(cb_vouch_list *list)
{
    free(list->item);
    *list = (cb_vouch_list){0};
}

cb_error cb_vouch_list_reserve(cb_vouch_list *list, size_t more)
{
    size_t room = list->room ? list->room : 16;
    while (room < list->count + more)
        room *= 2;
    if (room == list->room)
        return CB_OK;
    cb_vouch *grown = realloc(list->item, room * sizeof *grown);
    if (!grown)
        return CB_E_MEMORY;
    list->item = grown;
    list->room = room;
    return CB_OK;
}

/* The last word of this transaction, or else of what is committed. */
bool cb_txn_vouched(cb_txn *txn, char kind, const cb_id *id, const cb_digest *digest)
{
    for (size_t i = txn->words.count; i-- > 0;) {
        const cb_vouch *word = &txn->words.item[i];
        if (word->kind == kind && cb_id_same(&word->id, id))
            return !word->gone && (!digest || memcmp(word->digest.bytes, digest->bytes,
                                                     sizeof digest->bytes) == 0);
    }
    pthread_mutex_lock(&txn->store->lock);
    bool found = cb_vouch_found(&txn->store->vouches, kind, id, digest);
    pthread_mutex_unlock(&txn->store->lock);
    return found;
}

cb_error cb_store_room_for_words(cb_store *store, size_t count)
{
    return store->check == CB_E_BUSY ? cb_vouch_list_reserve(&store->since, count)
                                     : cb_id_map_reserve(&store->vouches, 2 * count);
}

void cb_store_take_words(cb_store *store, const cb_vouch_list *words)
{
    for (size_t i = 0; i < words->count; i++) {
        if (store->check == CB_E_BUSY)
            store->since.item[store->since.count++] = words->item[i];
        else
            cb_vouch_apply(&store->vouches, &words->item[i]);
    }
}
