/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An accept that its terminal did not hear: whether it may be given out once more.
 */
#include "base/clock.h"
#include "broker/core/decide.h"
#include "broker/core/still.h"
#include "broker/evidence/tap_leaf.h"

/* As at T2: card, terminal, enrolment and key. */
static cb_error still_so(cb_txn *txn, const cb_again_request *request)
{
    cb_enrolment enrolment;
    cb_enrolment_init(&enrolment);
    cb_error error = cb_still_card(txn, &request->card, &request->holder);
    if (!error)
        error = cb_still_terminal(txn, &request->terminal, request->service, request->intended);
    if (!error)
        error = cb_still_password(txn, &request->terminal, &request->card, request->reached,
                                  request->intended);
    if (!error)
        error = cb_still_kind(txn, &request->terminal, request->service,
                              request->pin_seen || request->reached == CB_LEVEL_TERMINAL_PIN, true);
    if (!error)
        error = cb_still_enrolment(txn, &request->holder, request->service, &enrolment);
    if (!error && !cb_id_same(&enrolment.current.id, &request->key))
        error = CB_E_TAP_WITHDRAWN;
    cb_enrolment_free(&enrolment);
    if (!error || cb_store_failed(error) || cb_error_class_of(error) == CB_CLASS_INTERNAL)
        return error;
    return CB_E_TAP_WITHDRAWN;
}

static cb_error session_is_open(cb_txn *txn, const cb_again_request *request)
{
    cb_session_row session;
    if (cb_id_is_zero(&request->session))
        return CB_OK;
    cb_error error = cb_row_session_get(txn, &request->session, &session);
    return error == CB_E_NOT_FOUND ? CB_E_SESSION_ENDED : error;
}

static cb_error run_again(cb_txn *txn, void *context)
{
    const cb_again_request *request = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_error error = still_so(txn, request);
    if (!error)
        error = session_is_open(txn, request);
    if (error)
        return error;
    cb_leaf_begin(&leaf, "tap.repeated", cb_clock_wall_us());
    cb_leaf_id(&leaf, "tap", &request->tap);
    cb_leaf_id(&leaf, "card", &request->card);
    cb_leaf_id(&leaf, "holder", &request->holder);
    cb_leaf_id(&leaf, "terminal", &request->terminal);
    cb_leaf_text(&leaf, "service", request->service);
    cb_leaf_known_id(&leaf, "session", &request->session);
    error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_decide_again(cb_store *store, const cb_again_request *request)
{
    cb_again_request own = *request;
    cb_change change = {
        .run = run_again, .context = &own, .urgency = CB_WRITE_DUE, .until = CB_UNTIL_STORED};
    cb_error error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
    return error ? error : cb_store_write(store, &change);
}
