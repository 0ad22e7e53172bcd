/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * After a crash: what was under way is recorded as interrupted (S0-7.5.4, S1-2). The processes that
 * held the sessions are gone with the broker that started them, so these are over as well.
 */
#include <stdio.h>
#include <stdlib.h>

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
