/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/tap.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/decide.h"
#include "broker/core/software.h"
#include "broker/core/state.h"
#include "broker/core/tap_parts.h"
#include "cardlink/apdu.h"
#include "cardlink/script.h"

#define DEFAULT_LOGIN_DEADLINE (15 * CB_SECOND)
#define SWEEP_EVERY CB_SECOND

/* Lives as hsmd keeps them, hsm/client.h: a tap that has expired here has expired there. */
enum {
    BEGUN_SECONDS = 30,
    CHALLENGED_SECONDS = 60,
    DEFAULT_MOST = 4096,
    PER_TERMINAL = 64,
    DEFAULT_LOGINS = 8
};

void cb_tap_drop(cb_taps *taps, cb_tap_entry *tap)
{
    if (!tap)
        return;
    cb_hsm_tap_end(taps->parts.hsm, &tap->context.tap);
    cb_tap_entry_free(tap);
}

/* step: as the terminal says; NULL: it is the broker that refuses. */
static cb_error refuse(cb_taps *taps, const cb_tap_context *context, const cb_tap_outcome *outcome,
                       cb_error error, const char *step)
{
    static const cb_tap_outcome nobody;
    const cb_tap_outcome *known = outcome ? outcome : &nobody;
    char tap[CB_ID_TEXT];
    cb_id_text(&context->tap, tap);
    cb_log(CB_LOG_INFO, "tap.refused", cb_error_text(error), "tap", tap, "error",
           cb_error_code(error), "service", context->service, NULL);
    cb_failure_limits limits = cb_taps_limits(taps);
    cb_failure_effect effect = {.noted = false};
    cb_refusal refusal = {.tap = context->tap,
                          .terminal = context->terminal,
                          .card = known->card,
                          .holder = known->holder,
                          .service = context->service,
                          .purpose = context->purpose,
                          .step = step,
                          .error = error,
                          .pin_tries_left = known->pin_tries_left,
                          .profile = context->profile,
                          .wrong_pins = known->wrong_pins,
                          .limits = &limits};
    cb_error recorded = cb_decide_refused(taps->parts.store, &refusal, &effect);
    if (recorded)
        cb_log_failure("tap.unrecorded", recorded, "a refusal could not be recorded");
    else
        cb_tap_failed(taps, &refusal, &effect);
    cb_failure_effect_free(&effect);
    return error;
}

cb_error cb_tap_refuse(cb_taps *taps, const cb_tap_context *context, const cb_tap_outcome *outcome,
                       cb_error error)
{
    return refuse(taps, context, outcome, error, NULL);
}

/* A card that was taken away in the middle shows as a tap that nobody went on with. */
static void sweep(cb_taps *taps)
{
    cb_tap_entry *tap = cb_tap_table_expired(taps->table);
    while (tap) {
        cb_tap_entry *next = tap->next;
        if (tap->stage == CB_TAP_CHALLENGED)
            cb_tap_refuse(taps, &tap->context, NULL, CB_E_TAP_EXPIRED);
        cb_tap_drop(taps, tap);
        tap = next;
    }
    cb_tap_memory_sweep(taps->memory, cb_clock_monotonic_us());
}

static void *sweeper_main(void *argument)
{
    cb_taps *taps = argument;
    pthread_mutex_lock(&taps->lock);
    while (!taps->stopping) {
        int64_t until = cb_deadline_in(SWEEP_EVERY);
        struct timespec t = {until / CB_SECOND, until % CB_SECOND * 1000};
        pthread_cond_timedwait(&taps->wake, &taps->lock, &t);
        pthread_mutex_unlock(&taps->lock);
        sweep(taps);
        pthread_mutex_lock(&taps->lock);
    }
    pthread_mutex_unlock(&taps->lock);
    return NULL;
}

static cb_error start_sweeper(cb_taps *taps)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&taps->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&taps->lock, NULL);
    return pthread_create(&taps->sweeper, NULL, sweeper_main, taps) == 0 ? CB_OK : CB_E_MEMORY;
}

cb_error cb_taps_open(const cb_taps_parts *parts, cb_taps **out)
{
    cb_taps *taps = calloc(1, sizeof *taps);
    if (!taps)
        return CB_E_MEMORY;
    taps->parts = *parts;
    taps->limits = parts->failures ? *parts->failures : cb_failure_limits_default;
    if (!taps->parts.login_deadline)
        taps->parts.login_deadline = DEFAULT_LOGIN_DEADLINE;
    cb_error error =
        cb_tap_table_open(parts->most ? parts->most : DEFAULT_MOST, PER_TERMINAL, &taps->table);
    if (!error)
        error = cb_tap_memory_open(&taps->memory);
    if (!error)
        error = cb_rate_open(&taps->rate);
    if (!error)
        error = cb_rate_open(&taps->codes);
    if (!error)
        error = cb_places_open(
            parts->logins_per_service ? parts->logins_per_service : DEFAULT_LOGINS, &taps->places);
    if (!error)
        error = start_sweeper(taps);
    if (error) {
        cb_tap_table_close(&taps->table);
        cb_tap_memory_close(&taps->memory);
        cb_rate_close(&taps->rate);
        cb_rate_close(&taps->codes);
        cb_places_close(&taps->places);
        free(taps);
        return error;
    }
    *out = taps;
    return CB_OK;
}

void cb_taps_close(cb_taps **taps)
{
    cb_taps *t = *taps;
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->sweeper, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    cb_tap_table_close(&t->table);
    cb_tap_memory_close(&t->memory);
    cb_rate_close(&t->rate);
    cb_rate_close(&t->codes);
    cb_places_close(&t->places);
    free(t);
    *taps = NULL;
}

unsigned cb_taps_count(cb_taps *taps) { return cb_tap_table_count(taps->table); }

cb_error cb_tap_start(cb_taps *taps, const cb_id *terminal, uint8_t profile, cb_id *tap,
                      cb_buf *script, unsigned *expires_in)
{
    if (!cb_profile_find(profile))
        return CB_E_ARGUMENT;
    cb_tap_entry *dropped;
    cb_error error = cb_software_admit(taps->parts.store, terminal);
    if (error)
        return error;
    error = cb_tap_table_room(taps->table, terminal, &dropped);
    cb_tap_drop(taps, dropped);
    if (error)
        return error;
    cb_tap_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return CB_E_MEMORY;
    error = cb_hsm_tap_begin(taps->parts.hsm, profile, terminal, tap, script);
    if (error) {
        free(entry);
        return error;
    }
    entry->context = (cb_tap_context){.tap = *tap, .terminal = *terminal, .profile = profile};
    cb_buf_init(&entry->certificates, CB_CARD_CERTIFICATES_MAX);
    entry->stage = CB_TAP_BEGUN;
    entry->expires = cb_deadline_in(BEGUN_SECONDS * CB_SECOND);
    cb_tap_table_put(taps->table, entry);
    *expires_in = BEGUN_SECONDS;
    return CB_OK;
}

/* Whether there should be a PIN and is none. A card that refused the last command has made no key
 * that a PIN could be encrypted to: then hsmd says what is wrong with it. */
static bool pin_is_missing(const cb_tap_question *question)
{
    cb_script answers;
    if (question->pin.len > 0)
        return false;
    if (cb_script_read(question->answers, CB_ANSWER_MAX, &answers) || answers.count == 0)
        return true;
    return cb_answer_status(answers.item[answers.count - 1].apdu) == CB_SW_OK;
}

/* What is asked for, in the fields that the card's proof is bound to. */
static cb_error describe(cb_taps *taps, const cb_tap_question *question, cb_tap_context *context,
                         cb_service *service)
{
    const cb_card_profile *profile = cb_profile_find(context->profile);
    bool own_pin = cb_profile_has_cards(profile) && profile->recognise == NULL;
    context->purpose = question->purpose;
    context->level = CB_LEVEL_POSSESSION;
    context->service[0] = 0;
    context->text = (cb_digest){{0}};
    if (question->text) {
        if (strlen(question->text) > CB_TAP_TEXT_MAX)
            return CB_E_TOO_LARGE;
        context->text = cb_sha256(cb_bytes_str(question->text));
    }
    if (question->pin.len > CB_PIN_CIPHERTEXT_MAX)
        return CB_E_TOO_LARGE;
    if ((question->purpose == CB_TAP_CARD_END) != (question->after != NULL) ||
        (question->purpose == CB_TAP_PIN_RESET) != (question->card != NULL))
        return CB_E_ARGUMENT;
    if (question->purpose == CB_TAP_CARD_END)
        return own_pin && !question->service && question->pin.len == 0 ? CB_OK : CB_E_ARGUMENT;
    if (question->purpose == CB_TAP_PIN_CHANGE || question->purpose == CB_TAP_PIN_UNBLOCK ||
        question->purpose == CB_TAP_PIN_RESET)
        return !own_pin                                        ? CB_E_CARD_FOREIGN
               : question->service || pin_is_missing(question) ? CB_E_ARGUMENT
                                                               : CB_OK;
    if (question->purpose == CB_TAP_PASSWORD_CHANGE) {
        context->level = CB_LEVEL_PASSWORD;
        return cb_profile_has_cards(profile) || question->service || question->pin.len > 0
                   ? CB_E_ARGUMENT
                   : CB_OK;
    }
    if (cb_tap_purpose_maintenance(question->purpose)) {
        context->level = cb_profile_level(profile, true);
        return question->service                     ? CB_E_ARGUMENT
               : !cb_level_needs_pin(context->level) ? CB_E_TAP_LEVEL
               : own_pin && pin_is_missing(question) ? CB_E_PIN_REQUIRED
                                                     : CB_OK;
    }
    if (question->purpose != CB_TAP_AUTHENTICATE)
        return CB_E_ARGUMENT;
    if (!question->service || !cb_service_name_ok(question->service))
        return CB_E_SERVICE_UNKNOWN;
    cb_error error = cb_service_get(taps->parts.store, question->service, service);
    if (error)
        return error;
    strcpy(context->service, service->name);
    context->level = service->level;
    if (!cb_profile_has_cards(profile) &&
        !cb_level_reaches(cb_profile_level(profile, true), service->level))
        return CB_E_TAP_LEVEL;
    return own_pin && cb_level_needs_pin(service->level) && pin_is_missing(question)
               ? CB_E_PIN_REQUIRED
               : CB_OK;
}

/* Whether the service, if one is asked for, is given there, and would take the PIN that this card's
 * profile leads to. */
static cb_error place_is_good(const cb_tap_context *context, const cb_service *service,
                              const cb_terminal *terminal, bool pad)
{
    const cb_card_profile *profile = cb_profile_find(context->profile);
    if (!context->service[0])
        return CB_OK;
    cb_error error = cb_service_takes(service, terminal);
    if (!error && cb_level_needs_pin(service->level))
        error = cb_service_takes_pin(service, terminal, cb_profile_level(profile, true), pad);
    return error;
}

/* Whether this terminal may ask for it now. */
cb_error cb_tap_permit(cb_taps *taps, const cb_tap_context *context, const cb_service *service,
                       bool pad)
{
    cb_terminal *terminal = calloc(1, sizeof *terminal);
    if (!terminal)
        return CB_E_MEMORY;
    cb_error error = cb_terminal_get(taps->parts.store, &context->terminal, terminal);
    if (!error)
        error = cb_tap_purpose_maintenance(context->purpose)
                    ? cb_terminal_refusal(terminal->state)
                    : cb_terminal_tap_refusal(terminal->state);
    if (!error)
        error = cb_software_admit(taps->parts.store, &context->terminal);
    if (!error && context->service[0] && !cb_terminal_allows(terminal, context->service))
        error = CB_E_TERMINAL_SERVICE;
    if (!error)
        error = place_is_good(context, service, terminal, pad);
    if (!error && context->profile == CB_PROFILE_PASSWORD && !terminal->passwords)
        error = CB_E_TERMINAL_PASSWORDS;
    if (!error) /* better now than when the card has done its part */
        error = cb_places_look(taps->places, context->service);
    uint32_t rate = 0;
    if (!error)
        error = cb_tap_rate(taps, terminal, &rate);
    if (!error)
        error = cb_rate_take(taps->rate, &context->terminal, rate);
    free(terminal);
    return error;
}

/* The binding of the card that lies there, as far as its profile can be told which it is; empty for
 * others. */
static cb_error recognise(cb_taps *taps, const cb_tap_context *context, cb_bytes answers,
                          cb_card *card)
{
    cb_script read;
    cb_id id;
    const cb_card_profile *profile = cb_profile_find(context->profile);
    if (!profile->recognise)
        return CB_OK;
    cb_error error = cb_script_read(answers, CB_ANSWER_MAX, &read);
    if (!error)
        error = profile->recognise(&read, &id);
    if (!error)
        error = cb_decide_lookup_card(taps->parts.store, &id, card);
    if (!error)
        error = cb_card_refusal(card);
    if (!error)
        error = cb_card_status(card, taps->parts.certificate_status, taps->parts.status_context);
    return error;
}

/* The binding of the card that is to be ended: hsmd looks for itself whether it is revoked. */
static cb_error find_revoked(cb_taps *taps, const cb_tap_context *context, const cb_id *after,
                             cb_card *card)
{
    cb_id id;
    cb_error error = cb_tap_memory_revoked(taps->memory, after, &context->terminal, &id);
    if (!error)
        error = cb_decide_lookup_card(taps->parts.store, &id, card);
    if (!error && cb_card_refusal(card) != CB_E_CARD_REVOKED)
        error = CB_E_STATE;
    return error ? error : cb_tap_pass_feed_on(taps, &context->tap);
}

/* The binding of the card that is to take a new PIN: hsmd looks for itself whether that was
 * allowed. A card that is not there is nobody's to ask about. */
static cb_error find_named(cb_taps *taps, const cb_tap_context *context, const cb_id *id,
                           cb_card *card)
{
    cb_error error = cb_decide_lookup_card(taps->parts.store, id, card);
    if (error == CB_E_CARD_UNKNOWN)
        return CB_E_PIN_RESET_REFUSED;
    if (!error)
        error = cb_card_refusal(card);
    return error ? error : cb_tap_pass_feed_on(taps, &context->tap);
}

/* The card, as far as it has to be known before it is asked. */
static cb_error find_card(cb_taps *taps, const cb_tap_context *context,
                          const cb_tap_question *question, cb_card *card)
{
    if (question->after)
        return find_revoked(taps, context, question->after, card);
    if (question->card)
        return find_named(taps, context, question->card, card);
    return recognise(taps, context, question->answers, card);
}

/* Asks for the proof, once everything is allowed. */
static cb_error ask(cb_taps *taps, const cb_tap_context *context, const cb_tap_question *question,
                    cb_buf *script)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error = find_card(taps, context, question, &card);
    if (!error)
        error = cb_hsm_tap_challenge(taps->parts.hsm, context, question->answers, question->pin,
                                     cb_buf_bytes(&card.binding), script);
    if (error && !cb_id_is_zero(&card.id)) {
        cb_tap_outcome known = {.card = card.id, .holder = card.holder};
        cb_tap_refuse(taps, context, &known, error);
    } else if (error) {
        cb_tap_refuse(taps, context, NULL, error);
    }
    cb_card_free(&card);
    return error;
}

/* Mistakes of the question leave the tap as it was, so that the terminal can put them right while
 * the card stays. */
bool cb_tap_may_ask_again(cb_error error)
{
    switch (error) {
    case CB_E_PIN_REQUIRED:
    case CB_E_SERVICE_UNKNOWN:
    case CB_E_SERVICE_BUSY:
    case CB_E_TERMINAL_SERVICE:
    case CB_E_TERMINAL_KIND:
    case CB_E_PIN_PAD:
    case CB_E_TERMINAL_RATE:
    case CB_E_ARGUMENT:
    case CB_E_TOO_LARGE:
        return true;
    default:
        return false;
    }
}

unsigned cb_tap_challenged(cb_taps *taps, cb_tap_entry *entry)
{
    entry->stage = CB_TAP_CHALLENGED;
    entry->expires = cb_deadline_in(CHALLENGED_SECONDS * CB_SECOND);
    cb_tap_table_put(taps->table, entry);
    return CHALLENGED_SECONDS;
}

cb_error cb_tap_challenge(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                          const cb_tap_question *question, cb_buf *script, unsigned *expires_in)
{
    cb_tap_entry *entry;
    cb_service service;
    cb_error error = cb_tap_table_take(taps->table, tap, terminal, CB_TAP_BEGUN, &entry);
    if (error) {
        cb_tap_drop(taps, entry);
        return error;
    }
    entry->pad = question->pad;
    snprintf(entry->reason, sizeof entry->reason, "%s", question->text ? question->text : "");
    cb_service_init(&service);
    error = describe(taps, question, &entry->context, &service);
    if (!error)
        error = cb_tap_permit(taps, &entry->context, &service, question->pad);
    cb_service_free(&service);
    if (error && cb_tap_may_ask_again(error)) {
        cb_tap_table_put(taps->table, entry);
        return error;
    }
    if (error)
        cb_tap_refuse(taps, &entry->context, NULL, error);
    else
        error = ask(taps, &entry->context, question, script);
    if (error) {
        cb_tap_drop(taps, entry);
        return error;
    }
    *expires_in = cb_tap_challenged(taps, entry);
    return CB_OK;
}

/* Whoever begins taps without end and breaks them off does not fill the record. */
static bool counts(cb_taps *taps, const cb_tap_entry *tap)
{
    cb_terminal *terminal = calloc(1, sizeof *terminal);
    cb_error error = terminal ? CB_OK : CB_E_MEMORY;
    if (!error && tap->stage == CB_TAP_BEGUN)
        error = cb_terminal_get(taps->parts.store, &tap->context.terminal, terminal);
    if (!error && tap->stage == CB_TAP_BEGUN)
        error = cb_rate_take(taps->rate, &tap->context.terminal, terminal->rate);
    free(terminal);
    return !error;
}

cb_error cb_tap_break_off(cb_taps *taps, const cb_id *terminal, const cb_id *tap, cb_error reason)
{
    cb_tap_entry *entry;
    cb_error error = cb_tap_table_take(taps->table, tap, terminal, CB_TAP_CHALLENGED, &entry);
    if (!entry)
        return error;
    const char *step = entry->stage == CB_TAP_CHALLENGED ? "challenged" : "begun";
    if (counts(taps, entry))
        refuse(taps, &entry->context, NULL, reason, step);
    cb_tap_drop(taps, entry);
    return CB_OK;
}
