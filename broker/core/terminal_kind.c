/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an administrator says of a terminal that is there: where it stands, and whether it has a PIN
 * pad; all of it once more, after a crash; and whether a service takes that.
 */
#include <string.h>

#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/decide.h"
#include "broker/core/said.h"
#include "broker/core/state.h"
#include "broker/core/still.h"
#include "broker/core/terminal_parts.h"

/* ---- Saying it ---- */

typedef struct describe {
    cb_act act;
    const cb_id *id;
    uint8_t kind;
    bool pad;
} describe;

/* A terminal that does not change is left alone. */
static cb_error run_describe(cb_txn *txn, void *context)
{
    const describe *d = context;
    cb_terminal terminal;
    cb_error error = cb_row_terminal_get(txn, d->id, &terminal);
    if (!error && terminal.state != CB_TERMINAL_ACTIVE && terminal.state != CB_TERMINAL_REGISTERED)
        error = CB_E_STATE;
    /* Whoever wrote into the database meanwhile is not helped by an administrator. */
    if (!error)
        error = cb_said_of_terminal(txn, &terminal);
    if (error)
        return error;
    bool same = d->kind == terminal.kind && d->pad == terminal.pad;
    terminal.kind = d->kind;
    terminal.pad = d->pad;
    terminal.changed = d->act.time;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "terminal.described", &d->act);
    cb_said_terminal(&leaf, &terminal);
    if (!same)
        error = cb_row_terminal_describe(txn, &terminal);
    if (!error && !same)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_terminal_describe(cb_store *store, const char *actor, const cb_id *id, uint8_t kind,
                              bool pad, const char *reason)
{
    describe d = {.act = {.actor = actor, .reason = reason, .time = cb_clock_wall_us()},
                  .id = id,
                  .kind = kind,
                  .pad = pad};
    if (cb_act_check(actor, reason) || kind > CB_TERMINAL_PERSONAL)
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_describe, &d, CB_WRITE_ORDINARY);
}

/* ---- Saying it once more ---- */

typedef struct confirm {
    cb_act act;
    const cb_id *id;
    const cb_terminal_new *as;
} confirm;

/* Only what a start has taken back, for want of a signature, and was not said since: what somebody
 * has changed in the table stays as it is, until it is found out who. */
static cb_error judge_confirm(cb_txn *txn, const confirm *c, const cb_terminal *terminal)
{
    static const cb_digest taken_back;
    bool known = cb_terminal_refusal(terminal->state) == CB_OK ||
                 terminal->state == CB_TERMINAL_DEACTIVATED;
    if (!known || !cb_txn_vouched(txn, 't', &terminal->id, &taken_back))
        return CB_E_STATE;
    return memcmp(&terminal->key, &c->as->key, sizeof terminal->key) == 0 ? CB_OK : CB_E_HSM_RECORD;
}

static cb_error run_confirm(cb_txn *txn, void *context)
{
    const confirm *c = context;
    cb_terminal terminal;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_error error = cb_row_terminal_get(txn, c->id, &terminal);
    if (!error)
        error = judge_confirm(txn, c, &terminal);
    if (error)
        return error;
    /* What the table has besides may be anybody's: it is what the administrator says now. */
    error = cb_terminal_allow(c->as, &terminal);
    terminal.next_key = (cb_digest){{0}}; /* which nobody has looked at: it gets another */
    terminal.next_expires = 0;
    terminal.changed = c->act.time;
    cb_act_leaf(&leaf, "terminal.confirmed", &c->act);
    cb_said_terminal(&leaf, &terminal);
    if (!error)
        error = cb_row_terminal_allow(txn, &terminal);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_terminal_confirm(cb_store *store, const char *actor, const cb_id *id,
                             const cb_terminal_new *as, const char *reason)
{
    confirm c = {.act = {.actor = actor, .reason = reason, .time = cb_clock_wall_us()},
                 .id = id,
                 .as = as};
    if (cb_act_check(actor, reason))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_confirm, &c, CB_WRITE_ORDINARY);
}

/* ---- Asking for it ---- */

cb_error cb_service_takes(const cb_service *service, const cb_terminal *terminal)
{
    bool any = service->kinds == 0;
    bool named = terminal->kind != CB_TERMINAL_UNSTATED && service->kinds & (1U << terminal->kind);
    return any || named ? CB_OK : CB_E_TERMINAL_KIND;
}

cb_error cb_service_takes_pin(const cb_service *service, const cb_terminal *terminal, bool seen,
                              bool said)
{
    bool on_pad = terminal->pad && said;
    return service->pad && seen && !on_pad ? CB_E_PIN_PAD : CB_OK;
}

cb_error cb_still_kind(cb_txn *txn, const cb_id *id, const char *name, bool seen, bool said)
{
    cb_service service;
    cb_terminal terminal;
    cb_service_init(&service);
    cb_error error = cb_row_service_get(txn, name, &service);
    if (error == CB_E_NOT_FOUND)
        error = CB_E_SERVICE_UNKNOWN;
    if (!error)
        error = cb_said_of_service(txn, &service);
    if (!error)
        error = cb_row_terminal_get(txn, id, &terminal);
    if (!error)
        error = cb_service_takes(&service, &terminal);
    if (!error)
        error = cb_service_takes_pin(&service, &terminal, seen, said);
    cb_service_free(&service);
    return error == CB_E_NOT_FOUND ? CB_E_TERMINAL_UNKNOWN : error;
}
