/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The second request of a tap: what is asked of the card, and whether that is allowed here.
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/core/act.h"
#include "broker/core/software.h"
#include "broker/core/state.h"
#include "broker/core/tap_parts.h"
#include "cardlink/apdu.h"
#include "cardlink/script.h"

/* Of the cards with an application of ours: they sign what becomes of their PIN. */
static bool has_own_pin(const cb_card_profile *profile)
{
    return cb_profile_has_cards(profile) && profile->recognise == NULL;
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

static bool is_of_pin(uint8_t purpose)
{
    return purpose == CB_TAP_PIN_CHANGE || purpose == CB_TAP_PIN_UNBLOCK ||
           purpose == CB_TAP_PIN_RESET;
}

/* The service that is asked for, and what it takes. */
static cb_error describe_service(cb_taps *taps, const cb_tap_question *question,
                                 cb_tap_context *context, cb_service *service)
{
    const cb_card_profile *profile = cb_profile_find(context->profile);
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
    return has_own_pin(profile) && cb_level_needs_pin(service->level) && pin_is_missing(question)
               ? CB_E_PIN_REQUIRED
               : CB_OK;
}

/* What is asked for of the card itself, or of the terminal. */
static cb_error describe_own(const cb_tap_question *question, cb_tap_context *context)
{
    const cb_card_profile *profile = cb_profile_find(context->profile);
    const bool own_pin = has_own_pin(profile);
    if (question->service)
        return is_of_pin(question->purpose) && !own_pin ? CB_E_CARD_FOREIGN : CB_E_ARGUMENT;
    if (is_of_pin(question->purpose))
        return !own_pin ? CB_E_CARD_FOREIGN : pin_is_missing(question) ? CB_E_ARGUMENT : CB_OK;
    if (cb_tap_purpose_maintenance(question->purpose)) {
        context->level = cb_profile_level(profile, true);
        if (cb_act_check("maintainer", question->text)) /* now, and not after card and PIN */
            return CB_E_ARGUMENT;
        return !cb_level_needs_pin(context->level)   ? CB_E_TAP_LEVEL
               : own_pin && pin_is_missing(question) ? CB_E_PIN_REQUIRED
                                                     : CB_OK;
    }
    if (question->pin.len > 0)
        return CB_E_ARGUMENT;
    if (question->purpose == CB_TAP_PASSWORD_CHANGE) {
        context->level = CB_LEVEL_PASSWORD;
        return cb_profile_has_cards(profile) ? CB_E_ARGUMENT : CB_OK;
    }
    return question->purpose == CB_TAP_CARD_END && own_pin ? CB_OK : CB_E_ARGUMENT;
}

/* What is asked for, in the fields that the card's proof is bound to. */
static cb_error describe(cb_taps *taps, const cb_tap_question *question, cb_tap_context *context,
                         cb_service *service)
{
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
    return question->purpose == CB_TAP_AUTHENTICATE
               ? describe_service(taps, question, context, service)
               : describe_own(question, context);
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
        error = cb_service_takes_pin(
            service, terminal, cb_profile_level(profile, true) == CB_LEVEL_TERMINAL_PIN, pad);
    return error;
}

cb_error cb_tap_permit(cb_taps *taps, const cb_tap_context *context, const cb_service *service,
                       bool pad)
{
    cb_terminal *terminal = calloc(1, sizeof *terminal);
    if (!terminal)
        return CB_E_MEMORY;
    /* Before the card is asked: what is refused at T1 only, hsmd may have done its part for. */
    cb_error error = cb_terminal_get_vouched(taps->parts.store, &context->terminal, terminal);
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

/* The card, as far as it has to be known before it is asked. */
static cb_error find_card(cb_taps *taps, const cb_tap_context *context,
                          const cb_tap_question *question, cb_card *card)
{
    if (question->after)
        return find_revoked(taps, context, question->after, card);
    return recognise(taps, context, question->answers, card);
}

static bool is_of_state(cb_error error)
{
    return error == CB_E_CARD_UNKNOWN || error == CB_E_CARD_NOT_ACTIVE ||
           error == CB_E_CARD_SUSPENDED || error == CB_E_CARD_EXPIRED || error == CB_E_CARD_REVOKED;
}

/* Asks a card that is to take a new PIN without its code, if hsmd finds that allowed. Which cards
 * there are, and what has become of them, is nobody's to ask by naming them: the card that lies
 * there is looked at all the same, as if its PIN were to be changed, the command thrown away, and
 * the terminal told what one is told to which nothing was allowed. The record says what it was, but
 * not of which card: nobody has shown it. */
static cb_error ask_named(cb_taps *taps, const cb_tap_context *context,
                          const cb_tap_question *question, cb_buf *script)
{
    cb_card card;
    cb_buf away = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_tap_context asked = *context;
    cb_card_init(&card);
    cb_error error = cb_tap_pass_feed_on(taps, &context->tap);
    cb_error found = error;
    if (!found)
        found = cb_decide_lookup_card(taps->parts.store, question->card, &card);
    if (!found)
        found = cb_card_refusal(&card);
    if (found)
        asked.purpose = CB_TAP_PIN_CHANGE;
    if (!error)
        error = cb_hsm_tap_challenge(taps->parts.hsm, &asked, question->answers, question->pin,
                                     found ? (cb_bytes){0} : cb_buf_bytes(&card.binding),
                                     found ? &away : script);
    if (!error)
        error = found;
    if (error)
        cb_tap_refuse(taps, context, NULL, error);
    cb_buf_free(&away);
    cb_card_free(&card);
    return is_of_state(error) ? CB_E_PIN_RESET_REFUSED : error;
}

static bool wants_pin(cb_bytes script)
{
    cb_script read;
    bool wanted = false;
    if (cb_script_read(script, CB_COMMAND_MAX, &read))
        return true;
    for (size_t i = 0; i < read.count; i++)
        wanted = wanted || read.item[i].flags & CB_SCRIPT_PIN;
    return wanted;
}

/* Some cards sign with their PIN alone, at whatever level: where the service takes none that the
 * terminal saw, it is not asked for. */
static cb_error pin_may_be_seen(cb_taps *taps, const cb_tap_entry *entry, cb_bytes script)
{
    const cb_tap_context *context = &entry->context;
    if (!context->service[0] || cb_level_needs_pin(context->level) || !wants_pin(script))
        return CB_OK;
    cb_service service;
    cb_terminal *terminal = calloc(1, sizeof *terminal);
    if (!terminal)
        return CB_E_MEMORY;
    cb_service_init(&service);
    cb_error error = cb_service_get(taps->parts.store, context->service, &service);
    if (!error)
        error = cb_terminal_get(taps->parts.store, &context->terminal, terminal);
    if (!error)
        error = cb_service_takes_pin(&service, terminal, true, entry->pad);
    cb_service_free(&service);
    free(terminal);
    return error;
}

static cb_error admit(cb_taps *taps, cb_tap_entry *entry, const void *asked)
{
    const cb_tap_question *question = asked;
    cb_service service;
    entry->pad = question->pad;
    snprintf(entry->reason, sizeof entry->reason, "%s", question->text ? question->text : "");
    cb_service_init(&service);
    cb_error error = describe(taps, question, &entry->context, &service);
    if (!error)
        error = cb_tap_permit(taps, &entry->context, &service, question->pad);
    cb_service_free(&service);
    return error;
}

/* Asks for the proof, once everything is allowed. */
static cb_error ask(cb_taps *taps, cb_tap_entry *entry, const void *asked, cb_buf *script)
{
    const cb_tap_question *question = asked;
    cb_card card;
    const cb_tap_context *context = &entry->context;
    if (question->card)
        return ask_named(taps, context, question, script);
    cb_card_init(&card);
    cb_error error = find_card(taps, context, question, &card);
    if (!error)
        error = cb_hsm_tap_challenge(taps->parts.hsm, context, question->answers, question->pin,
                                     cb_buf_bytes(&card.binding), script);
    if (!error)
        error = pin_may_be_seen(taps, entry, cb_buf_bytes(script));
    if (error)
        cb_buf_reset(script);
    entry->card = card.id;
    entry->holder = card.holder;
    if (error && !cb_id_is_zero(&card.id)) {
        cb_tap_outcome known = {.card = card.id, .holder = card.holder};
        cb_tap_refuse(taps, context, &known, error);
    } else if (error) {
        cb_tap_refuse(taps, context, NULL, error);
    }
    cb_card_free(&card);
    return error;
}

cb_error cb_tap_challenge(cb_taps *taps, const cb_id *terminal, const cb_id *tap,
                          const cb_tap_question *question, cb_buf *script, unsigned *expires_in)
{
    const cb_tap_asking asking = {question, admit, ask};
    return cb_tap_put_question(taps, terminal, tap, &asking, script, expires_in);
}
