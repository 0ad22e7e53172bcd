/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * After a crash, and after a disk that failed: what was under way is recorded as interrupted
 * (S0-7.5.4, S1-2). The processes that
 * held the sessions are gone with the broker that started them, so these are over as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/evidence/tap_leaf.h"
#include "broker/store/internal.h"

enum { BATCH = 256 };

typedef struct leftovers {
    cb_intent_row intent[BATCH];
    size_t intents;
    cb_session_row session[BATCH];
    size_t sessions;
    bool more;
} leftovers;

static cb_error note_intent(void *context, const cb_intent_row *intent)
{
    leftovers *left = context;
    if (left->intents < BATCH)
        left->intent[left->intents++] = *intent;
    else
        left->more = true;
    return CB_OK;
}

static cb_error note_session(void *context, const cb_session_row *session)
{
    leftovers *left = context;
    if (left->sessions < BATCH)
        left->session[left->sessions++] = *session;
    else
        left->more = true;
    return CB_OK;
}

static cb_error close_intent(cb_txn *txn, const cb_intent_row *intent, int64_t now)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_result_facts facts = {.intent = intent, .outcome = "interrupted"};
    cb_result_leaf(&facts, now, &leaf);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error)
        error = cb_row_intent_end(txn, &intent->tap);
    cb_buf_free(&leaf);
    return error;
}

static cb_error close_session(cb_txn *txn, const cb_session_row *session, int64_t now)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_session_leaf(session, "interrupted", now, &leaf);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error)
        error = cb_row_session_end(txn, &session->id);
    cb_buf_free(&leaf);
    return error;
}

static cb_error close_batch(cb_txn *txn, void *context)
{
    leftovers *left = context;
    int64_t now = cb_clock_wall_us();
    left->intents = left->sessions = 0;
    left->more = false;
    cb_error error = cb_row_intent_each(txn, &(cb_tap_match){0}, note_intent, left);
    if (!error)
        error = cb_row_session_each(txn, &(cb_tap_match){0}, note_session, left);
    for (size_t i = 0; !error && i < left->intents; i++)
        error = close_intent(txn, &left->intent[i], now);
    for (size_t i = 0; !error && i < left->sessions; i++)
        error = close_session(txn, &left->session[i], now);
    return error;
}

/* ---- What could not be closed while the broker runs ---- */

typedef struct debts {
    cb_owed owed[BATCH];
    size_t count;
} debts;

void cb_store_owe(cb_store *store, const cb_id *id, bool session)
{
    pthread_mutex_lock(&store->lock);
    if (store->owed_count < CB_OWED_MAX)
        store->owed[store->owed_count++] = (cb_owed){*id, session};
    pthread_mutex_unlock(&store->lock);
}

static cb_error close_owed(cb_txn *txn, const cb_owed *owed, int64_t now)
{
    cb_intent_row intent;
    cb_session_row session;
    cb_error error = owed->session ? cb_row_session_get(txn, &owed->id, &session)
                                   : cb_row_intent_get(txn, &owed->id, &intent);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_OK : error;
    return owed->session ? close_session(txn, &session, now) : close_intent(txn, &intent, now);
}

static cb_error close_debts(cb_txn *txn, void *context)
{
    const debts *d = context;
    cb_error error = CB_OK;
    int64_t now = cb_clock_wall_us();
    for (size_t i = 0; !error && i < d->count; i++)
        error = close_owed(txn, &d->owed[i], now);
    return error;
}

void cb_store_settle(cb_store *store)
{
    debts d;
    pthread_mutex_lock(&store->lock);
    d.count = store->fault || store->refused ? 0 : store->owed_count;
    if (d.count > BATCH)
        d.count = BATCH;
    memcpy(d.owed, store->owed, d.count * sizeof *d.owed);
    pthread_mutex_unlock(&store->lock);
    if (d.count == 0)
        return;
    cb_change change = {.run = close_debts, .context = &d, .urgency = CB_WRITE_DUE};
    if (cb_store_write(store, &change) != CB_OK)
        return;
    /* Others were put behind them meanwhile. */
    pthread_mutex_lock(&store->lock);
    store->owed_count -= d.count;
    memmove(store->owed, store->owed + d.count, store->owed_count * sizeof *store->owed);
    pthread_mutex_unlock(&store->lock);
    cb_log(CB_LOG_WARNING, "store.settled",
           "Taps and sessions whose end could not be recorded were recorded as interrupted", NULL);
}

cb_error cb_store_recover(cb_store *store)
{
    leftovers *left = calloc(1, sizeof *left);
    if (!left)
        return CB_E_MEMORY;
    cb_change change = {.run = close_batch, .context = left, .urgency = CB_WRITE_DUE};
    size_t closed = 0;
    cb_error error;
    do {
        error = cb_store_write(store, &change);
        closed += left->intents + left->sessions;
    } while (!error && left->more);
    if (!error && closed > 0) {
        char number[24];
        snprintf(number, sizeof number, "%zu", closed);
        cb_log(CB_LOG_WARNING, "store.recovered",
               "Taps and sessions that a crash left open were recorded as interrupted", "count",
               number, NULL);
    }
    free(left);
    return error;
}
