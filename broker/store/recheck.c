/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * After the start: the record is read again, in a thread of its own, while revocations are taken
 * already. Logins wait for its end.
 *
 * Every leaf is hashed from its bytes. The tree must have the root that the key service remembers
 * and the root from which this process went on, the chain of revocations the hash from which it
 * went on. On the way what the log says about rows is collected (broker/evidence/vouch.h).
 *
 * Where there is a checkpoint (broker/evidence/checkpoint.h), logins wait only for the leaves from
 * its position on; the rest is read when they are let through (reread.c).
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
#include "broker/store/checkpoint_file.h"
#include "broker/store/reading.h"

enum { BATCH = 200 };

#define RETRY (500 * CB_MILLISECOND)

typedef struct doubtful {
    uint64_t leaf;
    cb_vouch vouch; /* kind 0: it speaks of a checkpoint */
} doubtful;

typedef struct pass {
    cb_reading reading; /* first: each leaf comes with a pointer to it */
    cb_tree_head remembered;
    uint64_t confirmed; /* leaves below this were under a head that the key service remembers */
    cb_checkpoint last; /* that leaves under it speak of; its tree of size 0: none */
    uint64_t last_at;   /* where */
    bool doubted;       /* a leaf over them spoke of one, too */
    doubtful *doubt;
    size_t doubts;
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
    cb_tree_head own = cb_frontier_head(&p->reading.tree);
    return memcmp(&own.root, &p->remembered.root, sizeof own.root) == 0;
}

/* The record's last word on checkpoints; one that cannot be read, or that was taken back, is none.
 */
static cb_error note_checkpoint(pass *p, const cb_log_leaf *leaf)
{
    cb_checkpoint found;
    cb_error error = cb_checkpoint_read(leaf->data, &found);
    if (error == CB_OK)
        p->last = found;
    else if (error == CB_E_FORMAT || cb_checkpoint_taken_back(leaf->data, NULL))
        p->last = (cb_checkpoint){0};
    p->last_at = error == CB_OK ? leaf->position : p->last_at;
    return error == CB_E_MEMORY ? error : CB_OK;
}

/* No signed head covered it. That a checkpoint is taken back counts all the same: it lets nobody do
 * anything. */
static cb_error doubt(pass *p, const cb_log_leaf *leaf, const cb_vouch *word)
{
    cb_checkpoint found;
    if (word)
        return cb_vouch_grants(word) ? note_doubt(p, leaf->position, word) : CB_OK;
    if (cb_checkpoint_read(leaf->data, &found) == CB_E_NOT_FOUND) {
        if (cb_checkpoint_taken_back(leaf->data, NULL))
            p->last = (cb_checkpoint){0};
        return CB_OK;
    }
    p->doubted = true;
    return note_doubt(p, leaf->position, &(cb_vouch){0});
}

static cb_error take_leaf(cb_reading *reading, const cb_log_leaf *leaf, const cb_vouch *word)
{
    pass *p = (pass *)reading;
    if (reading->tree.size == p->remembered.size && !is_remembered(p))
        return CB_E_EVIDENCE;
    if (leaf->position >= p->confirmed)
        return doubt(p, leaf, word);
    return word ? CB_OK : note_checkpoint(p, leaf);
}

static cb_error read_on(pass *p)
{
    cb_store *store = p->reading.store;
    p->reading.from = p->reading.tree.size;
    p->reading.until = store->opened.size;
    p->reading.seen = &store->checked;
    p->reading.each = take_leaf;
    cb_error error = cb_reading_run(&p->reading);
    if (error)
        return error;
    return cb_reading_is(&p->reading, &store->opened, &store->opened_feed) ? CB_OK : CB_E_EVIDENCE;
}

/* As if nothing had been read. */
static void begin_anew(pass *p)
{
    cb_id_map_free(&p->reading.words);
    free(p->doubt);
    *p = (pass){.reading = {.store = p->reading.store},
                .remembered = p->remembered,
                .confirmed = p->confirmed};
}

/* ---- From a checkpoint ---- */

static void note_gone_on(cb_store *store, const cb_checkpoint *from, uint64_t leaf)
{
    pthread_mutex_lock(&store->lock);
    store->gone_on = from ? *from : (cb_checkpoint){0};
    store->gone_on_leaf = leaf;
    pthread_mutex_unlock(&store->lock);
}

/* What is kept as long as nothing contradicts it. CB_E_EVIDENCE: it is not used; CB_E_NOT_FOUND. */
static cb_error load(pass *p, cb_checkpoint_which which, cb_checkpoint *kept, const char **why)
{
    cb_reading *reading = &p->reading;
    cb_digest rules = cb_vouch_rules();
    cb_error error =
        cb_checkpoint_load(reading->store, which, kept, &reading->tree, &reading->words);
    if (error == CB_E_NOT_FOUND || error == CB_E_STOPPING)
        return error;
    *why = error == CB_E_MEMORY ? "there is not enough memory" : "it is damaged or unreadable";
    if (error)
        return CB_E_EVIDENCE;
    *why = "another version of the broker made it";
    if (memcmp(&rules, &kept->rules, sizeof rules) != 0)
        return CB_E_EVIDENCE;
    reading->feed = kept->feed;
    *why = "it is not of what the key service's last head covers";
    return kept->tree.size < p->remembered.size && p->remembered.size <= reading->store->opened.size
               ? CB_OK
               : CB_E_EVIDENCE;
}

/* All leaves after the kept tree are read. If these lead to the head that the key service
 * remembers, the tree is the one that was signed, for nobody finds another with the same root; so
 * are these leaves, and the last of them that speaks of a checkpoint says what the feed and the
 * words have to be. Only the last: what a start that read everything found wrong is not used again.
 * Errors as above, and of reading. */
static cb_error go_on_from(pass *p, cb_checkpoint_which which, const char **why)
{
    cb_checkpoint kept;
    cb_error error = load(p, which, &kept, why);
    if (error)
        return error;
    note_gone_on(p->reading.store, &kept, 0);
    error = read_on(p);
    *why = "with the leaves after it, it does not lead to the record that was signed";
    if (error)
        return error;
    *why = "it is not the one of which the record's last word about checkpoints speaks";
    if (!cb_checkpoint_same(&kept, &p->last))
        return CB_E_EVIDENCE;
    note_gone_on(p->reading.store, &kept, p->last_at);
    return CB_OK;
}

static void say_why_not(const pass *p, cb_error error, const char *why)
{
    bool none = error == CB_E_NOT_FOUND;
    if (none && p->remembered.size < p->reading.store->checkpoint.every)
        return;
    cb_log(none ? CB_LOG_INFO : CB_LOG_WARNING, "store.checkpoint",
           none ? "There is no checkpoint from which this start could go on"
                : "A checkpoint is not used for this start",
           "why", none ? NULL : why, NULL);
}

/* CB_E_NOT_FOUND: there is none that counts, and nothing is read yet. */
static cb_error from_checkpoint(pass *p)
{
    cb_store *store = p->reading.store;
    cb_error error = CB_E_NOT_FOUND;
    note_gone_on(store, NULL, 0);
    if (store->checkpoint.every == 0 || p->remembered.size == 0)
        return error;
    for (int which = 0; which < CB_CHECKPOINT_FILES; which++) {
        const char *why = NULL;
        error = go_on_from(p, (cb_checkpoint_which)which, &why);
        if (!error && which == CB_CHECKPOINT_NEXT)
            cb_checkpoint_keep(store);
        if (error != CB_E_NOT_FOUND && error != CB_E_EVIDENCE)
            return error;
        if (error == CB_E_EVIDENCE || which == CB_CHECKPOINT_KEPT)
            say_why_not(p, error, why);
        begin_anew(p);
        note_gone_on(store, NULL, 0);
    }
    return CB_E_NOT_FOUND;
}

/* ---- What was found unsigned ---- */

typedef struct batch {
    const doubtful *doubt;
    size_t count;
} batch;

static cb_error about_row(cb_txn *txn, const doubtful *doubt, cb_buf *leaf)
{
    cb_buf found = CB_BUF(CB_LEAF_MAX), name = CB_BUF(CB_LEAF_MAX);
    const char *about, *taken_back;
    cb_vouch_lines(doubt->vouch.kind, &about, &taken_back);
    cb_error error = cb_row_leaf_get(txn, doubt->leaf, &found);
    if (!error)
        error = cb_leaf_find(cb_buf_bytes(&found), about, &name);
    const char *text = error ? NULL : cb_buf_cstr(&name);
    cb_leaf_text(leaf, taken_back, text ? text : "");
    if (!error && !text)
        error = CB_E_MEMORY;
    cb_buf_free(&found);
    cb_buf_free(&name);
    return error;
}

static cb_error put_unconfirmed(cb_txn *txn, const doubtful *doubt)
{
    cb_error error = CB_OK;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    if (doubt->vouch.kind) {
        cb_leaf_begin(&leaf, "registry.unconfirmed", cb_clock_wall_us());
        cb_leaf_number(&leaf, "leaf", doubt->leaf);
        error = about_row(txn, doubt, &leaf);
    } else {
        cb_checkpoint_over end = {.position = doubt->leaf, .pardoned = true};
        cb_checkpoint_take_back(&leaf, cb_clock_wall_us(), &end);
    }
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
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
        error = cb_store_write(p->reading.store, &change);
    }
    if (p->doubts > 0) {
        char number[24];
        snprintf(number, sizeof number, "%zu", p->doubts);
        cb_log(
            CB_LOG_WARNING, "store.unconfirmed",
            "Acts of administrators, or checkpoints, that no signed head covered were found in the "
            "log: they count for nothing until they are repeated (leaves registry.unconfirmed name "
            "them)",
            "count", number, NULL);
    }
    return error;
}

/* ---- The thread ---- */

/* Until the key service has said once what it remembers. */
static cb_error wait_for_contact(pass *p)
{
    cb_store *store = p->reading.store;
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
    cb_store *store = p->reading.store;
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < store->since.count; i++)
        error = cb_vouch_apply(&p->reading.words, &store->since.item[i]);
    /* For a group that made room while this was not the map. */
    if (!error)
        error = cb_id_map_reserve(&p->reading.words, 2 * store->since.room);
    if (error)
        return error;
    store->vouches = p->reading.words;
    p->reading.words = (cb_id_map){0};
    cb_vouch_list_free(&store->since);
    /* Of one that was taken back the record's last word is that there is none: it needs another. */
    store->checkpoint.size = p->doubted ? 0 : store->gone_on.tree.size;
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
    cb_store *store = p->reading.store;
    pthread_mutex_lock(&store->lock);
    if (!error)
        error = hand_over(p);
    if (waits_for_another(store, error)) {
        pthread_mutex_unlock(&store->lock);
        return false;
    }
    store->check = error;
    store->checkpoint.sound = !error && store->gone_on.tree.size == 0;
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
    pass p = {.reading = {.store = store}};
    cb_error error = wait_for_contact(&p);
    if (!error)
        error = from_checkpoint(&p);
    if (error == CB_E_NOT_FOUND)
        error = read_on(&p);
    if (!error)
        error = take_back(&p);
    bool ended = done(&p, error);
    begin_anew(&p);
    return ended;
}

void *cb_check_main(void *context)
{
    cb_store *store = context;
    while (!one_pass(store))
        ;
    if (cb_reread(store))
        cb_checkpoint_main(store);
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
