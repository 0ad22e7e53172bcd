/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/stock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/card_issue.h"
#include "broker/core/state.h"

typedef struct stock_work {
    cb_act act;
    uint8_t what; /* cb_card_act; 0: enter */
    const cb_stock_list *list;
    cb_stock_outcome *out;
    cb_batch batch;
} stock_work;

static void copy(char to[CB_STOCK_TEXT], const char *from)
{
    snprintf(to, CB_STOCK_TEXT, "%s", from);
}

/* ---- What does not fit ---- */

static cb_error put_mismatch(cb_txn *txn, const cb_act *act, cb_mismatch *m)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    m->id = cb_id_new();
    m->time = act->time;
    snprintf(m->actor, sizeof m->actor, "%s", act->actor);
    cb_act_leaf(&leaf, "stock.mismatch", act);
    cb_leaf_text(&leaf, "what", m->kind);
    cb_leaf_text(&leaf, "manufacturer", m->manufacturer);
    cb_leaf_text(&leaf, "serial", m->serial);
    cb_leaf_text(&leaf, "delivery", m->delivery);
    if (!cb_id_is_zero(&m->card))
        cb_leaf_id(&leaf, "of_card", &m->card);
    if (!cb_id_is_zero(&m->application))
        cb_leaf_id(&leaf, "application", &m->application);
    cb_error error = cb_row_mismatch_put(txn, m);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error mismatch(cb_txn *txn, const stock_work *w, const char *kind, const char *serial)
{
    cb_mismatch m = {.time = 0};
    snprintf(m.kind, sizeof m.kind, "%s", kind);
    copy(m.manufacturer, w->list->manufacturer);
    copy(m.serial, serial);
    copy(m.delivery, w->list->name);
    w->out->mismatches++;
    return put_mismatch(txn, &w->act, &m);
}

/* ---- One card ---- */

static cb_error enter_one(cb_txn *txn, const stock_work *w, size_t i)
{
    static const cb_id unknown;
    cb_stock there, fresh = {.batch = w->batch.id, .state = CB_CARD_MANUFACTURED};
    const cb_id *identity = w->list->identities ? &w->list->identities[i] : &unknown;
    cb_error error = cb_row_stock_get(txn, w->list->manufacturer, w->list->serials[i], &there);
    if (!error && cb_id_same(&there.batch, &w->batch.id) &&
        (cb_id_is_zero(identity) || cb_id_same(&there.identity, identity)))
        return CB_OK;
    if (!error)
        return mismatch(txn, w, "listed-twice", w->list->serials[i]);
    if (error != CB_E_NOT_FOUND)
        return error;
    if (!cb_id_is_zero(identity) && !cb_row_stock_find(txn, identity, &there))
        return mismatch(txn, w, "identity-twice", w->list->serials[i]);
    copy(fresh.manufacturer, w->list->manufacturer);
    copy(fresh.serial, w->list->serials[i]);
    fresh.identity = *identity;
    fresh.changed = w->act.time;
    w->out->done++;
    return cb_row_stock_put(txn, &fresh);
}

/* Of two with one serial nobody knows which is which: neither comes into stock. One that was issued
 * is its holder's, and for people to look into. */
static cb_error bar_double(cb_txn *txn, const stock_work *w, cb_stock *stock)
{
    cb_error error = CB_OK;
    if (!cb_card_next(stock->state, CB_CARD_REVOKE, &stock->state) &&
        strcmp(cb_card_state_name(stock->state), "issued") != 0) {
        stock->changed = w->act.time;
        error = cb_row_stock_set(txn, stock);
    }
    return error ? error : mismatch(txn, w, "double", stock->serial);
}

static bool was_received(const cb_stock *stock)
{
    return stock->line > 0 || stock->state == CB_CARD_IN_STOCK || stock->state == CB_CARD_ISSUED;
}

static cb_error receive_one(cb_txn *txn, const stock_work *w, cb_stock *stock, int64_t line)
{
    bool of_this = strcmp(stock->delivery, w->list->name) == 0;
    if (was_received(stock) && of_this && stock->line == line)
        return CB_OK; /* the same once more */
    if (was_received(stock))
        return stock->state == CB_CARD_ISSUED ? mismatch(txn, w, "double", stock->serial)
                                              : bar_double(txn, w, stock);
    if (!of_this)
        return mismatch(txn, w, "not-sent", stock->serial);
    if (cb_card_next(stock->state, CB_CARD_RECEIVE, &stock->state))
        return mismatch(txn, w, "state", stock->serial);
    stock->line = line;
    stock->changed = w->act.time;
    w->out->done++;
    return cb_row_stock_set(txn, stock);
}

static cb_error move_one(cb_txn *txn, const stock_work *w, cb_stock *stock)
{
    bool sent = w->what == CB_CARD_SEND && stock->state == CB_CARD_IN_TRANSIT &&
                strcmp(stock->delivery, w->list->name) == 0;
    uint8_t state;
    if (sent) /* the same once more */
        return CB_OK;
    if (stock->state == CB_CARD_ISSUED || cb_card_next(stock->state, w->what, &state))
        return mismatch(txn, w, "state", stock->serial);
    stock->state = state;
    stock->changed = w->act.time;
    if (w->what == CB_CARD_SEND)
        copy(stock->delivery, w->list->name);
    w->out->done++;
    return cb_row_stock_set(txn, stock);
}

static cb_error act_on_one(cb_txn *txn, const stock_work *w, size_t i)
{
    cb_stock stock;
    cb_error error = cb_row_stock_get(txn, w->list->manufacturer, w->list->serials[i], &stock);
    if (error == CB_E_NOT_FOUND)
        return mismatch(txn, w, "unknown", w->list->serials[i]);
    if (error)
        return error;
    return w->what == CB_CARD_RECEIVE ? receive_one(txn, w, &stock, w->list->first + (int64_t)i)
                                      : move_one(txn, w, &stock);
}

/* ---- What is missing ---- */

typedef struct missing {
    char serial[CB_STOCK_STEP_MAX][CB_STOCK_TEXT];
    size_t count;
} missing;

static cb_error note_missing(void *context, const cb_stock *stock)
{
    missing *m = context;
    copy(m->serial[m->count++], stock->serial);
    return CB_OK;
}

static cb_error say_missing(cb_txn *txn, const stock_work *w)
{
    missing *m = malloc(sizeof *m);
    if (!m)
        return CB_E_MEMORY;
    m->count = 0;
    cb_error error = cb_row_stock_missing(txn, w->list->manufacturer, w->list->name,
                                          CB_STOCK_STEP_MAX, note_missing, m);
    for (size_t i = 0; !error && i < m->count; i++)
        error = mismatch(txn, w, "missing", m->serial[i]);
    w->out->more = m->count == CB_STOCK_STEP_MAX;
    free(m);
    return error;
}

/* ---- Many, in one act ---- */

static cb_error put_leaf(cb_txn *txn, const stock_work *w, const char *kind)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX), all = CB_BUF(CB_STOCK_STEP_MAX * CB_STOCK_TEXT);
    for (size_t i = 0; i < w->list->count; i++)
        cb_buf_put(&all, (cb_bytes){(const uint8_t *)w->list->serials[i],
                                    strlen(w->list->serials[i]) + 1});
    cb_digest digest = cb_sha256(cb_buf_bytes(&all));
    cb_act_leaf(&leaf, kind, &w->act);
    cb_leaf_text(&leaf, "manufacturer", w->list->manufacturer);
    cb_leaf_text(&leaf, w->what ? "delivery" : "batch", w->list->name);
    cb_leaf_number(&leaf, "cards", w->out->done);
    cb_leaf_hex(&leaf, "serials_sha256", cb_digest_bytes(&digest));
    cb_error error = cb_buf_error(&all);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    cb_buf_free(&all);
    return error;
}

static cb_error find_batch(cb_txn *txn, stock_work *w)
{
    cb_error error = cb_row_batch_find(txn, w->list->manufacturer, w->list->name, &w->batch);
    if (error != CB_E_NOT_FOUND)
        return error;
    w->batch = (cb_batch){.id = cb_id_new(), .created = w->act.time};
    copy(w->batch.manufacturer, w->list->manufacturer);
    copy(w->batch.name, w->list->name);
    return cb_row_batch_put(txn, &w->batch);
}

static const char *leaf_of(uint8_t what)
{
    switch (what) {
    case 0:
        return "stock.entered";
    case CB_CARD_SEND:
        return "stock.sent";
    case CB_CARD_RECEIVE:
        return "stock.received";
    case CB_CARD_REVOKE:
        return "stock.revoked";
    case CB_CARD_DESTROY:
        return "stock.destroyed";
    default:
        return NULL;
    }
}

static cb_error run_work(cb_txn *txn, void *context)
{
    stock_work *w = context;
    *w->out = (cb_stock_outcome){0};
    cb_error error = w->what ? CB_OK : find_batch(txn, w);
    for (size_t i = 0; !error && i < w->list->count; i++)
        error = w->what ? act_on_one(txn, w, i) : enter_one(txn, w, i);
    if (!error && w->what == CB_CARD_RECEIVE && w->list->last)
        error = say_missing(txn, w);
    return error || w->out->done == 0 ? error : put_leaf(txn, w, leaf_of(w->what));
}

static bool list_ok(const cb_stock_list *list)
{
    bool good = list->manufacturer && cb_stock_name_ok(list->manufacturer) && list->name &&
                cb_stock_name_ok(list->name) && list->count <= CB_STOCK_STEP_MAX && list->first > 0;
    for (size_t i = 0; good && i < list->count; i++)
        good = cb_stock_name_ok(list->serials[i]);
    return good;
}

static cb_error work(cb_store *store, const char *actor, uint8_t what, const cb_stock_list *list,
                     cb_stock_outcome *out)
{
    stock_work w = {.act = {.actor = actor, .time = cb_clock_wall_us()},
                    .what = what,
                    .list = list,
                    .out = out};
    if (!leaf_of(what) || cb_act_check(actor, NULL) || !list_ok(list))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_work, &w, CB_WRITE_ORDINARY);
}

cb_error cb_stock_enter(cb_store *store, const char *actor, const cb_stock_list *list,
                        cb_stock_outcome *out)
{
    return work(store, actor, 0, list, out);
}

cb_error cb_stock_act(cb_store *store, const char *actor, cb_card_act act,
                      const cb_stock_list *list, cb_stock_outcome *out)
{
    return act ? work(store, actor, (uint8_t)act, list, out) : CB_E_ARGUMENT;
}

/* ---- For issuing ---- */

static cb_error find_stock(cb_txn *txn, const cb_card *card, const cb_card_new *fresh,
                           cb_stock *out)
{
    if (fresh->serial)
        return cb_row_stock_get(txn, fresh->manufacturer, fresh->serial, out);
    return cb_row_stock_find(txn, &card->id, out);
}

static bool demanded(const cb_card *card, const cb_card_new *fresh)
{
    uint8_t demand = fresh->rules ? fresh->rules->stock : CB_STOCK_NOT_DEMANDED;
    return demand == CB_STOCK_OF_ALL ||
           (demand == CB_STOCK_OF_NATIVE && card->profile == CB_PROFILE_NATIVE);
}

cb_error cb_stock_look(cb_txn *txn, const cb_card *card, const cb_card_new *fresh, cb_stock *found)
{
    bool unnamed = cb_id_is_zero(&card->id);
    *found = (cb_stock){.state = 0};
    if (unnamed && !fresh->serial)
        return CB_OK; /* nothing says yet which it is */
    cb_error error = find_stock(txn, card, fresh, found);
    if (error == CB_E_NOT_FOUND)
        return fresh->serial || demanded(card, fresh) ? CB_E_CARD_UNLISTED : CB_OK;
    if (error)
        return error;
    if (!unnamed && fresh->serial && cb_id_is_zero(&found->identity)) {
        cb_stock known; /* by another serial */
        error = cb_row_stock_find(txn, &card->id, &known);
        if (error != CB_E_NOT_FOUND)
            return error ? error : CB_E_CARD_UNLISTED;
    }
    bool other = !unnamed && !cb_id_is_zero(&found->identity) &&
                 !cb_id_same(&found->identity, &card->id);
    return other || cb_card_next(found->state, CB_CARD_ISSUE, &found->state) ? CB_E_CARD_UNLISTED
                                                                            : CB_OK;
}

cb_error cb_stock_take(cb_txn *txn, const cb_card *card, const cb_card_new *fresh, int64_t now,
                       cb_stock *taken)
{
    cb_error error = cb_stock_look(txn, card, fresh, taken);
    if (error || !taken->serial[0])
        return error;
    taken->identity = card->id;
    taken->changed = now;
    error = cb_row_stock_set(txn, taken);
    return error == CB_E_EXISTS ? CB_E_CARD_UNLISTED : error;
}

typedef struct refused_issue {
    cb_act act;
    cb_mismatch m;
} refused_issue;

static cb_error run_refused(cb_txn *txn, void *context)
{
    refused_issue *r = context;
    return put_mismatch(txn, &r->act, &r->m);
}

void cb_mismatch_of_issue(cb_store *store, const char *actor, const cb_card_new *fresh,
                          const cb_id *card, cb_error error)
{
    refused_issue r = {.act = {.actor = actor, .time = cb_clock_wall_us()}};
    r.m.card = *card;
    r.m.application = fresh->application;
    copy(r.m.manufacturer, fresh->manufacturer ? fresh->manufacturer : "");
    copy(r.m.serial, fresh->serial ? fresh->serial : "");
    snprintf(r.m.kind, sizeof r.m.kind, "%s",
             error == CB_E_CARD_UNLISTED ? "issue-unlisted" : "issue-without-application");
    cb_change change = {.run = run_refused, .context = &r, .urgency = CB_WRITE_DUE};
    error = cb_store_write(store, &change);
    if (error)
        cb_log_failure("stock.unrecorded", error, "that a card was not issued is not recorded");
}

cb_error cb_mismatch_of_card_in(cb_txn *txn, const char *kind, const cb_id *card, int64_t now)
{
    const cb_act act = {.actor = "cardbrokerd", .time = now};
    cb_mismatch m = {.card = *card};
    snprintf(m.kind, sizeof m.kind, "%s", kind);
    return put_mismatch(txn, &act, &m);
}

/* ---- Reading ---- */

typedef struct stock_page {
    const char *manufacturer, *state, *delivery, *after;
    unsigned limit;
    cb_stock_visitor each;
    void *context;
} stock_page;

static cb_error run_page(cb_txn *txn, void *context)
{
    const stock_page *p = context;
    return cb_row_stock_each(txn, p->manufacturer, p->state, p->delivery, p->after, p->limit,
                             p->each, p->context);
}

cb_error cb_stock_page(cb_store *store, const char *manufacturer, const char *state,
                       const char *delivery, const char *after, unsigned limit,
                       cb_stock_visitor each, void *context)
{
    stock_page p = {manufacturer, state, delivery, after, limit, each, context};
    return cb_store_read(store, run_page, &p);
}

typedef struct mismatch_page {
    const cb_id *after;
    unsigned limit;
    cb_mismatch_visitor each;
    void *context;
} mismatch_page;

static cb_error run_mismatches(cb_txn *txn, void *context)
{
    const mismatch_page *p = context;
    return cb_row_mismatch_each(txn, p->after, p->limit, p->each, p->context);
}

cb_error cb_mismatch_page(cb_store *store, const cb_id *after, unsigned limit,
                          cb_mismatch_visitor each, void *context)
{
    mismatch_page p = {after, limit, each, context};
    return cb_store_read(store, run_mismatches, &p);
}
