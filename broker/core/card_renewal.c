/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * New certificates for a card that somebody else issued.
 */
#include "base/clock.h"
#include "broker/core/act.h"
#include "broker/core/decide.h"
#include "broker/core/failures.h"
#include "broker/core/said.h"
#include "broker/core/state.h"
#include "broker/core/still.h"

typedef struct renew_card {
    cb_act act;
    const cb_id *id;
    cb_bytes binding, certificates;
    cb_card *out;
    const cb_card_tap_renewal *tap; /* in which the card itself brought it about; otherwise NULL */
} renew_card;

/* hsmd made it from the one that the card had; which of the two came later is looked at here. */
static cb_error check(const cb_card *card, cb_bytes binding, cb_binding_info *before,
                      cb_binding_info *now)
{
    uint8_t state;
    if (cb_card_next(card->state, CB_CARD_RENEW, &state))
        return CB_E_STATE;
    if (cb_bytes_same(cb_buf_bytes(&card->binding), binding))
        return CB_E_EXISTS; /* it was done: who asks again was not told */
    if (cb_binding_info_read(cb_buf_bytes(&card->binding), before))
        return CB_E_HSM_RECORD;
    bool good = cb_binding_info_read(binding, now) == CB_OK && cb_id_same(&now->card, &card->id) &&
                cb_id_same(&now->holder, &card->holder) && now->profile == card->profile &&
                now->profile != CB_PROFILE_NATIVE && now->level == card->level &&
                now->sequence > card->sequence && now->sequence <= INT64_MAX;
    return good ? CB_OK : CB_E_ARGUMENT;
}

/* One that had expired comes back suspended, which is how hsmd has it: who resumes it asks there
 * too. */
static cb_error replace(cb_card *card, const renew_card *renew, uint64_t sequence)
{
    int64_t certified = 0, own = cb_card_own_day(card);
    cb_error error = cb_card_next(card->state, CB_CARD_RENEW, &card->state);
    if (error)
        return error;
    cb_buf_reset(&card->binding);
    cb_buf_reset(&card->certificates);
    cb_buf_put(&card->binding, renew->binding);
    cb_buf_put(&card->certificates, renew->certificates);
    card->sequence = sequence;
    card->changed = renew->act.time;
    error = cb_buf_error(&card->binding);
    if (!error)
        error = cb_buf_error(&card->certificates);
    if (!error)
        error = cb_card_certificates_check(card);
    if (!error)
        error = cb_card_certificates_end(card, &certified);
    /* Who set it did not mean these certificates only; but who renews a card after it wants the
     * card used. A tap does not come as far as here then. */
    card->own_expires = own > renew->act.time ? own : 0;
    card->expires = cb_first_day(certified, card->own_expires);
    return error;
}

static cb_error write_renewed(cb_txn *txn, const renew_card *renew, const cb_card *card)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_digest binding = cb_sha256(renew->binding), certificates = cb_sha256(renew->certificates);
    cb_act_leaf(&leaf, "card.renewed", &renew->act);
    cb_leaf_id(&leaf, "card", &card->id);
    cb_leaf_id(&leaf, "holder", &card->holder);
    cb_leaf_text(&leaf, "state", cb_card_state_name(card->state));
    if (renew->tap) {
        cb_leaf_id(&leaf, "tap", &renew->tap->tap);
        cb_leaf_id(&leaf, "terminal", &renew->tap->terminal);
    }
    cb_leaf_number(&leaf, "sequence", card->sequence);
    cb_leaf_number(&leaf, "expires", (uint64_t)card->expires);
    if (card->own_expires > 0)
        cb_leaf_number(&leaf, "own_expires", (uint64_t)card->own_expires);
    cb_leaf_hex(&leaf, "binding_sha256", cb_digest_bytes(&binding));
    cb_leaf_hex(&leaf, "certificates_sha256", cb_digest_bytes(&certificates));
    cb_error error = cb_row_card_renew(txn, card);
    if (!error)
        error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

/* The record of before would stay genuine, and prove a card with the old keys. */
static cb_error retire(cb_txn *txn, const renew_card *renew, const cb_binding_info *before,
                       const cb_binding_info *now)
{
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_id old = cb_binding_subject(before), new = cb_binding_subject(now);
    if (cb_id_same(&old, &new))
        return CB_OK;
    cb_act_leaf(&leaf, "card.keys_retired", &renew->act);
    cb_leaf_id(&leaf, "card", &before->card);
    cb_leaf_id(&leaf, "key", &old);
    cb_error error = cb_txn_feed(txn, CB_FEED_KEY_RETIRED, &old, renew->act.time, &leaf, NULL);
    cb_buf_free(&leaf);
    if (!error && renew->tap && renew->tap->failed) /* with a key that was not bound yet */
        error = cb_failures_explain(txn, renew->tap->failed, renew->tap->limits, renew->act.time);
    return error;
}

static cb_error renew_in(cb_txn *txn, const renew_card *renew, cb_card *card)
{
    cb_binding_info before, now;
    /* Its leaf says the state, too: one that somebody wrote into the row would be the record's. */
    cb_error error = card->state == CB_CARD_ACTIVE ? cb_said_of_card(txn, &card->id) : CB_OK;
    if (!error)
        error = check(card, renew->binding, &before, &now);
    if (!error)
        error = replace(card, renew, now.sequence);
    if (!error)
        error = write_renewed(txn, renew, card);
    return error ? error : retire(txn, renew, &before, &now);
}

static cb_error run_renew(cb_txn *txn, void *context)
{
    const renew_card *renew = context;
    cb_error error = cb_row_card_get(txn, renew->id, renew->out);
    return error ? error : renew_in(txn, renew, renew->out);
}

cb_error cb_card_renew_in(cb_txn *txn, const cb_act *act, cb_card *card, cb_bytes binding)
{
    renew_card renew = {.act = *act, .id = &card->id, .binding = binding};
    return renew_in(txn, &renew, card);
}

cb_error cb_card_renew(cb_store *store, const char *actor, const cb_id *id, cb_bytes binding,
                       cb_bytes certificates, cb_card *out)
{
    renew_card renew = {.act = {.actor = actor, .time = cb_clock_wall_us()},
                        .id = id,
                        .binding = binding,
                        .certificates = certificates,
                        .out = out};
    if (cb_act_check(actor, NULL))
        return CB_E_ARGUMENT;
    return cb_act_write(store, run_renew, &renew, CB_WRITE_ORDINARY);
}

/* ---- In a tap ---- */

/* What was renewed must be the card's still: another renewal may have come first, and this one be
 * from what the card showed before it. */
static cb_error is_still(const cb_card *card, const cb_card_tap_renewal *what)
{
    cb_digest there = cb_sha256(cb_buf_bytes(&card->binding));
    return memcmp(&there, &what->before, sizeof there) == 0 ? CB_OK : CB_E_STATE;
}

static cb_error run_renew_at_tap(cb_txn *txn, void *context)
{
    const renew_card *renew = context;
    cb_card *card = renew->out;
    cb_error error = cb_still_terminal(txn, &renew->tap->terminal, NULL, 0);
    if (!error)
        error = cb_row_card_get(txn, renew->id, card);
    if (!error)
        error = cb_card_renewal_refusal(card, renew->act.time);
    if (!error)
        error = is_still(card, renew->tap);
    return error ? error : renew_in(txn, renew, card);
}

cb_error cb_card_renew_at_tap(cb_store *store, const cb_card_tap_renewal *what, cb_card *out)
{
    renew_card renew = {.act = {.actor = "tap", .time = cb_clock_wall_us()},
                        .id = &what->card,
                        .binding = what->binding,
                        .certificates = what->certificates,
                        .out = out,
                        .tap = what};
    return cb_act_write(store, run_renew_at_tap, &renew, CB_WRITE_ORDINARY);
}
