/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who asked for a card, and who agreed. That somebody agreed is believed only if the record says so
 * (said.h): whoever writes the database can change a row, and not the leaf.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/said.h"
#include "broker/core/state.h"
#include "broker/core/stock.h"

static const char *const reasons[] = {"first", "replacement"};

static cb_error put_leaf(cb_txn *txn, const char *kind, const cb_act *act,
                         const cb_application *application)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, kind, act);
    cb_said_application(&leaf, application);
    if (!cb_id_is_zero(&application->card))
        cb_leaf_id(&leaf, "of_card", &application->card);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

typedef struct application_work {
    cb_act act;
    const cb_id *id;
    uint8_t what; /* cb_application_act; 0: enter */
    cb_application *out;
    const char *holder_name; /* of one who is entered with it */
} application_work;

static cb_error run_add(cb_txn *txn, void *context)
{
    const application_work *w = context;
    cb_error error = w->holder_name
                         ? cb_holder_enter_in(txn, &w->act, &w->out->holder, w->holder_name)
                         : CB_OK;
    if (!error)
        error = cb_row_application_put(txn, w->out);
    return error ? error : put_leaf(txn, "application.entered", &w->act, w->out);
}

cb_error cb_application_add(cb_store *store, const char *actor, const cb_id *holder,
                            uint8_t profile, const char *reason, cb_application *out)
{
    const cb_application_new fresh = {.holder = *holder, .profile = profile, .reason = reason};
    return cb_application_enter(store, actor, &fresh, out);
}

cb_error cb_application_enter(cb_store *store, const char *actor, const cb_application_new *fresh,
                              cb_application *out)
{
    application_work w = {.act = {.actor = actor, .time = cb_clock_wall_us()},
                          .out = out,
                          .holder_name = fresh->holder_name};
    const char *reason = fresh->reason;
    bool known = strcmp(reason, reasons[0]) == 0 || strcmp(reason, reasons[1]) == 0;
    if (cb_act_check(actor, NULL) || !known || !cb_profile_find(fresh->profile))
        return CB_E_ARGUMENT;
    *out = (cb_application){.id = cb_id_is_zero(&fresh->id) ? cb_id_new() : fresh->id,
                            .holder = fresh->holder,
                            .profile = fresh->profile,
                            .state = CB_APPLICATION_ENTERED,
                            .created = w.act.time,
                            .changed = w.act.time};
    snprintf(out->reason, sizeof out->reason, "%s", reason);
    snprintf(out->operator, sizeof out->operator, "%s", actor);
    return cb_act_write(store, run_add, &w, CB_WRITE_ORDINARY);
}

/* An approval that was found without a signature after a crash counts for nothing: it may be
 * repeated. */
static cb_error next_state(cb_txn *txn, cb_application *application, uint8_t what)
{
    bool taken_back = application->state == CB_APPLICATION_APPROVED &&
                      what == CB_APPLICATION_APPROVE && cb_said_of_application(txn, application);
    return cb_application_next(taken_back ? CB_APPLICATION_ENTERED : application->state, what,
                               &application->state);
}

static cb_error run_decide(cb_txn *txn, void *context)
{
    const application_work *w = context;
    bool approve = w->what == CB_APPLICATION_APPROVE;
    cb_error error = cb_row_application_get(txn, w->id, w->out);
    bool own = !error && strcmp(w->out->operator, w->act.actor) == 0;
    if (!error && approve && own)
        error = CB_E_APPLICATION_SELF;
    if (!error && approve) /* or a name in the database would be the other operator */
        error = cb_said_of_entered(txn, w->out);
    if (!error)
        error = next_state(txn, w->out, w->what);
    if (error)
        return error;
    snprintf(w->out->approver, sizeof w->out->approver, "%s", own ? "" : w->act.actor);
    w->out->changed = w->act.time;
    error = cb_row_application_set(txn, w->out);
    return error ? error
                 : put_leaf(txn, approve ? "application.approved" : "application.refused", &w->act,
                            w->out);
}

static cb_error decide(cb_store *store, const char *actor, const cb_id *id, uint8_t what,
                       const char *reason, cb_application *out)
{
    application_work w = {{actor, reason, cb_clock_wall_us(), NULL}, id, what, out, NULL};
    if (cb_act_check(actor, reason))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_decide, &w, CB_WRITE_ORDINARY);
}

cb_error cb_application_approve(cb_store *store, const char *actor, const cb_id *id,
                                const char *reason, cb_application *out)
{
    return decide(store, actor, id, CB_APPLICATION_APPROVE, reason, out);
}

cb_error cb_application_refuse(cb_store *store, const char *actor, const cb_id *id,
                               const char *reason, cb_application *out)
{
    return decide(store, actor, id, CB_APPLICATION_REFUSE, reason, out);
}

/* ---- For issuing ---- */

static cb_error find(cb_txn *txn, const cb_card *card, const cb_card_new *fresh, const char *reason,
                     cb_application *out)
{
    if (cb_id_is_zero(&fresh->application))
        return cb_row_application_find(txn, &card->holder, card->profile, reason, out);
    cb_error error = cb_row_application_get(txn, &fresh->application, out);
    bool fits = !error && cb_id_same(&out->holder, &card->holder) &&
                out->profile == card->profile && strcmp(out->reason, reason) == 0;
    return error || fits ? error : CB_E_NOT_FOUND;
}

cb_error cb_application_look(cb_txn *txn, const cb_card *card, const cb_card_new *fresh,
                             cb_application *found)
{
    bool needed = fresh->rules && fresh->rules->applications;
    *found = (cb_application){.state = 0};
    if (!needed && cb_id_is_zero(&fresh->application))
        return CB_OK;
    cb_error error = find(txn, card, fresh, reasons[!cb_id_is_zero(&fresh->replaces)], found);
    if (!error)
        error = cb_said_of_application(txn, found);
    if (!error)
        error = cb_application_next(found->state, CB_APPLICATION_USE, &found->state);
    return error == CB_E_NOT_FOUND || error == CB_E_STATE ? CB_E_APPLICATION_NONE : error;
}

cb_error cb_application_use(cb_txn *txn, const cb_card *card, const cb_card_new *fresh,
                            const cb_act *act, cb_id *used)
{
    cb_application application;
    *used = (cb_id){{0}};
    cb_error error = cb_application_look(txn, card, fresh, &application);
    if (error || cb_id_is_zero(&application.id))
        return error;
    application.card = card->id;
    application.changed = act->time;
    *used = application.id;
    error = cb_row_application_set(txn, &application);
    return error ? error : put_leaf(txn, "application.issued", act, &application);
}

/* ---- Reading ---- */

static cb_error run_get(cb_txn *txn, void *context)
{
    const application_work *w = context;
    return cb_row_application_get(txn, w->id, w->out);
}

cb_error cb_application_get(cb_store *store, const cb_id *id, cb_application *out)
{
    application_work w = {.id = id, .out = out};
    return cb_store_read(store, run_get, &w);
}

typedef struct application_page {
    const cb_id *holder, *after;
    const char *state;
    unsigned limit;
    cb_application_visitor each;
    void *context;
} application_page;

static cb_error run_page(cb_txn *txn, void *context)
{
    const application_page *p = context;
    return cb_row_application_each(txn, p->holder, p->state, p->after, p->limit, p->each,
                                   p->context);
}

cb_error cb_application_page(cb_store *store, const cb_id *holder, const char *state,
                             const cb_id *after, unsigned limit, cb_application_visitor each,
                             void *context)
{
    application_page p = {holder, after, state, limit, each, context};
    return cb_store_read(store, run_page, &p);
}
