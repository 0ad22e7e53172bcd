/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What becomes of a terminal: the acts of state.c's table, each one transaction with its leaf.
 */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/said.h"
#include "broker/core/state.h"
#include "broker/store/row_failure.h"

typedef struct change {
    cb_act act;
    const cb_id *id;
    uint8_t what; /* cb_terminal_act */
} change;

/* Writes the new state down, and into the feed where that says so. */
static cb_error write_state(cb_txn *txn, const change *c, uint8_t what, uint8_t state)
{
    uint64_t number = 0;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, cb_terminal_act_find(what)->kind, &c->act);
    cb_leaf_id(&leaf, "terminal", c->id);
    cb_leaf_text(&leaf, "state", cb_terminal_state_name(state));
    cb_error error = cb_row_terminal_state(txn, c->id, state, c->act.time);
    if (!error && what == CB_TERMINAL_REVOKE)
        error = cb_txn_feed(txn, CB_FEED_TERMINAL_REVOKED, c->id, c->act.time, &leaf, &number);
    else if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error && number && c->act.affected)
        c->act.affected->feed_number = number;
    cb_buf_free(&leaf);
    return error;
}

static cb_error step(cb_txn *txn, const change *c, uint8_t what, uint8_t *state)
{
    cb_error error = cb_terminal_next(*state, what, state);
    return error ? error : write_state(txn, c, what, *state);
}

/* What an administrator ends who lets a terminal go on: what its row says, and what only the log
 * says, for an end that was found without a signature after a crash counts for nothing (said.h),
 * though the row has it. */
static cb_error reactivate(cb_txn *txn, const change *c, const cb_terminal *terminal)
{
    uint8_t state = terminal->state;
    bool known = state == CB_TERMINAL_ACTIVE || state == CB_TERMINAL_MAINTENANCE ||
                 state == CB_TERMINAL_DEACTIVATED;
    bool maintained = known && (state == CB_TERMINAL_MAINTENANCE ||
                                cb_txn_vouched(txn, 'u', c->id, NULL));
    bool idle = known && (state == CB_TERMINAL_DEACTIVATED ||
                          cb_txn_vouched(txn, 'd', c->id, NULL));
    if (!maintained && !idle)
        return CB_E_STATE;
    /* Whoever wrote into the database meanwhile is not helped by an administrator. */
    cb_error error = cb_said_of_terminal_but_state(txn, terminal);
    state = CB_TERMINAL_MAINTENANCE;
    if (!error && maintained)
        error = step(txn, c, CB_TERMINAL_MAINTAINED, &state);
    state = CB_TERMINAL_DEACTIVATED;
    if (!error && idle)
        error = step(txn, c, CB_TERMINAL_REACTIVATE, &state);
    /* He has looked at it, and the leaf says so: the end of maintenance does not. */
    if (!error && idle)
        error = cb_row_failure_forgive(txn, CB_OF_TERMINAL, c->id);
    return error;
}

static cb_error change_now(cb_txn *txn, const change *c)
{
    cb_terminal terminal;
    cb_tap_match match = {.terminal = c->id};
    cb_error error = cb_row_terminal_get(txn, c->id, &terminal);
    uint8_t state = error ? 0 : terminal.state;
    if (!error)
        error = cb_act_affected(txn, &match, c->act.affected);
    if (!error && c->what == CB_TERMINAL_REACTIVATE)
        return reactivate(txn, c, &terminal);
    if (!error && c->what == CB_TERMINAL_DEACTIVATE && state == CB_TERMINAL_MAINTENANCE)
        error = step(txn, c, CB_TERMINAL_MAINTAINED, &state); /* which is over then */
    if (!error && c->what == CB_TERMINAL_DISPOSE && state != CB_TERMINAL_REVOKED &&
        state != CB_TERMINAL_DISPOSED)
        error = step(txn, c, CB_TERMINAL_REVOKE, &state);
    return error ? error : step(txn, c, c->what, &state);
}

static cb_error run_change(cb_txn *txn, void *context) { return change_now(txn, context); }

cb_error cb_terminal_act_in(cb_txn *txn, const cb_act *act, const cb_id *id, uint8_t what)
{
    const change c = {*act, id, what};
    return cb_terminal_act_find(what) ? change_now(txn, &c) : CB_E_ARGUMENT;
}

cb_error cb_terminal_change(cb_store *store, const char *actor, const cb_id *id,
                            cb_terminal_act act, const char *reason, cb_affected *affected)
{
    change c = {.act = {actor, reason, cb_clock_wall_us(), affected}, .id = id, .what = act};
    const cb_terminal_act_row *row = cb_terminal_act_find(act);
    if (!row || cb_act_check(actor, reason))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_change, &c, row->urgency);
}

cb_error cb_terminal_revoke(cb_store *store, const char *actor, const cb_id *id, const char *reason,
                            cb_affected *affected)
{
    return cb_terminal_change(store, actor, id, CB_TERMINAL_REVOKE, reason, affected);
}

/* ---- What a terminal says of itself ---- */

typedef struct opening {
    change change;
    bool idle;  /* it is de-activated already */
    bool known; /* by its own word that it was opened */
} opening;

/* Its last de-activation is the one that it asked for itself: so the log has it, of which who
 * writes the database takes nothing away. */
static cb_error is_recorded(cb_txn *txn, const change *c, bool *recorded)
{
    cb_buf lines = CB_BUF(CB_LEAF_MAX);
    cb_leaf_text(&lines, "actor", c->act.actor);
    cb_leaf_text(&lines, "reason", c->act.reason);
    cb_digest digest = cb_sha256(cb_buf_bytes(&lines));
    cb_error error = cb_buf_error(&lines);
    *recorded = !error && cb_txn_vouched(txn, 'd', c->id, &digest);
    cb_buf_free(&lines);
    return error;
}

static cb_error look(cb_txn *txn, void *context)
{
    opening *o = context;
    cb_terminal terminal;
    cb_error error = cb_row_terminal_get(txn, o->change.id, &terminal);
    o->idle = !error && terminal.state == CB_TERMINAL_DEACTIVATED;
    o->known = false;
    return o->idle ? is_recorded(txn, &o->change, &o->known) : error;
}

static cb_error run_opening(cb_txn *txn, void *context)
{
    opening *o = context;
    cb_error error = look(txn, o);
    if (error || o->known)
        return error;
    return o->idle ? write_state(txn, &o->change, CB_TERMINAL_DEACTIVATE, CB_TERMINAL_DEACTIVATED)
                   : change_now(txn, &o->change);
}

/* One that is held back already may say it as often as it likes: that costs a reading. */
cb_error cb_terminal_opened(cb_store *store, const cb_id *id, cb_affected *affected)
{
    opening o = {.change = {.act = {"terminal", "tamper", cb_clock_wall_us(), affected},
                            .id = id,
                            .what = CB_TERMINAL_DEACTIVATE}};
    cb_error error = cb_store_read(store, look, &o);
    if (!error && o.idle) {
        error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
        if (!error)
            error = cb_store_read(store, look, &o);
    }
    return error || o.known ? error : cb_act_write(store, run_opening, &o, CB_WRITE_URGENT);
}
