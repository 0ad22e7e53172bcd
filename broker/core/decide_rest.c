/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is recorded about taps that end without a login: refusals and what they count, PINs, ends of
 * cards.
 */
#include "base/clock.h"
#include "broker/core/card_proof.h"
#include "broker/core/decide.h"
#include "broker/core/generation.h"
#include "broker/core/still.h"
#include "broker/evidence/tap_leaf.h"

/* What has happened does not happen again: a card has forgotten the wrong PINs that it has signed,
 * and has its new PIN. So what there was no memory for is tried once more. */
static cb_error write_leaf(cb_store *store, cb_txn_function run, const void *context,
                           cb_urgency urgency, cb_until until)
{
    bool committed = false;
    cb_change change = {.run = run, .urgency = urgency, .until = until, .committed = &committed};
    memcpy(&change.context, &context, sizeof context); /* run does not write to it */
    cb_error error = cb_store_write(store, &change);
    return error == CB_E_MEMORY && !committed ? cb_store_write(store, &change) : error;
}

/* NULL: the tap is not about the PIN. */
static const char *pin_purpose(uint8_t purpose)
{
    return purpose == CB_TAP_PIN_UNBLOCK  ? "unblock"
           : purpose == CB_TAP_PIN_CHANGE ? "change"
           : purpose == CB_TAP_PIN_RESET  ? "reset"
                                          : NULL;
}

/* ---- Refusals ---- */

/* What a refusal counts as. A card's signed word is proven; the rest is not. */
static cb_failure failure_of(const cb_refusal *refusal, int64_t now)
{
    cb_failure failure = {.count = 1,
                          .card = refusal->card,
                          .holder = refusal->holder,
                          .terminal = refusal->terminal,
                          .place = refusal->card,
                          .time = now};
    bool password = refusal->profile == CB_PROFILE_PASSWORD;
    if (refusal->wrong_pins > 0) {
        failure.kind = CB_FAILURE_WRONG_PIN;
        failure.count = refusal->wrong_pins;
    } else if (refusal->error == CB_E_CARD_PROOF) {
        failure.kind = CB_FAILURE_PROOF;
    } else if (refusal->error == CB_E_PIN_WRONG) {
        failure.kind = CB_FAILURE_TOLD_PIN;
    } else if (refusal->error == CB_E_PASSWORD_WRONG || refusal->error == CB_E_PASSWORD_DELAYED ||
               (password && refusal->error == CB_E_CARD_UNKNOWN)) {
        failure.kind = CB_FAILURE_PASSWORD;
        failure.place = refusal->claimed;
    }
    return failure;
}

typedef struct refused {
    const cb_refusal *refusal;
    cb_failure_effect *effect;
} refused;

/* Its number stays the card's, and may be a copy's. */
static cb_error hear_proof(cb_txn *txn, const refused *r, int64_t now)
{
    const cb_card_proof proof = {.card = r->refusal->card,
                                 .counter = r->refusal->counter,
                                 .begun = r->refusal->begun,
                                 .why = r->refusal->error};
    return cb_card_proof_refused_in(txn, &proof, now, r->effect);
}

static cb_error run_refused(cb_txn *txn, void *context)
{
    const refused *r = context;
    const cb_refusal *refusal = r->refusal;
    int64_t now = cb_clock_wall_us();
    cb_failure failure = failure_of(refusal, now);
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "tap.refused", now);
    cb_leaf_known_id(&leaf, "tap", &refusal->tap);
    cb_leaf_text(&leaf, "outcome", cb_error_code(refusal->error));
    cb_leaf_known_id(&leaf, "card", &refusal->card);
    cb_leaf_known_id(&leaf, "holder", &refusal->holder);
    cb_leaf_known_id(&leaf, "terminal", &refusal->terminal);
    if (refusal->service && refusal->service[0])
        cb_leaf_text(&leaf, "service", refusal->service);
    if (refusal->purpose == CB_TAP_REGISTER)
        cb_leaf_text(&leaf, "purpose", "register");
    else if (refusal->purpose == CB_TAP_RENEW)
        cb_leaf_text(&leaf, "purpose", "renew");
    else if (cb_tap_purpose_maintenance(refusal->purpose))
        cb_leaf_text(&leaf, "purpose", "maintenance");
    else if (pin_purpose(refusal->purpose))
        cb_leaf_text(&leaf, "purpose", pin_purpose(refusal->purpose));
    if (refusal->step) {
        cb_leaf_text(&leaf, "step", refusal->step);
        cb_leaf_text(&leaf, "told_by", "terminal");
    }
    if (refusal->error == CB_E_PIN_WRONG || refusal->error == CB_E_PIN_BLOCKED)
        cb_leaf_number(&leaf, "tries_left", refusal->pin_tries_left);
    cb_failure_leaf(&leaf, &failure);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error)
        error = cb_failures_count(txn, &failure, refusal->limits, r->effect);
    if (!error && refusal->proof_heard)
        error = hear_proof(txn, r, now);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_decide_refused(cb_store *store, const cb_refusal *refusal, cb_failure_effect *effect)
{
    cb_failure_effect own = {.noted = false};
    refused r = {refusal, effect ? effect : &own};
    const bool proven = refusal->wrong_pins > 0 || refusal->error == CB_E_CARD_COUNTER;
    cb_urgency urgency = proven ? CB_WRITE_DUE : CB_WRITE_REFUSAL;
    cb_error error = write_leaf(store, run_refused, &r, urgency, CB_UNTIL_COMMITTED);
    cb_failure_effect_free(&own);
    return error;
}

static cb_error run_wrong_pins(cb_txn *txn, void *context)
{
    const refused *r = context;
    int64_t now = cb_clock_wall_us();
    cb_failure failure = failure_of(r->refusal, now);
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "tap.wrong_pins", now);
    cb_leaf_id(&leaf, "tap", &r->refusal->tap);
    cb_leaf_id(&leaf, "card", &r->refusal->card);
    cb_leaf_id(&leaf, "holder", &r->refusal->holder);
    cb_leaf_id(&leaf, "terminal", &r->refusal->terminal);
    cb_failure_leaf(&leaf, &failure);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    if (!error)
        error = cb_failures_count(txn, &failure, r->refusal->limits, r->effect);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_decide_wrong_pins(cb_store *store, const cb_refusal *refusal, cb_failure_effect *effect)
{
    refused r = {refusal, effect};
    if (refusal->wrong_pins == 0)
        return CB_E_ARGUMENT;
    return write_leaf(store, run_wrong_pins, &r, CB_WRITE_DUE, CB_UNTIL_COMMITTED);
}

/* ---- PINs ---- */

typedef struct pin_change {
    const cb_intent_request *request;
    cb_error decision;
    cb_card_use use;
} pin_change;

static cb_error pin_leaf(cb_txn *txn, const pin_change *pin)
{
    const cb_tap_context *context = &pin->request->context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "tap.pin", cb_clock_wall_us());
    cb_leaf_id(&leaf, "tap", &context->tap);
    cb_leaf_text(&leaf, "purpose", pin_purpose(context->purpose));
    cb_leaf_text(&leaf, "outcome", pin->decision ? cb_error_code(pin->decision) : "done");
    cb_leaf_id(&leaf, "card", &pin->request->card);
    cb_leaf_id(&leaf, "holder", &pin->request->holder);
    cb_leaf_id(&leaf, "terminal", &context->terminal);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

/* Of a native card: its first use, or a proof that came to nothing. */
static cb_error count_proof(cb_txn *txn, pin_change *pin, int64_t now)
{
    const cb_intent_request *r = pin->request;
    const cb_card_proof proof = {
        .card = r->card, .counter = r->counter, .begun = now, .why = pin->decision};
    cb_failure_effect none = {.noted = false};
    if (pin->decision)
        return cb_card_proof_refused_in(txn, &proof, now, &none);
    return cb_card_used_in(txn, &r->context.tap, &r->card, now, &pin->use);
}

static cb_error run_pin(cb_txn *txn, void *context)
{
    pin_change *pin = context;
    const cb_intent_request *r = pin->request;
    int64_t now = cb_clock_wall_us();
    cb_error error = cb_still_card(txn, &r->card, &r->holder);
    if (!error)
        error = cb_still_terminal(txn, &r->context.terminal, NULL, 0);
    if (!error && r->counter > 0)
        error = cb_card_proof_in(txn, &r->card, r->counter, now);
    if (error == CB_E_CARD_COUNTER || cb_store_failed(error) ||
        cb_error_class_of(error) == CB_CLASS_INTERNAL)
        return error;
    pin->decision = error;
    if (error)
        cb_txn_commit_only(txn);
    else if (r->generation > 0)
        error = cb_card_generation_in(txn, &r->context.tap, &r->card, r->generation);
    if (pin->decision || !error)
        error = pin_leaf(txn, pin);
    if (!error && !pin->decision)
        error = cb_failures_end(txn, &r->card, &r->holder, &r->context.terminal, true);
    return error || r->counter == 0 ? error : count_proof(txn, pin, now);
}

cb_error cb_decide_pin(cb_store *store, const cb_intent_request *request)
{
    pin_change pin = {.request = request};
    if (!pin_purpose(request->context.purpose))
        return CB_E_ARGUMENT;
    cb_error error = cb_store_checked(store, cb_deadline_in(CB_CHECK_WAIT));
    if (!error)
        error = write_leaf(store, run_pin, &pin, CB_WRITE_DUE, CB_UNTIL_STORED);
    if (!error)
        cb_card_use_tell(&request->card, &pin.use);
    return error ? error : pin.decision;
}

/* ---- Ends of cards ---- */

static cb_error run_card_end(cb_txn *txn, void *context)
{
    const cb_intent_request *r = context;
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_leaf_begin(&leaf, "tap.card_ended", cb_clock_wall_us());
    cb_leaf_id(&leaf, "tap", &r->context.tap);
    cb_leaf_text(&leaf, "outcome", "done");
    cb_leaf_id(&leaf, "card", &r->card);
    cb_leaf_id(&leaf, "holder", &r->holder);
    cb_leaf_id(&leaf, "terminal", &r->context.terminal);
    cb_error error = cb_txn_leaf(txn, &leaf, NULL);
    cb_buf_free(&leaf);
    return error;
}

cb_error cb_decide_card_end(cb_store *store, const cb_intent_request *request)
{
    if (request->context.purpose != CB_TAP_CARD_END)
        return CB_E_ARGUMENT;
    return write_leaf(store, run_card_end, request, CB_WRITE_DUE, CB_UNTIL_STORED);
}
