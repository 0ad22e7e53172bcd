/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/card_proof.h"

#include <stdio.h>

#include "base/leaf.h"
#include "base/log.h"
#include "broker/core/act.h"
#include "broker/core/stock.h"
#include "broker/store/row_card_proof.h"

static void hear(cb_card_proof_row *row, uint32_t counter, int64_t now)
{
    row->heard++;
    if (counter <= row->counter)
        return;
    row->counter = counter;
    row->at = now;
}

cb_error cb_card_proof_in(cb_txn *txn, const cb_id *card, uint32_t counter, int64_t now)
{
    cb_card_proof_row row;
    cb_error error = cb_row_card_proof_get(txn, card, &row);
    if (error)
        return error;
    if (counter <= row.counter)
        return CB_E_CARD_COUNTER;
    hear(&row, counter, now);
    return cb_row_card_proof_set(txn, card, &row);
}

/* ---- Copies ---- */

/* A card makes its proofs one after another, but they may come in another order: one that was on
 * its way for long is of a tap that had begun when the later one came. No number is signed twice by
 * one card. */
static bool is_copys(const cb_card_proof *proof, const cb_card_proof_row *row)
{
    return proof->why == CB_E_CARD_COUNTER &&
           (proof->counter == row->counter || proof->begun > row->at);
}

static cb_error suspend(cb_txn *txn, const cb_id *card, int64_t now, cb_failure_effect *effect)
{
    const cb_act act = {"cardbrokerd", "copied", now, &effect->of_card};
    cb_error error = cb_card_act_in(txn, &act, card, CB_CARD_SUSPEND);
    effect->suspended = !error;
    /* It is suspended, or worse, since T1 looked. */
    return error == CB_E_STATE ? CB_OK : error;
}

static cb_error copied(cb_txn *txn, const cb_id *card, cb_card_proof_row *row, int64_t now,
                       cb_failure_effect *effect)
{
    bool news = row->back == 0;
    row->back = now;
    cb_error error = news ? cb_row_card_proof_set(txn, card, row) : CB_OK;
    if (!error && news)
        error = cb_mismatch_of_card_in(txn, "counter-back", card, now);
    return error ? error : suspend(txn, card, now, effect);
}

cb_error cb_card_proof_refused_in(cb_txn *txn, const cb_card_proof *proof, int64_t now,
                                  cb_failure_effect *effect)
{
    cb_card_proof_row row;
    cb_error error = cb_row_card_proof_get(txn, &proof->card, &row);
    if (error)
        return error;
    if (is_copys(proof, &row))
        return copied(txn, &proof->card, &row, now, effect);
    if (proof->counter > 0 && proof->counter <= row.counter) /* late, or heard with its intent */
        return CB_OK;
    hear(&row, proof->counter, now);
    return cb_row_card_proof_set(txn, &proof->card, &row);
}

/* ---- The first use ---- */

static cb_error put_leaf(cb_txn *txn, const cb_id *tap, const cb_card *card, int64_t now,
                         const cb_card_proof_row *row)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "card.first_use", now);
    cb_leaf_id(&leaf, "tap", tap);
    cb_leaf_id(&leaf, "card", &card->id);
    cb_leaf_number(&leaf, "counter", row->counter);
    cb_leaf_number(&leaf, "heard", row->heard);
    cb_leaf_number(&leaf, "generation", card->generation);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

static cb_error first_use(cb_txn *txn, const cb_id *tap, const cb_card *card, int64_t now,
                          cb_card_proof_row *row, cb_card_use *out)
{
    const bool native = card->profile == CB_PROFILE_NATIVE;
    row->first_use = native ? now : CB_FIRST_USE_UNKNOWN;
    cb_error error = cb_row_card_proof_set(txn, &card->id, row);
    if (error || !native)
        return error;
    error = put_leaf(txn, tap, card, now, row);
    if (!error && row->counter > row->heard)
        error = cb_mismatch_of_card_in(txn, "used-before", &card->id, now);
    if (!error)
        *out = (cb_card_use){true, row->counter, row->heard};
    return error;
}

cb_error cb_card_used_in(cb_txn *txn, const cb_id *tap, const cb_id *card, int64_t now,
                         cb_card_use *out)
{
    cb_card of;
    cb_card_proof_row row;
    *out = (cb_card_use){.first = false};
    cb_error error = cb_row_card_proof_get(txn, card, &row);
    if (error || row.first_use != 0)
        return error;
    cb_card_init(&of);
    error = cb_row_card_get(txn, card, &of);
    if (!error)
        error = first_use(txn, tap, &of, now, &row, out);
    cb_card_free(&of);
    return error;
}

void cb_card_use_tell(const cb_id *card, const cb_card_use *use)
{
    char text[CB_ID_TEXT], counter[16], heard[24];
    if (!use->first || use->counter <= use->heard)
        return;
    cb_id_text(card, text);
    snprintf(counter, sizeof counter, "%u", (unsigned)use->counter);
    snprintf(heard, sizeof heard, "%llu", (unsigned long long)use->heard);
    cb_log(CB_LOG_WARNING, "card.used_before",
           "A card that is used here for the first time has made more proofs than came here: taps "
           "of it were interrupted, or somebody has used it before its holder did.",
           "card", text, "counter", counter, "heard", heard, NULL);
}
