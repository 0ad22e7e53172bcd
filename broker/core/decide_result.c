/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * T2: whether a login counts; and the ends of the sessions that it opened.
 */
#include "base/clock.h"
#include "base/log.h"
#include "broker/core/card_proof.h"
#include "broker/core/decide.h"
#include "broker/core/said.h"
#include "broker/core/still.h"
#include "broker/evidence/tap_leaf.h"

/* ---- T2 ---- */

typedef struct t2 {
    const cb_result_request *request;
    cb_error outcome;  /* as it is to be recorded */
    cb_error decision; /* as it was recorded */
    bool has_session;
    cb_session_row session;
    cb_id card;
    cb_card_use use;
} t2;

/* All that T1 relied on must still be so, and the key still be the one in use. */
static cb_error still_so(cb_txn *txn, const cb_intent_row *intent, bool pin_seen)
{
    cb_enrolment enrolment;
    cb_enrolment_init(&enrolment);
    cb_error error = cb_said_of_intent(txn, intent);
    if (!error)
        error = cb_still_card(txn, &intent->card, &intent->holder);
    if (!error)
        error = cb_still_terminal(txn, &intent->terminal, intent->service, intent->time);
    if (!error)
        error = cb_still_password(txn, &intent->terminal, &intent->card, intent->reached,
                                  intent->time);
    if (!error)
        error = cb_still_kind(txn, &intent->terminal, intent->service, pin_seen, true);
    if (!error)
        error = cb_still_enrolment(txn, &intent->holder, intent->service, &enrolment);
    if (!error && !cb_id_same(&enrolment.current.id, &intent->key))
        error = CB_E_HSM_KEY_RETIRED;
    cb_enrolment_free(&enrolment);
    return error;
}

/* CB_OK, CB_E_TAP_WITHDRAWN, or a fault. */
static cb_error judge(cb_txn *txn, const cb_intent_row *intent, bool pin_seen)
{
    cb_error error = still_so(txn, intent, pin_seen);
    switch (cb_error_class_of(error)) {
    case CB_CLASS_OK:
        return CB_OK;
    case CB_CLASS_INTERNAL:
        return error;
    default:
        return cb_store_failed(error) ? error : CB_E_TAP_WITHDRAWN;
    }
}

static bool saw_pin(const t2 *t, const cb_intent_row *intent)
{
    return t->request->pin_seen || intent->reached == CB_LEVEL_TERMINAL_PIN;
}

static cb_error put_result(cb_txn *txn, t2 *t, const cb_intent_row *intent, int64_t now,
                           uint64_t *position)
{
    bool accepted = t->decision == CB_OK;
    cb_terminal terminal = {.kind = CB_TERMINAL_UNSTATED};
    cb_error error = cb_row_terminal_get(txn, &intent->terminal, &terminal);
    if (error && error != CB_E_NOT_FOUND)
        return error;
    const bool seen = saw_pin(t, intent);
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_result_facts facts = {.intent = intent,
                             .outcome = accepted ? "accepted" : cb_error_code(t->decision),
                             .session = accepted ? &t->request->session : NULL,
                             .terminal_kind = terminal.kind,
                             .pin_seen = seen,
                             .pad = seen && terminal.pad && t->request->pad,
                             .receipts = t->request->receipts,
                             .receipt_count = t->request->receipt_count};
    cb_result_leaf(&facts, now, &leaf);
    error = cb_txn_leaf(txn, &leaf, position);
    if (!error)
        error = cb_row_intent_end(txn, &intent->tap);
    cb_buf_free(&leaf);
    return error;
}

static cb_error put_session(cb_txn *txn, t2 *t, const cb_intent_row *intent, int64_t now,
                            uint64_t leaf)
{
    t->has_session = t->decision == CB_OK && !cb_id_is_zero(&t->request->session);
    if (!t->has_session)
        return CB_OK;
    t->session = (cb_session_row){.id = t->request->session,
                                  .tap = intent->tap,
                                  .leaf = leaf,
                                  .card = intent->card,
                                  .holder = intent->holder,
                                  .terminal = intent->terminal,
                                  .enrolment = intent->enrolment,
                                  .kind = t->request->kind,
                                  .opened = now,
                                  .expires = t->request->expires};
    memcpy(t->session.service, intent->service, sizeof t->session.service);
    return cb_row_session_put(txn, &t->session);
}

static cb_error run_result(cb_txn *txn, void *context)
{
    t2 *t = context;
    cb_intent_row intent;
    uint64_t leaf = 0;
    int64_t now = cb_clock_wall_us();
    cb_error error = cb_row_intent_get(txn, &t->request->tap, &intent);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_STATE : error;
    t->decision = t->outcome ? t->outcome : judge(txn, &intent, saw_pin(t, &intent));
    if (!t->outcome && t->decision && t->decision != CB_E_TAP_WITHDRAWN)
        return t->decision;
    error = put_result(txn, t, &intent, now, &leaf);
    if (!error && !t->decision)
        error = cb_failures_end(txn, &intent.card, &intent.holder, &intent.terminal,
                                cb_level_needs_pin(intent.reached));
    if (!error)
        error = put_session(txn, t, &intent, now, leaf);
    if (!error && !t->decision && t->request->counter > 0)
        error = cb_card_used_in(txn, &intent.tap, &intent.card, now, &t->use);
    t->card = intent.card;
    if (t->decision)
        cb_txn_commit_only(txn);
    return error;
}

/* ---- An accept whose head could not be stored ---- */

static cb_error run_withheld(cb_txn *txn, void *context)
{
    const t2 *t = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "tap.withheld", cb_clock_wall_us());
    cb_leaf_id(&leaf, "tap", &t->request->tap);
    cb_leaf_known_id(&leaf, "session", &t->request->session);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error && t->has_session)
        error = cb_row_session_end(txn, &t->session.id);
    cb_buf_free(&leaf);
    /* A revocation may have been faster: then the session's end is recorded already. */
    return error == CB_E_NOT_FOUND ? CB_OK : error;
}

static void withhold(cb_store *store, t2 *t)
{
    cb_change change = {.run = run_withheld, .context = t, .urgency = CB_WRITE_DUE};
    cb_error error = cb_store_write(store, &change);
    if (error)
        cb_log_failure("tap.unrecorded", error, "that an accept was withheld is not recorded");
}

cb_error cb_decide_result(cb_store *store, const cb_result_request *request)
{
    bool committed = false;
    t2 t = {.request = request, .outcome = request->outcome};
    if (request->receipt_count > CB_RESULT_RECEIPTS)
        return CB_E_ARGUMENT;
    /* While nobody signs, an accept could not be given out: it is not made. */
    if (!t.outcome && !cb_store_signs(store))
        t.outcome = CB_E_HSM_DOWN;
    cb_change change = {.run = run_result,
                        .context = &t,
                        .urgency = CB_WRITE_DUE,
                        .until = CB_UNTIL_STORED,
                        .committed = &committed};
    cb_error error = cb_store_write(store, &change);
    if (committed)
        cb_card_use_tell(&t.card, &t.use);
    if (error && committed && !t.decision)
        withhold(store, &t);
    if (error && !committed)
        cb_store_owe(store, &request->tap, false);
    if (error)
        return error;
    return request->outcome ? CB_OK : t.decision;
}

/* ---- Ends of sessions ---- */

/* Few enough that a revocation which comes meanwhile does not wait for long. */
enum { ENDS_MAX = 64 };

typedef struct session_ends {
    const cb_session_over *over;
    size_t count;
    size_t found;
} session_ends;

static cb_error end_one(cb_txn *txn, const cb_session_over *over)
{
    cb_session_row session;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_error error = cb_row_session_get(txn, &over->session, &session);
    if (error)
        return error;
    cb_session_leaf(&session, over->why, cb_clock_wall_us(), &leaf);
    error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error)
        error = cb_row_session_end(txn, &over->session);
    cb_buf_free(&leaf);
    return error;
}

static cb_error run_session_ends(cb_txn *txn, void *context)
{
    session_ends *ends = context;
    cb_error error = CB_OK;
    ends->found = 0;
    for (size_t i = 0; !error && i < ends->count; i++) {
        error = end_one(txn, &ends->over[i]);
        ends->found += error ? 0 : 1;
        error = error == CB_E_NOT_FOUND ? CB_OK : error;
    }
    return error;
}

cb_error cb_decide_session_ends(cb_store *store, const cb_session_over *over, size_t count)
{
    size_t found = 0;
    cb_error first = CB_OK;
    for (size_t at = 0; at < count; at += ENDS_MAX) {
        session_ends ends = {over + at, count - at < ENDS_MAX ? count - at : ENDS_MAX, 0};
        cb_change change = {.run = run_session_ends, .context = &ends, .urgency = CB_WRITE_DUE};
        cb_error error = cb_store_write(store, &change);
        for (size_t i = 0; error && i < ends.count; i++)
            cb_store_owe(store, &ends.over[i].session, true);
        first = first ? first : error;
        found += error ? 0 : ends.found;
    }
    return first || found > 0 ? first : CB_E_SESSION_UNKNOWN;
}
