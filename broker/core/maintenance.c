/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/maintenance.h"

#include <stdio.h>

#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/card_proof.h"
#include "broker/core/said.h"
#include "broker/core/state.h"
#include "broker/core/still.h"

/* ---- Who may ---- */

typedef struct write_maintainer {
    cb_act act;
    cb_maintainer maintainer;
} write_maintainer;

static cb_error run_add(cb_txn *txn, void *context)
{
    const write_maintainer *w = context;
    const cb_maintainer *m = &w->maintainer;
    cb_holder holder;
    cb_terminal terminal;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "maintainer.added", &w->act);
    cb_said_maintainer(&leaf, m);
    cb_error error = cb_row_holder_get(txn, &m->holder, &holder);
    if (!error && !cb_id_is_zero(&m->terminal))
        error = cb_row_terminal_get(txn, &m->terminal, &terminal);
    if (!error)
        error = cb_row_maintainer_put(txn, m);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_maintainer_add(cb_store *store, const char *actor, const cb_id *holder,
                           const cb_id *terminal, cb_maintainer *out)
{
    write_maintainer w = {.act = {.actor = actor, .time = cb_clock_wall_us()}};
    w.maintainer = (cb_maintainer){.id = cb_id_new(), .holder = *holder, .created = w.act.time};
    if (terminal)
        w.maintainer.terminal = *terminal;
    if (cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    cb_error error = cb_act_write(store, run_add, &w, CB_WRITE_ORDINARY);
    if (!error && out)
        *out = w.maintainer;
    return error;
}

static cb_error run_remove(cb_txn *txn, void *context)
{
    const write_maintainer *w = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "maintainer.removed", &w->act);
    cb_leaf_id(&leaf, "maintainer", &w->maintainer.id);
    cb_error error = cb_row_maintainer_remove(txn, &w->maintainer.id);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_maintainer_remove(cb_store *store, const char *actor, const cb_id *id)
{
    write_maintainer w = {.act = {.actor = actor, .time = cb_clock_wall_us()},
                          .maintainer.id = *id};
    if (cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_remove, &w, CB_WRITE_URGENT);
}

typedef struct read_rows {
    const cb_id *after;
    unsigned limit;
    cb_maintainer_visitor each;
    void *context;
    const cb_id *terminal; /* of a maintenance; otherwise NULL */
    cb_maintenance *out;
} read_rows;

static cb_error run_read(cb_txn *txn, void *context)
{
    const read_rows *r = context;
    return r->terminal ? cb_row_maintenance_get(txn, r->terminal, r->out)
                       : cb_row_maintainer_each(txn, r->after, r->limit, r->each, r->context);
}

cb_error cb_maintainer_list(cb_store *store, const cb_id *after, unsigned limit,
                            cb_maintainer_visitor each, void *context)
{
    read_rows r = {.after = after, .limit = limit, .each = each, .context = context};
    return cb_store_read(store, run_read, &r);
}

cb_error cb_maintenance_get(cb_store *store, const cb_id *terminal, cb_maintenance *out)
{
    read_rows r = {.terminal = terminal, .out = out};
    return cb_store_read(store, run_read, &r);
}

/* ---- Beginning and ending ---- */

typedef struct maintain {
    const cb_intent_request *request;
    const char *reason;
    int64_t time, until;
    cb_card_use use;
} maintain;

typedef struct search {
    cb_txn *txn;
    bool found;
} search;

/* A row that the log does not have makes nobody one. */
static cb_error look_at(void *context, const cb_maintainer *maintainer)
{
    search *s = context;
    cb_error error = cb_said_of_maintainer(s->txn, maintainer);
    s->found = s->found || error == CB_OK;
    return error == CB_E_MEMORY ? error : CB_OK;
}

static cb_error is_maintainer(cb_txn *txn, const cb_intent_request *r)
{
    search s = {.txn = txn};
    cb_error error = cb_row_maintainer_match(txn, &r->holder, &r->context.terminal, look_at, &s);
    return error ? error : s.found ? CB_OK : CB_E_MAINTAINER;
}

/* One that was not ended in time is an administrator's to end. */
static cb_error in_time(cb_txn *txn, const cb_id *terminal, int64_t now)
{
    cb_maintenance last;
    cb_error error = cb_row_maintenance_get(txn, terminal, &last);
    if (!error)
        error = cb_said_of_maintenance(txn, terminal, &last);
    if (!error && now >= last.until)
        error = CB_E_MAINTAINER;
    return error == CB_E_NOT_FOUND ? CB_E_HSM_RECORD : error;
}

static cb_error judge(cb_txn *txn, const maintain *m, int64_t now, uint8_t *state)
{
    const cb_intent_request *r = m->request;
    cb_terminal terminal;
    bool ends = r->context.purpose == CB_TAP_MAINTENANCE_END;
    cb_error error = cb_still_card(txn, &r->card, &r->holder);
    if (!error && !cb_level_needs_pin(r->reached))
        error = CB_E_PIN_REQUIRED;
    if (!error)
        error = cb_row_terminal_get(txn, &r->context.terminal, &terminal);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_TERMINAL_UNKNOWN : error;
    error = cb_terminal_refusal(terminal.state);
    if (!error && terminal.expires && now >= terminal.expires)
        error = CB_E_TERMINAL_EXPIRED;
    if (!error)
        error = cb_said_of_terminal(txn, &terminal);
    if (!error)
        error = is_maintainer(txn, r);
    if (!error)
        error = cb_terminal_next(terminal.state,
                                 ends ? CB_TERMINAL_MAINTAINED : CB_TERMINAL_MAINTAIN, state);
    return !error && ends ? in_time(txn, &r->context.terminal, now) : error;
}

static cb_error write_down(cb_txn *txn, maintain *m, int64_t now, uint8_t state)
{
    const cb_intent_request *r = m->request;
    const cb_id *terminal = &r->context.terminal;
    bool ends = r->context.purpose == CB_TAP_MAINTENANCE_END;
    cb_act act = {.actor = "maintainer", .reason = m->reason, .time = now};
    cb_maintenance row = {
        .holder = r->holder, .card = r->card, .began = now, .until = now + m->time};
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    snprintf(row.reason, sizeof row.reason, "%s", m->reason ? m->reason : "");
    cb_act_leaf(&leaf, ends ? "terminal.maintained" : "terminal.maintenance", &act);
    cb_leaf_id(&leaf, "terminal", terminal);
    cb_leaf_text(&leaf, "state", cb_terminal_state_name(state));
    cb_leaf_id(&leaf, "tap", &r->context.tap);
    cb_leaf_id(&leaf, "card", &r->card);
    cb_leaf_id(&leaf, "holder", &r->holder);
    cb_leaf_number(&leaf, "reached", r->reached);
    if (!ends)
        cb_said_maintenance(&leaf, &row);
    m->until = ends ? 0 : row.until;
    cb_error error = cb_row_terminal_state(txn, terminal, state, now);
    if (!error && !ends)
        error = cb_row_maintenance_set(txn, terminal, &row);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error run_maintain(cb_txn *txn, void *context)
{
    uint8_t state;
    maintain *m = context;
    int64_t now = cb_clock_wall_us();
    const cb_intent_request *r = m->request;
    cb_error error = judge(txn, m, now, &state);
    if (!error && r->counter > 0)
        error = cb_card_proof_in(txn, &r->card, r->counter, now);
    if (!error)
        error = write_down(txn, m, now, state);
    if (!error && r->counter > 0)
        error = cb_card_used_in(txn, &r->context.tap, &r->card, now, &m->use);
    return error;
}

cb_error cb_decide_maintenance(cb_store *store, const cb_intent_request *request,
                               const char *reason, int64_t time, int64_t *until)
{
    maintain m = {.request = request, .reason = reason, .time = time};
    uint8_t purpose = request->context.purpose;
    bool committed = false;
    if ((purpose != CB_TAP_MAINTENANCE && purpose != CB_TAP_MAINTENANCE_END) ||
        cb_act_check("maintainer", reason))
        return CB_E_ARGUMENT;
    cb_change change = {.run = run_maintain,
                        .context = &m,
                        .urgency = CB_WRITE_DUE,
                        .until = CB_UNTIL_STORED,
                        .committed = &committed};
    cb_error error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
    if (!error)
        error = cb_store_write(store, &change);
    if (committed)
        cb_card_use_tell(&request->card, &m.use);
    *until = m.until;
    return cb_act_result(error, committed);
}
