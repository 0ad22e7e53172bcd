/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A holder suspends his card himself, with a code from his letter that finds the card.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "broker/core/act.h"
#include "broker/core/card_issue.h"
#include "broker/core/registration.h"
#include "broker/core/state.h"

/* 95 random bits: no salt, no count of guesses. */
static cb_digest hash_of(const char symbols[CB_CODE_SYMBOLS])
{
    static const char domain[] = "cardbroker suspension code 1";
    return cb_sha256_parts(
        (cb_bytes[]){CB_BYTES_OF(domain), cb_bytes_make(symbols, CB_CODE_SYMBOLS)}, 2);
}

/* ---- Making one ---- */

typedef struct set_code {
    cb_act act;
    const cb_id *id;
    cb_digest hash;
    bool first;
} set_code;

/* Of a card that could be suspended some day. */
static cb_error check_card(cb_txn *txn, const cb_id *id)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error = cb_row_card_get(txn, id, &card);
    bool alive = card.state == CB_CARD_ISSUED || card.state == CB_CARD_ACTIVE ||
                 card.state == CB_CARD_SUSPENDED;
    cb_card_free(&card);
    return error || alive ? error : CB_E_STATE;
}

static cb_error run_set(cb_txn *txn, void *context)
{
    const set_code *set = context;
    bool known = false;
    cb_error error = check_card(txn, set->id);
    if (!error && set->first)
        error = cb_row_suspension_code_known(txn, set->id, &known);
    if (!error && known)
        error = CB_E_EXISTS;
    if (!error)
        error = cb_row_suspension_code_set(txn, set->id, &set->hash);
    if (error)
        return error;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_act_leaf(&leaf, "card.suspension_code", &set->act);
    cb_leaf_id(&leaf, "card", set->id);
    error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_card_code_set(cb_store *store, const char *actor, const cb_id *id, bool first,
                          char text[CB_CODE_TEXT])
{
    char symbols[CB_CODE_SYMBOLS];
    set_code set = {.act = {.actor = actor, .time = cb_clock_wall_us()}, .id = id, .first = first};
    if (cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    cb_code_make(text);
    cb_error error = cb_code_read(cb_bytes_str(text), symbols);
    set.hash = hash_of(symbols);
    cb_wipe(symbols, sizeof symbols);
    if (!error)
        error = cb_act_write(store, run_set, &set, CB_WRITE_ORDINARY);
    if (error)
        cb_wipe(text, CB_CODE_TEXT);
    return error;
}

/* ---- Using it ---- */

typedef struct use_code {
    cb_act act;
    cb_digest hash;
    cb_id card;
    uint8_t state; /* after it; 0: no card has this code */
    size_t codes;  /* whether there are registration codes to withdraw */
} use_code;

static cb_error find(cb_txn *txn, void *context)
{
    use_code *use = context;
    cb_card card;
    cb_id one;
    cb_card_init(&card);
    use->state = 0;
    use->codes = 0;
    cb_error error = cb_row_suspension_code_card(txn, &use->hash, &use->card);
    if (!error)
        error = cb_row_card_get(txn, &use->card, &card);
    if (!error)
        use->state = card.state;
    if (!error && card.state != CB_CARD_ACTIVE && !cb_card_is_dead(card.state))
        error = cb_row_registration_replacing(txn, &card.holder, &card.id, &one, 1, &use->codes);
    cb_card_free(&card);
    return error == CB_E_NOT_FOUND ? CB_OK : error;
}

static cb_error run_suspend(cb_txn *txn, void *context)
{
    use_code *use = context;
    cb_error error = find(txn, use);
    if (!error && use->state == CB_CARD_ACTIVE)
        error = cb_card_act_in(txn, &use->act, &use->card, CB_CARD_SUSPEND);
    else if (!error && use->codes > 0)
        error = cb_registration_report_in(txn, &use->act, &use->card);
    if (!error && use->state == CB_CARD_ACTIVE)
        use->state = CB_CARD_SUSPENDED;
    return error;
}

/* A guess costs a reading only: what goes before all other changes is kept for what is right. */
cb_error cb_card_suspend_by_code(cb_store *store, const char symbols[CB_CODE_SYMBOLS], cb_id *card,
                                 uint8_t *state, cb_affected *affected)
{
    use_code use = {.act = {.actor = "holder",
                            .reason = "suspension-code",
                            .time = cb_clock_wall_us(),
                            .affected = affected},
                    .hash = hash_of(symbols)};
    cb_error error = cb_store_read(store, find, &use);
    if (!error && (use.state == CB_CARD_ACTIVE || use.codes > 0))
        error = cb_act_write(store, run_suspend, &use, CB_WRITE_URGENT);
    *card = use.card;
    *state = use.state;
    if (!error && !use.state)
        error = CB_E_SUSPENSION;
    return error ? error : use.state == CB_CARD_ISSUED ? CB_E_CARD_NOT_ACTIVE : CB_OK;
}
