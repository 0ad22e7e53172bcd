/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card comes to its holder.
 */
#include "broker/core/card_issue.h"
#include "broker/core/stock.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define DAY (24 * 3600 * CB_SECOND)

bool cb_stock_name_ok(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > CB_STOCK_NAME_MAX)
        return false;
    for (; *name; name++) {
        if (*name < 0x21 || *name > 0x7E)
            return false;
    }
    return true;
}

/* The first of the days that end it: its binding's or its certificates', and its own. */
static cb_error last_day(const cb_card_new *fresh, const cb_binding_info *info, cb_card *card)
{
    int64_t certified = 0;
    cb_error error = cb_card_certificates_end(card, &certified);
    /* Of others' cards it is their certificates'; that a password was given for a time is hsmd's to
     * see: its name goes on. */
    bool dated = info->expires && info->profile == CB_PROFILE_NATIVE;
    card->expires = dated ? info->expires : certified;
    card->expires = cb_first_day(card->expires, fresh->expires);
    card->own_expires = fresh->expires;
    return error;
}

static bool from_list(const cb_card_new *fresh)
{
    if (!fresh->manufacturer && !fresh->serial)
        return true;
    return fresh->manufacturer && cb_stock_name_ok(fresh->manufacturer) && fresh->serial &&
           cb_stock_name_ok(fresh->serial);
}

cb_error cb_card_prepare(const cb_card_new *fresh, int64_t now, cb_card *card)
{
    cb_binding_info info;
    if (cb_binding_info_read(fresh->binding, &info) || info.sequence > INT64_MAX ||
        fresh->expires < 0 || !from_list(fresh) ||
        (fresh->holder_name && !cb_name_ok(fresh->holder_name)) ||
        (fresh->station && !cb_stock_name_ok(fresh->station)))
        return CB_E_ARGUMENT;
    card->id = info.card;
    card->holder = info.holder;
    card->state = CB_CARD_ISSUED;
    card->profile = info.profile;
    card->level = info.level;
    card->sequence = info.sequence;
    card->created = card->changed = now;
    card->due = 0;
    cb_buf_reset(&card->binding);
    cb_buf_reset(&card->certificates);
    cb_buf_put(&card->binding, fresh->binding);
    cb_buf_put(&card->certificates, fresh->certificates);
    cb_error error = cb_buf_error(&card->binding);
    if (!error)
        error = cb_buf_error(&card->certificates);
    if (!error)
        error = cb_card_certificates_check(card);
    return error ? error : last_day(fresh, &info, card);
}

static cb_error put_issue(cb_txn *txn, const cb_act *act, const cb_card_new *fresh,
                          const cb_card *card, const cb_stock *stock, const cb_id *application)
{
    cb_issue_row row = {.card = card->id, .day = act->time / DAY, .application = *application};
    snprintf(row.manufacturer, sizeof row.manufacturer, "%s", stock->manufacturer);
    snprintf(row.serial, sizeof row.serial, "%s", stock->serial);
    snprintf(row.operator, sizeof row.operator, "%s", act->actor);
    row.replaces = fresh->replaces;
    snprintf(row.station, sizeof row.station, "%s", fresh->station ? fresh->station : "");
    return cb_row_issue_put(txn, &row);
}

static cb_error put_leaf(cb_txn *txn, const cb_act *act, const cb_card_new *fresh,
                         const cb_card *card, const cb_stock *stock)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_digest binding = cb_sha256(cb_buf_bytes(&card->binding));
    cb_act_leaf(&leaf, "card.added", act);
    cb_leaf_id(&leaf, "card", &card->id);
    cb_leaf_id(&leaf, "holder", &card->holder);
    cb_leaf_text(&leaf, "state", cb_card_state_name(card->state));
    cb_leaf_number(&leaf, "sequence", card->sequence);
    cb_leaf_hex(&leaf, "binding_sha256", cb_digest_bytes(&binding));
    if (card->expires > 0)
        cb_leaf_number(&leaf, "expires", (uint64_t)card->expires);
    if (card->own_expires > 0)
        cb_leaf_number(&leaf, "own_expires", (uint64_t)card->own_expires);
    if (fresh->station)
        cb_leaf_text(&leaf, "station", fresh->station);
    if (stock->serial[0]) {
        cb_leaf_text(&leaf, "manufacturer", stock->manufacturer);
        cb_leaf_text(&leaf, "serial", stock->serial);
    }
    if (!cb_id_is_zero(&fresh->replaces))
        cb_leaf_id(&leaf, "replaces", &fresh->replaces);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_card_issue_look(cb_txn *txn, const cb_card_new *fresh, const cb_card *card)
{
    cb_stock stock;
    cb_application application;
    cb_error error = cb_stock_look(txn, card, fresh, &stock);
    return error ? error : cb_application_look(txn, card, fresh, &application);
}

cb_error cb_card_issue_in(cb_txn *txn, const cb_act *act, const cb_card_new *fresh,
                          const cb_card *card)
{
    cb_stock stock;
    cb_id application;
    cb_error error = fresh->holder_name ? cb_holder_enter_in(txn, act, &card->holder, fresh->holder_name)
                                        : CB_OK;
    if (!error)
        error = cb_row_card_put(txn, card);
    if (!error)
        error = cb_stock_take(txn, card, fresh, act->time, &stock);
    if (!error)
        error = cb_application_use(txn, card, fresh, act, &application);
    if (!error)
        error = put_issue(txn, act, fresh, card, &stock, &application);
    return error ? error : put_leaf(txn, act, fresh, card, &stock);
}

typedef struct issuable {
    const cb_card_new *fresh;
    const cb_card *card;
} issuable;

static cb_error run_issuable(cb_txn *txn, void *context)
{
    const issuable *i = context;
    cb_holder holder;
    cb_card there;
    cb_card_init(&there);
    cb_error error = cb_row_card_get(txn, &i->card->id, &there);
    cb_card_free(&there);
    if (error != CB_E_NOT_FOUND)
        return error ? error : CB_E_EXISTS;
    error = cb_row_holder_get(txn, &i->card->holder, &holder);
    if (error == CB_E_NOT_FOUND && i->fresh->holder_name)
        error = cb_name_ok(i->fresh->holder_name) ? CB_OK : CB_E_ARGUMENT;
    else if (!error && i->fresh->holder_name && strcmp(holder.name, i->fresh->holder_name) != 0)
        error = CB_E_EXISTS;
    return error ? error : cb_card_issue_look(txn, i->fresh, i->card);
}

cb_error cb_card_issuable(cb_store *store, const char *actor, const cb_card_new *fresh,
                          const cb_card *card)
{
    issuable i = {.fresh = fresh, .card = card};
    /* In its turn with what is written, for an application counts as the log says of it, and of that
     * a reader may see more or less than of the row; and what would keep a card from being recorded,
     * keeps it from being bound. */
    const cb_change change = {.run = run_issuable,
                              .context = &i,
                              .urgency = CB_WRITE_ORDINARY,
                              .until = CB_UNTIL_COMMITTED};
    if (cb_act_check(actor, NULL) || !from_list(fresh))
        return CB_E_ARGUMENT;
    cb_error error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
    if (!error)
        error = cb_store_write(store, &change);
    if (cb_card_issue_refused(error))
        cb_mismatch_of_issue(store, actor, fresh, &card->id, error);
    return error;
}

bool cb_card_issue_refused(cb_error error)
{
    return error == CB_E_CARD_UNLISTED || error == CB_E_APPLICATION_NONE;
}

typedef struct add_card {
    cb_act act;
    const cb_card_new *fresh;
    cb_card card;
} add_card;

static cb_error run_add(cb_txn *txn, void *context)
{
    const add_card *add = context;
    cb_error error = cb_card_issue_in(txn, &add->act, add->fresh, &add->card);
    return error || !add->fresh->activate
               ? error
               : cb_card_act_in(txn, &add->act, &add->card.id, CB_CARD_ACTIVATE);
}

cb_error cb_card_copy(const cb_card *from, cb_card *to)
{
    cb_buf binding = to->binding, certificates = to->certificates;
    cb_buf_reset(&binding);
    cb_buf_put(&binding, cb_buf_bytes(&from->binding));
    cb_buf_reset(&certificates);
    cb_buf_put(&certificates, cb_buf_bytes(&from->certificates));
    *to = *from;
    to->binding = binding;
    to->certificates = certificates;
    return cb_buf_error(&binding) ? cb_buf_error(&binding) : cb_buf_error(&certificates);
}

cb_error cb_card_issue(cb_store *store, const char *actor, const cb_card_new *fresh, cb_card *out)
{
    add_card add = {.act = {.actor = actor, .time = cb_clock_wall_us()}, .fresh = fresh};
    cb_card_init(&add.card);
    cb_error error = cb_act_check(actor, NULL);
    if (!error)
        error = cb_card_prepare(fresh, add.act.time, &add.card);
    if (!error)
        error = cb_act_write(store, run_add, &add, CB_WRITE_ORDINARY);
    if (cb_card_issue_refused(error))
        cb_mismatch_of_issue(store, actor, fresh, &add.card.id, error);
    if (!error && fresh->activate)
        add.card.state = CB_CARD_ACTIVE;
    if (!error && out)
        error = cb_card_copy(&add.card, out);
    cb_card_free(&add.card);
    return error;
}

cb_error cb_card_add(cb_store *store, const char *actor, cb_bytes binding, cb_bytes certificates,
                     cb_card *out)
{
    cb_card_new fresh = {.binding = binding, .certificates = certificates};
    return cb_card_issue(store, actor, &fresh, out);
}
