/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/generation.h"

#include "base/clock.h"
#include "broker/core/act.h"
#include "cardlink/native/native.h"

cb_error cb_card_generation_in(cb_txn *txn, const cb_id *tap, const cb_id *card, uint8_t generation)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "card.generation", cb_clock_wall_us());
    cb_leaf_id(&leaf, "tap", tap);
    cb_leaf_id(&leaf, "card", card);
    cb_leaf_number(&leaf, "generation", generation);
    cb_error error = cb_row_card_generation(txn, card, generation);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

typedef struct listing {
    cb_generation_visitor each;
    void *context;
} listing;

static cb_error run_list(cb_txn *txn, void *context)
{
    const listing *l = context;
    return cb_row_generation_each(txn, l->each, l->context);
}

cb_error cb_generation_list(cb_store *store, cb_generation_visitor each, void *context)
{
    listing l = {each, context};
    return cb_store_read(store, run_list, &l);
}

typedef struct retirement {
    cb_act act;
    uint8_t version;
    uint64_t lose;
    cb_generation_loss *loss;
} retirement;

static cb_error count(void *context, uint8_t generation, uint8_t state, uint64_t cards)
{
    const retirement *r = context;
    (void)state;
    if (generation == 0)
        r->loss->unseen += cards;
    else if (generation <= r->version)
        r->loss->cards += cards;
    return CB_OK;
}

static cb_error run_retire(cb_txn *txn, void *context)
{
    retirement *r = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    *r->loss = (cb_generation_loss){0};
    cb_error error = cb_row_generation_each(txn, count, r);
    if (!error && r->loss->cards + r->loss->unseen != r->lose)
        error = CB_E_GENERATION_CARDS;
    if (error)
        return error;
    cb_act_leaf(&leaf, "generation.retired", &r->act);
    cb_leaf_number(&leaf, "generation", r->version);
    cb_leaf_number(&leaf, "cards", r->loss->cards);
    cb_leaf_number(&leaf, "unseen", r->loss->unseen);
    error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_generation_retire(cb_store *store, const char *actor, uint8_t version, uint64_t lose,
                              const char *reason, cb_generation_loss *loss)
{
    retirement r = {
        {.actor = actor, .reason = reason, .time = cb_clock_wall_us()}, version, lose, loss};
    *loss = (cb_generation_loss){0};
    if (cb_act_check(actor, reason) || version == 0 || version > CB_NATIVE_VERSION_MAX)
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_retire, &r, CB_WRITE_ORDINARY);
}
