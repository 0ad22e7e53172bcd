/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/state.h"

/* ---- Adding ---- */

typedef struct add_card {
    cb_act act;
    cb_card card;
} add_card;

static cb_error run_add(cb_txn *txn, void *context)
{
    const add_card *add = context;
    const cb_card *card = &add->card;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_digest binding = cb_sha256(cb_buf_bytes(&card->binding));
    cb_act_leaf(&leaf, "card.added", &add->act);
    cb_leaf_id(&leaf, "card", &card->id);
    cb_leaf_id(&leaf, "holder", &card->holder);
    cb_leaf_text(&leaf, "state", cb_card_state_name(card->state));
    cb_leaf_number(&leaf, "sequence", card->sequence);
    cb_leaf_hex(&leaf, "binding_sha256", cb_digest_bytes(&binding));
    cb_error error = cb_row_card_put(txn, card);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error copy_card(const cb_card *from, cb_card *to)
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

cb_error cb_card_add(cb_store *store, const char *actor, cb_bytes binding, cb_bytes certificates,
                     cb_card *out)
{
    cb_binding_info info;
    add_card add = {.act = {.actor = actor, .time = cb_clock_wall_us()}};
    cb_card_init(&add.card);
    if (cb_act_check(actor, NULL) || cb_binding_info_read(binding, &info) ||
        info.sequence > INT64_MAX)
        return CB_E_ARGUMENT;
    add.card.id = info.card;
    add.card.holder = info.holder;
    add.card.state = CB_CARD_ISSUED;
    add.card.profile = info.profile;
    add.card.level = info.level;
    add.card.sequence = info.sequence;
    add.card.created = add.card.changed = add.act.time;
    cb_buf_put(&add.card.binding, binding);
    cb_buf_put(&add.card.certificates, certificates);
    cb_error error = cb_buf_error(&add.card.binding);
    if (!error)
        error = cb_buf_error(&add.card.certificates);
    if (!error)
        error = cb_card_certificates_check(&add.card);
    if (!error)
        error = cb_act_write(store, run_add, &add, CB_WRITE_ORDINARY);
    if (!error && out)
        error = copy_card(&add.card, out);
    cb_card_free(&add.card);
    return error;
}

/* ---- Changing state ---- */

typedef struct change_card {
    cb_act act;
    const cb_id *id;
    const cb_card_act_row *row;
} change_card;

static cb_error write_change(cb_txn *txn, const change_card *change, uint8_t state)
{
    const cb_card_act_row *row = change->row;
    uint64_t number = 0;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, row->kind, &change->act);
    cb_leaf_id(&leaf, "card", change->id);
    cb_leaf_text(&leaf, "state", cb_card_state_name(state));
    cb_error error = cb_row_card_state(txn, change->id, state, change->act.time);
    if (!error && row->feed)
        error = cb_txn_feed(txn, row->feed, change->id, change->act.time, &leaf, &number);
    else if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error && change->act.affected)
        change->act.affected->feed_number = number;
    cb_buf_free(&leaf);
    return error;
}

/* An activation that was found without a signature after a crash counts for nothing (said.h),
 * though the row has it: it may be repeated. */
static cb_error next_state(cb_txn *txn, const cb_card *card, uint8_t act, uint8_t *state)
{
    bool taken_back = card->state == CB_CARD_ACTIVE && act == CB_CARD_ACTIVATE &&
                      cb_txn_vouched(txn, 'i', &card->id, NULL);
    return cb_card_next(taken_back ? CB_CARD_ISSUED : card->state, act, state);
}

static cb_error run_change(cb_txn *txn, void *context)
{
    const change_card *change = context;
    cb_card card;
    uint8_t state = 0;
    cb_card_init(&card);
    cb_error error = cb_row_card_get(txn, change->id, &card);
    if (!error)
        error = next_state(txn, &card, change->row->act, &state);
    /* Resuming and activating end nothing. */
    cb_tap_match match = {.card = change->id};
    if (!error && change->row->urgency == CB_WRITE_URGENT)
        error = cb_act_affected(txn, &match, change->act.affected);
    if (!error)
        error = write_change(txn, change, state);
    cb_card_free(&card);
    return error;
}

cb_error cb_card_change(cb_store *store, const char *actor, const cb_id *id, cb_card_act act,
                        const char *reason, cb_affected *affected)
{
    change_card change = {.act = {actor, reason, cb_clock_wall_us(), affected}, .id = id};
    change.row = cb_card_act_find((uint8_t)act);
    if (!change.row || cb_act_check(actor, reason))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_change, &change, change.row->urgency);
}

/* ---- Reading ---- */

typedef struct get_card {
    const cb_id *id;
    cb_card *out;
} get_card;

static cb_error run_get(cb_txn *txn, void *context)
{
    const get_card *get = context;
    return cb_row_card_get(txn, get->id, get->out);
}

cb_error cb_card_get(cb_store *store, const cb_id *id, cb_card *out)
{
    get_card get = {id, out};
    return cb_store_read(store, run_get, &get);
}

typedef struct list_cards {
    const cb_id *holder;
    const cb_id *after;
    unsigned limit;
    cb_card_visitor each;
    void *context;
} list_cards;

static cb_error run_list(cb_txn *txn, void *context)
{
    const list_cards *list = context;
    return cb_row_card_each(txn, list->holder, list->after, list->limit, list->each, list->context);
}

cb_error cb_card_list(cb_store *store, const cb_id *holder, const cb_id *after, unsigned limit,
                      cb_card_visitor each, void *context)
{
    list_cards list = {holder, after, limit, each, context};
    return cb_store_read(store, run_list, &list);
}
