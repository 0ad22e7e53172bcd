/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/registration.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "broker/core/card_issue.h"
#include "broker/core/card_proof.h"
#include "broker/core/decide.h"
#include "broker/core/said.h"
#include "broker/core/still.h"
#include "broker/core/stock.h"

#include "hsm/client.h"

static cb_error put_leaf(cb_txn *txn, const char *kind, const cb_act *act,
                         const cb_registration_row *row, const cb_id *tap)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, kind, act);
    if (row->state == CB_CODE_OPEN) {
        cb_said_registration(&leaf, row);
    } else {
        cb_leaf_id(&leaf, "code", &row->code);
        cb_leaf_id(&leaf, "holder", &row->holder);
    }
    if (tap) {
        cb_leaf_id(&leaf, "tap", tap);
        cb_leaf_id(&leaf, "card", &row->card);
        cb_leaf_id(&leaf, "terminal", &row->terminal);
        cb_leaf_text(&leaf, "allowed_by", row->operator);
    }
    if (row->state != CB_CODE_OPEN && !cb_id_is_zero(&row->replaces))
        cb_leaf_id(&leaf, "replaces", &row->replaces);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

/* ---- The card that is to be replaced ---- */

static bool replaces(const cb_registration_row *row) { return !cb_id_is_zero(&row->replaces); }

/* A manager says it who knows in which state it is: only a dead one leaves nothing to exchange. */
static cb_error may_be_replaced(cb_txn *txn, const cb_registration_row *row)
{
    cb_card old;
    if (!replaces(row))
        return CB_OK;
    cb_card_init(&old);
    cb_error error = cb_row_card_get(txn, &row->replaces, &old);
    if (!error && (!cb_id_same(&old.holder, &row->holder) || old.profile == CB_PROFILE_PASSWORD))
        error = CB_E_ARGUMENT;
    if (!error && cb_card_is_dead(old.state))
        error = CB_E_STATE;
    cb_card_free(&old);
    return error;
}

/* That somebody stopped the card since the code was made may mean that it and the code's letter are
 * in the wrong hands. Its last day means nothing of the kind, but takes the place of what was before
 * it: of a card that has expired since nobody knows whether it was suspended. */
static cb_error is_still_replaced(cb_txn *txn, const cb_registration_row *row)
{
    cb_card old;
    if (!replaces(row))
        return CB_OK;
    cb_card_init(&old);
    cb_error error = cb_row_card_get(txn, &row->replaces, &old);
    if (error == CB_E_NOT_FOUND) /* no card is ever taken out of the table */
        error = CB_E_HSM_RECORD;
    if (!error && (cb_card_is_dead(old.state) ||
                   ((old.state == CB_CARD_SUSPENDED || old.state == CB_CARD_EXPIRED) &&
                    old.changed > row->created)))
        error = CB_E_REGISTRATION_STOPPED;
    cb_card_free(&old);
    return error;
}

/* Of a code that was used the log has no word, but the card that it ended is dead. */
static cb_error was_replaced(cb_txn *txn, const cb_registration_row *row)
{
    cb_card old;
    if (!replaces(row))
        return CB_OK;
    cb_card_init(&old);
    cb_error error = cb_row_card_get(txn, &row->replaces, &old);
    bool so = !error && cb_card_is_dead(old.state) && cb_id_same(&old.holder, &row->holder);
    cb_card_free(&old);
    return so || (error && error != CB_E_NOT_FOUND) ? error : CB_E_HSM_RECORD;
}

/* ---- Allowing, withdrawing, lapsing ---- */

typedef struct work {
    cb_act act;
    const cb_id *code;
    cb_registration_row *row;
    uint8_t state; /* that it is to have */
    const char *kind;
} work;

static cb_error run_record(cb_txn *txn, void *context)
{
    const work *w = context;
    cb_error error = may_be_replaced(txn, w->row);
    if (!error)
        error = cb_row_registration_put(txn, w->row);
    return error ? error : put_leaf(txn, w->kind, &w->act, w->row, NULL);
}

cb_error cb_registration_record(cb_store *store, const char *actor, const char *reason,
                                cb_registration_row *row)
{
    work w = {.act = {.actor = actor, .reason = reason, .time = cb_clock_wall_us()},
              .row = row,
              .kind = "registration.allowed"};
    int64_t left = row->expires - w.act.time;
    if (cb_act_check(actor, reason) || cb_id_is_zero(&row->code) || left <= 0 ||
        left > (int64_t)CB_REGISTRATION_MOST_S * CB_SECOND || row->profiles == 0 ||
        (row->profiles & ~CB_REGISTRATION_PROFILES) != 0 ||
        !cb_level_reaches(row->level, CB_LEVEL_POSSESSION))
        return CB_E_ARGUMENT;
    row->state = CB_CODE_OPEN;
    row->created = row->changed = w.act.time;
    row->card = row->terminal = (cb_id){{0}};
    snprintf(row->operator, sizeof row->operator, "%s", actor);
    return cb_act_write(store, run_record, &w, CB_WRITE_ORDINARY);
}

static cb_error end_in(cb_txn *txn, const work *w)
{
    cb_error error = cb_row_registration_get(txn, w->code, w->row);
    if (!error && w->row->state != CB_CODE_OPEN)
        error = CB_E_STATE;
    if (error)
        return error;
    w->row->state = w->state;
    w->row->changed = w->act.time;
    error = cb_row_registration_set(txn, w->row);
    return error ? error : put_leaf(txn, w->kind, &w->act, w->row, NULL);
}

static cb_error run_end(cb_txn *txn, void *context) { return end_in(txn, context); }

cb_error cb_registration_end(cb_store *store, const char *actor, const cb_id *code,
                             const char *reason, cb_registration_row *out)
{
    work w = {.act = {.actor = actor, .reason = reason, .time = cb_clock_wall_us()},
              .code = code,
              .row = out,
              .state = CB_CODE_WITHDRAWN,
              .kind = "registration.withdrawn"};
    if (cb_act_check(actor, reason))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_end, &w, CB_WRITE_ORDINARY);
}

enum { SWEEP = 16 };

/* All of them, some at a time: each that was found is open no more. */
static cb_error withdraw_replacing(cb_txn *txn, const cb_act *act, const cb_card *old,
                                   size_t *withdrawn)
{
    cb_id code[SWEEP];
    size_t count = 0;
    cb_error error =
        cb_row_registration_replacing(txn, &old->holder, &old->id, code, SWEEP, &count);
    while (!error && count > 0) {
        for (size_t i = 0; !error && i < count; i++) {
            cb_registration_row row;
            const work w = {.act = *act,
                            .code = &code[i],
                            .row = &row,
                            .state = CB_CODE_WITHDRAWN,
                            .kind = "registration.withdrawn"};
            error = end_in(txn, &w);
            *withdrawn += error ? 0 : 1;
        }
        if (!error)
            error = cb_row_registration_replacing(txn, &old->holder, &old->id, code, SWEEP, &count);
    }
    return error;
}

cb_error cb_registration_report_in(cb_txn *txn, const cb_act *act, const cb_id *old)
{
    cb_card card;
    size_t withdrawn = 0;
    cb_card_init(&card);
    cb_error error = cb_row_card_get(txn, old, &card);
    if (!error && card.state != CB_CARD_ACTIVE && !cb_card_is_dead(card.state))
        error = withdraw_replacing(txn, act, &card, &withdrawn);
    if (!error && withdrawn == 0)
        error = CB_E_STATE;
    if (act->affected) {
        cb_affected_free(act->affected);
        act->affected->code_count = error ? 0 : withdrawn;
    }
    cb_card_free(&card);
    return error;
}

typedef struct over {
    int64_t by;
    cb_id code[SWEEP];
    size_t count;
} over;

static cb_error run_over(cb_txn *txn, void *context)
{
    over *o = context;
    return cb_row_registration_over(txn, o->by, o->code, SWEEP, &o->count);
}

cb_error cb_registration_sweep_step(cb_store *store, int64_t now, size_t *done)
{
    over o = {.by = now - CB_REGISTRATION_SETTLED};
    *done = 0;
    cb_error error = cb_store_read(store, run_over, &o);
    for (size_t i = 0; !error && i < o.count; i++) {
        cb_registration_row row;
        work w = {.act = {.actor = "cardbrokerd", .time = now},
                  .code = &o.code[i],
                  .row = &row,
                  .state = CB_CODE_LAPSED,
                  .kind = "registration.lapsed"};
        error = cb_act_write(store, run_end, &w, CB_WRITE_DUE);
        *done += error ? 0 : 1;
        error = error == CB_E_STATE ? CB_OK : error; /* used meanwhile */
    }
    return error;
}

/* ---- Reading ---- */

typedef struct reading {
    const cb_id *code, *card, *holder, *after;
    unsigned limit;
    cb_registration_visitor each;
    void *context;
    cb_registration_row *out;
    uint64_t sequence;
    uint8_t profile;
    const cb_card_rules *rules;
} reading;

static cb_error run_find(cb_txn *txn, void *context)
{
    const reading *r = context;
    return cb_row_registration_get(txn, r->code, r->out);
}

cb_error cb_registration_find(cb_store *store, const cb_id *code, cb_registration_row *out)
{
    reading r = {.code = code, .out = out};
    return cb_store_read(store, run_find, &r);
}

static cb_error run_list(cb_txn *txn, void *context)
{
    const reading *r = context;
    return cb_row_registration_each(txn, r->holder, r->after, r->limit, r->each, r->context);
}

cb_error cb_registration_list(cb_store *store, const cb_id *holder, const cb_id *after,
                              unsigned limit, cb_registration_visitor each, void *context)
{
    reading r = {
        .holder = holder, .after = after, .limit = limit, .each = each, .context = context};
    return cb_store_read(store, run_list, &r);
}

/* Of a card that is there: it is this code's doing, and good. */
static cb_error by_this_code(cb_txn *txn, const cb_id *code, const cb_card *card)
{
    cb_registration_row row;
    cb_error error = cb_row_registration_get(txn, code, &row);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_E_CARD_REGISTERED : error;
    bool own = row.state == CB_CODE_USED && cb_id_same(&row.card, &card->id) &&
               cb_id_same(&row.holder, &card->holder);
    cb_error refusal = cb_card_refusal(card);
    return refusal ? refusal : own ? CB_OK : CB_E_CARD_REGISTERED;
}

static cb_error refusal_of(const cb_registration_row *row, const cb_id *card)
{
    switch (row->state) {
    case CB_CODE_OPEN:
        return CB_OK;
    case CB_CODE_USED:
        return cb_id_same(&row->card, card) ? CB_OK : CB_E_REGISTRATION_USED;
    case CB_CODE_LAPSED:
        return CB_E_REGISTRATION_LAPSED;
    default:
        return CB_E_REGISTRATION_WITHDRAWN;
    }
}

/* Of one that is not there. Whether the code is any good hsmd says. */
static cb_error may_be_issued(cb_txn *txn, const reading *r)
{
    cb_registration_row row;
    cb_error error = cb_row_registration_get(txn, r->code, &row);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_OK : error;
    error = refusal_of(&row, r->card);
    if (!error)
        error = cb_said_of_registration(txn, &row);
    if (!error)
        error = is_still_replaced(txn, &row);
    if (error)
        return error;
    const cb_card_new fresh = {.rules = r->rules, .replaces = row.replaces};
    const cb_card card = {.id = *r->card, .holder = row.holder, .profile = r->profile};
    return cb_card_issue_look(txn, &fresh, &card);
}

static cb_error run_open(cb_txn *txn, void *context)
{
    const reading *r = context;
    cb_card card;
    cb_card_init(&card);
    cb_error error = cb_row_card_get(txn, r->card, &card);
    error = error == CB_E_NOT_FOUND ? may_be_issued(txn, r)
            : error                 ? error
                                    : by_this_code(txn, r->code, &card);
    cb_card_free(&card);
    return error;
}

cb_error cb_registration_open(cb_store *store, const cb_id *code, const cb_id *card,
                              uint8_t profile, const cb_card_rules *rules)
{
    reading r = {.code = code, .card = card, .profile = profile, .rules = rules};
    cb_error error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
    return error ? error : cb_store_read_said(store, run_open, &r);
}

static cb_error highest(void *context, const cb_card *card)
{
    uint64_t *sequence = context;
    *sequence = card->sequence > *sequence ? card->sequence : *sequence;
    return CB_OK;
}

/* Bindings of one holder are numbered, so that the record shows which came after which. */
static cb_error run_sequence(cb_txn *txn, void *context)
{
    reading *r = context;
    cb_registration_row row;
    cb_error error = cb_row_registration_get(txn, r->code, &row);
    r->sequence = 0;
    if (!error)
        error = cb_row_card_each(txn, &row.holder, NULL, CB_PAGE_LIMIT, highest, &r->sequence);
    return error == CB_E_NOT_FOUND ? CB_E_REGISTRATION_CODE : error;
}

cb_error cb_registration_sequence(cb_store *store, const cb_id *code, uint64_t *sequence)
{
    reading r = {.code = code};
    cb_error error = cb_store_read(store, run_sequence, &r);
    *sequence = r.sequence + 1;
    return error;
}

/* ---- Using one ---- */

typedef struct using
{
    cb_act act;
    const cb_registration_use *use;
    cb_card_new *fresh;
    cb_card card;
    bool there; /* it was recorded before */
    cb_registration_replaced *replaced;
}
using;

/* The row, and whether the card is there by it already. */
static cb_error look_up(cb_txn *txn, using *u, cb_registration_row *row)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error = cb_row_registration_get(txn, &u->use->code, row);
    if (error)
        error = error == CB_E_NOT_FOUND ? CB_E_REGISTRATION_CODE : error;
    else if (!cb_id_same(&row->holder, &u->card.holder) || row->level != u->card.level)
        error = CB_E_HSM_RECORD;
    else
        error = refusal_of(row, &u->card.id);
    if (!error)
        error = cb_still_terminal(txn, &u->use->terminal, NULL, 0);
    if (!error) {
        error = cb_row_card_get(txn, &u->card.id, &card);
        u->there = !error;
        error = error == CB_E_NOT_FOUND ? CB_OK
                : error                 ? error
                                        : by_this_code(txn, &u->use->code, &card);
    }
    cb_card_free(&card);
    return error;
}

/* What was found without a signature after a crash counts for nothing, and is said once more. */
static cb_error again(cb_txn *txn, const using *u)
{
    cb_error error = cb_said_of_card(txn, &u->card.id);
    return error == CB_E_HSM_RECORD ? cb_card_act_in(txn, &u->act, &u->card.id, CB_CARD_ACTIVATE)
                                    : error;
}

static cb_error issue_plain(cb_txn *txn, const using *u)
{
    cb_error error = cb_card_issue_in(txn, &u->act, u->fresh, &u->card);
    return error ? error : cb_card_act_in(txn, &u->act, &u->card.id, CB_CARD_ACTIVATE);
}

static cb_error issue_in_place(cb_txn *txn, const using *u)
{
    cb_act act = u->act;
    act.reason = "replaced";
    act.affected = &u->replaced->affected;
    return cb_card_replace_in(txn, &act, u->fresh, &u->card);
}

/* Whatever state the row has: of a code that is not open the log has no word. */
static cb_error issue(cb_txn *txn, using *u, cb_registration_row *row)
{
    cb_error error = cb_said_of_registration(txn, row);
    if (!error)
        error = is_still_replaced(txn, row);
    u->fresh->replaces = row->replaces;
    if (!error)
        error = replaces(row) ? issue_in_place(txn, u) : issue_plain(txn, u);
    row->state = CB_CODE_USED;
    row->changed = u->act.time;
    row->card = u->card.id;
    row->terminal = u->use->terminal;
    if (!error)
        error = cb_row_registration_set(txn, row);
    return error ? error : put_leaf(txn, "registration.used", &u->act, row, &u->use->tap);
}

static cb_error run_use(cb_txn *txn, void *context)
{
    using *u = context;
    cb_registration_row row = {.replaces = {{0}}};
    cb_error error = look_up(txn, u, &row);
    if (!error)
        error = u->there ? again(txn, u) : issue(txn, u, &row);
    if (!error && u->use->counter > 0)
        error = cb_card_proof_in(txn, &u->card.id, u->use->counter, u->act.time);
    if (!error && u->there)
        error = was_replaced(txn, &row);
    u->replaced->card = row.replaces;
    return error;
}

cb_error cb_registration_use_code(cb_store *store, const cb_registration_use *use, cb_card *out,
                                  cb_registration_replaced *replaced)
{
    cb_card_new fresh = {.binding = use->binding,
                         .certificates = use->certificates,
                         .rules = use->rules,
                         .activate = true};
    using u = {.act = {.actor = "registration", .time = cb_clock_wall_us()},
               .use = use,
               .fresh = &fresh,
               .replaced = replaced};
    cb_card_init(&u.card);
    cb_error error = cb_card_prepare(&fresh, u.act.time, &u.card);
    if (!error)
        error = cb_act_write(store, run_use, &u, CB_WRITE_ORDINARY);
    if (cb_card_issue_refused(error))
        cb_mismatch_of_issue(store, u.act.actor, &fresh, &u.card.id, error);
    if (error && error != CB_E_UNSIGNED)
        replaced->card = (cb_id){{0}};
    u.card.state = CB_CARD_ACTIVE;
    if (!error)
        error = cb_card_copy(&u.card, out);
    cb_card_free(&u.card);
    return error;
}
