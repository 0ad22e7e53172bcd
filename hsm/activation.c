/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/activation.h"

#include "base/clock.h"
#include "base/leaf.h"
#include "hsm/generations.h"
#include "hsm/password.h"
#include "hsm/pin_reset.h"

/* A generation may have been retired at any moment, through another worker. */
static void look_at_retired(const cb_taps *taps, cb_host *host)
{
    host->profile.retired = cb_generations_retired(taps->setup.guesses, host->profile.key_id,
                                                   host->profile.key_version);
}

cb_error cb_tap_begin(cb_taps *taps, cb_host *host, uint8_t profile, const cb_id *terminal,
                      cb_id *id, cb_buf *script)
{
    cb_tap *tap;
    if (!host->ready)
        return CB_E_HSM_DOWN;
    look_at_retired(taps, host);
    cb_error error = cb_taps_add(taps, host, profile, terminal, &tap);
    if (error)
        return error;
    error = tap->profile->begin(tap->profile_state, &tap->host->profile, script);
    if (!error)
        error = cb_buf_error(script);
    *id = tap->id;
    if (error)
        cb_taps_end(taps, tap);
    return error;
}

/* Purposes whose command is for one card alone, which hsmd has to know beforehand. */
static bool names_a_card(const cb_tap_context *context)
{
    return context->purpose == CB_TAP_CARD_END || context->purpose == CB_TAP_PIN_RESET;
}

static bool context_ok(const cb_tap *tap, const cb_tap_context *context)
{
    bool ours = cb_id_same(&context->tap, &tap->id) &&
                cb_id_same(&context->terminal, &tap->terminal) &&
                context->profile == tap->profile->id;
    bool for_a_service = context->purpose == CB_TAP_AUTHENTICATE;
    bool named = names_a_card(context) && context->profile == CB_PROFILE_NATIVE;
    bool maintains =
        cb_tap_purpose_maintenance(context->purpose) && cb_level_needs_pin(context->level);
    bool purpose =
        for_a_service || named || maintains || context->purpose == CB_TAP_PIN_CHANGE ||
        context->purpose == CB_TAP_PIN_UNBLOCK ||
        (context->purpose == CB_TAP_PASSWORD_CHANGE && context->profile == CB_PROFILE_PASSWORD);
    bool service = for_a_service ? cb_service_name_ok(context->service) : !context->service[0];
    return ours && purpose && service &&
           (context->level == CB_LEVEL_NONE || cb_level_ok(context->level));
}

/* Whether a card may be ended for good: it is revoked, for good as well, as far as this process
 * knows by itself. */
static cb_error may_end(const cb_taps *taps, const cb_id *card)
{
    cb_error error = cb_feed_refresh(taps->setup.feed);
    if (error)
        return error;
    return cb_feed_card(taps->setup.feed, card) == CB_E_CARD_REVOKED ? CB_OK : CB_E_STATE;
}

static bool is_over(const cb_binding_info *binding)
{
    return binding->expires > 0 && cb_clock_wall_us() >= binding->expires;
}

/* Whether card and terminal are good; the permission itself is looked at last (permitted). */
static cb_error may_reset(const cb_taps *taps, const cb_tap *tap, const cb_id *card)
{
    cb_error error = cb_feed_refresh(taps->setup.feed);
    if (!error)
        error = cb_feed_card(taps->setup.feed, card);
    return error ? error : cb_feed_terminal(taps->setup.feed, &tap->terminal);
}

/* Keys that were renewed open no session, as they prove nothing. */
static cb_error keys_still_good(const cb_taps *taps, const cb_id *subject)
{
    cb_error error = cb_feed_refresh(taps->setup.feed);
    if (!error && cb_feed_key(taps->setup.feed, subject))
        error = CB_E_HSM_RECORD; /* another one took its place */
    return error;
}

/* The card that is to be asked, for profiles that have to know it, and for the purposes that name
 * one. One that may not reach what is asked for is asked nothing, least of all its PIN. subject: of
 * the binding that it is asked with. */
static cb_error know(const cb_taps *taps, const cb_tap *tap, const cb_tap_context *context,
                     cb_bytes blob, cb_known_card *known, cb_id *subject)
{
    cb_binding_info binding;
    if ((tap->profile->recognise != NULL || names_a_card(context)) != (blob.len > 0))
        return CB_E_ARGUMENT;
    if (blob.len == 0)
        return CB_OK;
    cb_error error = taps->setup.vault->binding_check(taps->setup.vault->context, blob, &binding);
    if (error)
        return error;
    *known = (cb_known_card){.card = binding.card, .keys = binding.keys};
    *subject = cb_binding_subject(&binding);
    if (binding.profile != tap->profile->id)
        return CB_E_HSM_RECORD;
    if (context->purpose == CB_TAP_CARD_END)
        return may_end(taps, &binding.card);
    error = keys_still_good(taps, subject);
    if (error)
        return error;
    if (context->purpose == CB_TAP_PIN_RESET)
        return is_over(&binding) ? CB_E_CARD_EXPIRED : may_reset(taps, tap, &binding.card);
    return cb_level_reaches(binding.level, context->level) ? CB_OK : CB_E_TAP_LEVEL;
}

/* The last thing before a command leaves hsmd: a manager's permission, which is used up with that.
 * So a card that opened no channel has not cost it. */
static cb_error permitted(const cb_taps *taps, const cb_tap *tap, const cb_known_card *known)
{
    if (tap->context.purpose != CB_TAP_PIN_RESET)
        return CB_OK;
    if (!taps->setup.guesses)
        return CB_E_IO;
    return cb_pin_reset_take(taps->setup.guesses, &known->card, &tap->terminal, cb_clock_wall_us());
}

cb_error cb_tap_ask_card(cb_taps *taps, cb_tap *tap, const cb_tap_context *context,
                         cb_bytes answers, cb_bytes pin, cb_bytes binding, cb_buf *script)
{
    cb_script read;
    cb_known_card known = {.card = {{0}}};
    cb_id subject = {{0}};
    if (!context_ok(tap, context))
        return CB_E_ARGUMENT;
    cb_error error = cb_script_read(answers, CB_ANSWER_MAX, &read);
    if (!error)
        error = know(taps, tap, context, binding, &known, &subject);
    if (error)
        return error;
    look_at_retired(taps, tap->host);
    tap->context = *context;
    tap->asked = subject;
    error = tap->profile->challenge(tap->profile_state, &tap->host->profile, &read, context,
                                    binding.len > 0 ? &known : NULL, pin, script);
    if (!error)
        error = cb_buf_error(script);
    if (!error)
        error = permitted(taps, tap, &known);
    if (error)
        cb_buf_reset(script);
    return error;
}

cb_error cb_tap_finish(cb_tap *tap, cb_bytes answers, cb_card_claim *claim)
{
    cb_script read;
    cb_error error = cb_script_read(answers, CB_ANSWER_MAX, &read);
    if (!error)
        error = tap->profile->finish(tap->profile_state, &tap->host->profile, &read, &tap->claim);
    if (!error || error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED)
        *claim = tap->claim;
    return error;
}

/* Whether the generation by which the card was served has been retired since. */
static bool was_retired(const cb_taps *taps, const cb_tap *tap)
{
    const cb_profile_host *host = &tap->host->profile;
    uint8_t under = tap->claim.served_under;
    return under > 0 &&
           under <= cb_generations_retired(taps->setup.guesses, host->key_id, host->key_version);
}

/* Whether card, binding and terminal are still good, as far as anybody told any worker. */
static cb_error still_good(const cb_taps *taps, const cb_tap *tap)
{
    cb_error error = cb_feed_refresh(taps->setup.feed);
    if (!error)
        error = cb_feed_card(taps->setup.feed, &tap->claim.card);
    if (!error)
        error = cb_feed_terminal(taps->setup.feed, &tap->terminal);
    if (!error && cb_feed_key(taps->setup.feed, &tap->binding))
        error = CB_E_HSM_RECORD; /* another one took its place */
    if (!error && was_retired(taps, tap))
        error = CB_E_CARD_GENERATION;
    return error;
}

/* Whether it is the binding that the card was asked with: the keys that opened its session are
 * those that its proof is held against. */
static bool was_asked(const cb_tap *tap, const cb_binding_info *binding)
{
    cb_id subject = cb_binding_subject(binding);
    return cb_id_is_zero(&tap->asked) || cb_id_same(&tap->asked, &subject);
}

static cb_error believe(cb_taps *taps, const cb_tap *tap, cb_bytes blob, cb_binding_info *binding)
{
    if (tap->profile->id == CB_PROFILE_PASSWORD)
        return cb_password_believe(taps, tap, blob, binding);
    cb_error error = taps->setup.vault->binding_check(taps->setup.vault->context, blob, binding);
    if (error)
        return error;
    if (!cb_id_same(&binding->card, &tap->claim.card) || binding->profile != tap->profile->id ||
        !was_asked(tap, binding))
        return CB_E_HSM_RECORD;
    if ((is_over(binding) || tap->claim.over) && tap->context.purpose != CB_TAP_CARD_END)
        return CB_E_CARD_EXPIRED;
    if (tap->profile->proven_in_channel)
        return CB_OK;
    return cb_profile_check(&tap->claim, &binding->keys);
}

/* A password that somebody else gave opens nothing. */
static cb_error own_password(const cb_tap *tap, const cb_binding_info *binding)
{
    if (tap->profile->id != CB_PROFILE_PASSWORD || binding->expires == 0)
        return CB_OK;
    cb_error error = cb_password_in_time(binding);
    return error ? error : CB_E_PASSWORD_INITIAL;
}

static uint8_t level_reached(const cb_tap *tap, const cb_binding_info *binding)
{
    uint8_t level = cb_profile_level(tap->profile, tap->claim.pin == CB_PIN_VERIFIED);
    return cb_level_lower(level, binding->level);
}

static cb_error outcome(const cb_tap *tap)
{
    if (tap->context.purpose == CB_TAP_CARD_END)
        return CB_OK;
    if (tap->claim.pin == CB_PIN_WRONG)
        return CB_E_PIN_WRONG;
    if (tap->claim.pin == CB_PIN_BLOCKED)
        return CB_E_PIN_BLOCKED;
    /* A PIN that the card could not read was neither compared nor changed. */
    if (tap->claim.pin != CB_PIN_VERIFIED && tap->context.purpose != CB_TAP_AUTHENTICATE)
        return CB_E_PIN_REQUIRED;
    return cb_level_reaches(tap->activation.level, tap->context.level) ? CB_OK : CB_E_TAP_LEVEL;
}

cb_error cb_tap_activate(cb_taps *taps, cb_tap *tap, cb_bytes blob, const cb_feed_head *feed,
                         cb_activation *out)
{
    cb_binding_info binding;
    if (tap->context.purpose == CB_TAP_REGISTER || /* its card is nobody's yet */
        tap->context.purpose == CB_TAP_RENEW ||    /* nor are its keys the card's */
        tap->context.purpose == CB_TAP_PASSWORD_CHANGE)
        return CB_E_TAP_ORDER;
    cb_error error = cb_feed_refresh(taps->setup.feed);
    if (!error)
        error = cb_feed_compare(taps->setup.feed, feed);
    if (!error)
        error = believe(taps, tap, blob, &binding);
    if (!error) {
        tap->binding = cb_binding_subject(&binding);
        error = tap->context.purpose == CB_TAP_CARD_END ? may_end(taps, &binding.card)
                                                        : still_good(taps, tap);
    }
    if (!error)
        error = own_password(tap, &binding);
    if (error)
        return error;
    tap->activation = (cb_activation){.holder = binding.holder,
                                      .card = binding.card,
                                      .level = level_reached(tap, &binding),
                                      .pin = tap->claim.pin,
                                      .pin_tries_left = tap->claim.pin_tries_left,
                                      .generation = tap->claim.generation};
    *out = tap->activation;
    return outcome(tap);
}

/* The intent of this tap for this key, from what hsmd itself knows. */
static cb_error intent_leaf(const cb_tap *tap, const cb_sealed_info *key, int64_t time,
                            cb_digest *hash)
{
    cb_intent intent = {.time = time,
                        .context = tap->context,
                        .card = tap->activation.card,
                        .holder = tap->activation.holder,
                        .key = key->key,
                        .reached = tap->activation.level};
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_intent_leaf(&intent, &leaf);
    cb_error error = cb_buf_error(&leaf);
    if (!error)
        *hash = cb_merkle_leaf(cb_buf_bytes(&leaf));
    cb_buf_free(&leaf);
    return error;
}

static bool is_near(int64_t time)
{
    int64_t now = cb_clock_wall_us();
    return time > now - CB_INTENT_NEAR && time < now + CB_INTENT_NEAR;
}

static cb_error intent_check(const cb_taps *taps, const cb_tap *tap, const cb_sealed_info *key,
                             const cb_intent_place *place)
{
    cb_digest leaf;
    const cb_vault *vault = taps->setup.vault;
    if (!is_near(place->time))
        return CB_E_HSM_INTENT;
    cb_error error = vault->head_check(vault->context, &place->head, &place->mac);
    if (error)
        return error == CB_E_HSM_RECORD ? CB_E_HSM_INTENT : error;
    error = intent_leaf(tap, key, place->time, &leaf);
    if (error)
        return error;
    return cb_merkle_includes(&place->head, place->index, &leaf, &place->path) ? CB_OK
                                                                               : CB_E_HSM_INTENT;
}

/* Whether the key may be used for this tap. */
static cb_error key_check(const cb_tap *tap, const cb_sealed_info *key)
{
    bool fits = tap->context.purpose == CB_TAP_AUTHENTICATE &&
                cb_id_same(&key->holder, &tap->activation.holder) &&
                strcmp(key->service, tap->context.service) == 0;
    if (!fits)
        return CB_E_HSM_ACTIVATION;
    return cb_level_reaches(tap->activation.level, key->level) ? CB_OK : CB_E_TAP_LEVEL;
}

cb_error cb_tap_open_key(cb_taps *taps, cb_tap *tap, cb_bytes sealed, const cb_intent_place *place)
{
    const cb_vault *vault = taps->setup.vault;
    cb_sealed_info key;
    cb_error error = vault->sealed_check(vault->context, sealed, &key);
    if (!error)
        error = key_check(tap, &key);
    if (!error)
        error = still_good(taps, tap);
    if (!error)
        error = cb_feed_key(taps->setup.feed, &key.key);
    if (!error)
        error = intent_check(taps, tap, &key, place);
    if (error)
        return error;
    cb_buf_put(&tap->sealed, sealed);
    tap->key = key;
    tap->uses_left = key.uses;
    return cb_buf_error(&tap->sealed);
}

static cb_error attest(cb_taps *taps, const cb_tap *tap, uint8_t operation, cb_bytes data,
                       cb_buf *receipt)
{
    const cb_vault *vault = taps->setup.vault;
    cb_receipt_info info = {.boot = taps->boot,
                            .worker = taps->setup.worker,
                            .counter = ++taps->receipts,
                            .time = cb_clock_wall_us(),
                            .tap = tap->id,
                            .card = tap->activation.card,
                            .key = tap->key.key,
                            .operation = operation,
                            .context = cb_tap_context_digest(&tap->context)};
    if (operation != CB_USE_RELEASE)
        info.data = cb_sha256(data);
    return vault->receipt_make(vault->context, &info, receipt);
}

/* The receipt is made before the key is used: what cannot be attested is not done, and a receipt
 * that was counted and never came back shows as a gap. */
cb_error cb_tap_use(cb_taps *taps, cb_tap *tap, uint8_t operation, uint8_t hash, cb_bytes data,
                    cb_buf *result, cb_buf *receipt)
{
    const cb_vault *vault = taps->setup.vault;
    if (tap->uses_left == 0)
        return CB_E_HSM_ACTIVATION;
    tap->uses_left--;
    cb_error error = still_good(taps, tap);
    if (!error)
        error = cb_feed_key(taps->setup.feed, &tap->key.key);
    if (!error)
        error = attest(taps, tap, operation, data, receipt);
    if (!error)
        error = vault->sealed_use(vault->context, cb_buf_bytes(&tap->sealed), operation, hash, data,
                                  result);
    return error ? error : cb_buf_error(result);
}
