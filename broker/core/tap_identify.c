/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who is tapping: what hsmd believes of the card's proof, and what the registry has against the
 * card.
 */
#include "base/clock.h"
#include "broker/core/tap_parts.h"

typedef struct activating {
    cb_taps *taps;
    const cb_tap_context *context;
    const cb_card *card;
    cb_activation *activation;
    cb_tap_identity *identity;
} activating;

/* hsmd is asked who it is, or, where a password is changed, for the binding of the new one. */
static cb_error activate_at(void *context, const cb_feed_head *head)
{
    const activating *a = context;
    cb_hsm *hsm = a->taps->parts.hsm;
    const cb_id *tap = &a->context->tap;
    cb_bytes binding = cb_buf_bytes(&a->card->binding);
    if (a->context->purpose != CB_TAP_PASSWORD_CHANGE)
        return cb_hsm_tap_activate(hsm, tap, binding, head, a->activation);
    a->identity->before = cb_sha256(binding);
    a->activation->holder = a->card->holder;
    a->activation->level = CB_LEVEL_PASSWORD;
    return cb_hsm_tap_password(hsm, tap, binding, head, &a->identity->binding);
}

static cb_error activate(activating *a)
{
    return cb_tap_with_head(a->taps, &a->context->tap, activate_at, a);
}

/* Of two changes of one password that overlap, hsmd would believe the one it heard of last, and the
 * record takes the first: neither password would open anything. So one is recorded, or is not, before
 * the next of that name is begun, whether there is such a name or not; and what the record would wait
 * for is waited for before hsmd is asked. */
static cb_error begin_change(cb_taps *taps, const cb_id *name, cb_tap_identity *identity)
{
    char text[CB_ID_TEXT];
    cb_id_text(name, text);
    cb_error error = cb_places_take(taps->changes, text);
    if (error)
        return error == CB_E_SERVICE_BUSY ? CB_E_BUSY : error;
    identity->changing = *name;
    return cb_decide_ready(taps->parts.store);
}

void cb_tap_end_change(cb_taps *taps, cb_tap_identity *identity)
{
    char text[CB_ID_TEXT];
    if (cb_id_is_zero(&identity->changing))
        return;
    cb_id_text(&identity->changing, text);
    cb_places_give_back(taps->changes, text);
    identity->changing = (cb_id){{0}};
}

/* Of a name and a password: whether there is such a name, and what has become of it, is told to
 * nobody who has not its password, by no word and not by the time that it takes. */
static cb_error activate_password(activating *a, cb_error found)
{
    if (found && found != CB_E_CARD_UNKNOWN)
        return found;
    cb_error error = activate(a);
    if (found)
        return !error || error == CB_E_PASSWORD_WRONG ? found : error;
    return error ? error : cb_card_refusal(a->card);
}

/* What the registry has against the card. One that is to be ended has to be revoked. */
static cb_error refusal(const cb_tap_context *context, const cb_card *card)
{
    cb_error error = cb_card_refusal(card);
    if (context->purpose != CB_TAP_CARD_END)
        return error;
    return error == CB_E_CARD_REVOKED ? CB_OK : CB_E_STATE;
}

/* Errors that hsmd says of a card whose proof it believed. */
static bool is_believed(cb_error error)
{
    return !error || error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED ||
           error == CB_E_PIN_REQUIRED || error == CB_E_TAP_LEVEL;
}

/* What else hsmd has against a card only when it believed its proof. */
static bool is_believed_of(cb_error error)
{
    return is_believed(error) || error == CB_E_CARD_SUSPENDED || error == CB_E_CARD_REVOKED ||
           error == CB_E_CARD_GENERATION;
}

/* Wrong PINs that the card has signed, of which its answer to this tap may be one. Cards of others
 * sign nothing about them, and what a revoked one tells is of no use any more. */
static uint32_t wrong_pins(const cb_tap_context *context, const cb_card_claim *claim,
                           cb_error error)
{
    bool this_one = error == CB_E_PIN_WRONG || claim->pin == CB_PIN_WRONG;
    if (context->profile != CB_PROFILE_NATIVE || !is_believed_of(error) ||
        error == CB_E_CARD_REVOKED)
        return 0;
    return this_one && claim->pin_failures == 0 ? 1 : claim->pin_failures;
}

/* Whether a card that taps may be asked for newer certificates, for one of its own will soon be over:
 * each is needed, and no new one puts off a day that an operator set for the card. */
static bool renews_early(const cb_taps *taps, const cb_tap_context *context, const cb_card *card)
{
    int64_t early = taps->parts.renewal, end = 0;
    return early > 0 && context->purpose == CB_TAP_AUTHENTICATE &&
           cb_profile_find(context->profile)->certificates > 0 &&
           cb_card_certificates_first_end(card, &end) == CB_OK && end > 0 &&
           end - cb_clock_wall_us() < early;
}

/* Which of its proofs this is, where the card says that and hsmd has believed it. */
static uint32_t counter(const cb_card_claim *claim, cb_error error)
{
    return is_believed(error) ? claim->counter : 0;
}

/* A native card has counted its proof whatever the registry has against it, and what it signs at
 * its first use is compared with how many came; the wrong PINs that it tells of it tells this once.
 * So hsmd is asked whose proof that was, of cards that may still be used one day; the tap ends all
 * the same. Others have no such counts. */
static bool looks_at_refused(const cb_tap_context *context, cb_error error)
{
    return context->profile == CB_PROFILE_NATIVE &&
           (error == CB_E_CARD_NOT_ACTIVE || error == CB_E_CARD_SUSPENDED);
}

static cb_error look_at_refused(activating *a)
{
    cb_activation unused = {0};
    activating look = *a;
    look.activation = &unused;
    return activate(&look);
}

cb_error cb_tap_identify(cb_taps *taps, const cb_tap_context *context, cb_bytes answers,
                         cb_tap_outcome *outcome, cb_tap_identity *identity)
{
    cb_card card;
    cb_card_claim claim;
    cb_activation activation = {0};
    activating a = {taps, context, &card, &activation, identity};
    const bool password = context->profile == CB_PROFILE_PASSWORD;
    cb_card_init(&card);
    cb_error error = cb_hsm_tap_finish(taps->parts.hsm, &context->tap, answers, &claim);
    bool refused = error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED;
    if (refused)
        activation.pin_tries_left = claim.pin_tries_left;
    if (!error && context->purpose == CB_TAP_PASSWORD_CHANGE) {
        outcome->claimed = claim.card;
        error = begin_change(taps, &claim.card, identity);
    }
    if (!error || refused) {
        cb_error found = cb_decide_lookup_card(taps->parts.store, &claim.card, &card);
        outcome->card = card.id;
        outcome->holder = card.holder;
        if (password)
            outcome->claimed = claim.card;
        if (!error && password)
            error = activate_password(&a, found);
        else if (!error)
            error = found ? found : refusal(context, &card);
        if (!found && looks_at_refused(context, error)) {
            cb_error whose = look_at_refused(&a);
            outcome->proof_heard = is_believed_of(whose);
            outcome->wrong_pins = wrong_pins(context, &claim, whose);
        }
    }
    if (!error && !password) {
        error = activate(&a);
        outcome->wrong_pins = wrong_pins(context, &claim, error);
        outcome->counter = counter(&claim, error);
        outcome->proof_heard = outcome->counter > 0 || (context->profile == CB_PROFILE_NATIVE &&
                                                        is_believed_of(error));
    }
    outcome->may_renew = !error && renews_early(taps, context, &card);
    outcome->may_end = error == CB_E_CARD_REVOKED && context->profile == CB_PROFILE_NATIVE;
    outcome->pin_tries_left = activation.pin_tries_left;
    outcome->level = activation.level;
    outcome->pin_seen =
        activation.pin == CB_PIN_VERIFIED &&
        cb_profile_level(cb_profile_find(context->profile), true) == CB_LEVEL_TERMINAL_PIN;
    if (!error && activation.generation != card.generation)
        identity->generation = activation.generation;
    if (!error)
        outcome->holder = activation.holder;
    cb_card_free(&card);
    return error;
}
