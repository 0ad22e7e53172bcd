/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The last request of a tap: from the card's proof to the session at the service.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/decide.h"
#include "broker/core/maintenance.h"
#include "broker/core/tap_parts.h"

#define DEFAULT_MAINTENANCE (8 * 3600 * CB_SECOND)

/* One run through the steps. */
typedef struct proof_run {
    cb_taps *taps;
    const cb_tap_context *context;
    bool pad; /* the terminal says that the PIN was typed on its pad */
    cb_tap_outcome *outcome;
    cb_intent_grant grant;
    cb_buf receipt[CB_RESULT_RECEIPTS];
    unsigned receipts;
    cb_login_result login;
    cb_tap_identity identity;
    cb_session *session; /* while it is ours */
    bool placed;         /* has a place among the logins at the service */
} proof_run;

void cb_tap_outcome_free(cb_tap_outcome *outcome)
{
    if (outcome)
        cb_buf_free(&outcome->value);
}

/* What the terminal is told of an error. The record says which it was. */
static cb_error told(const proof_run *run, cb_error error)
{
    bool of_password = error == CB_E_CARD_UNKNOWN || error == CB_E_PASSWORD_DELAYED;
    return run->context->profile == CB_PROFILE_PASSWORD && of_password ? CB_E_PASSWORD_WRONG
                                                                       : error;
}

/* Called back by the connector, in the thread of the tap. */
static cb_error use_key(void *context, uint8_t operation, uint8_t hash, cb_bytes data,
                        cb_buf *result)
{
    proof_run *run = context;
    if (run->receipts >= CB_RESULT_RECEIPTS)
        return CB_E_HSM_ACTIVATION;
    cb_error error = cb_hsm_use(run->taps->parts.hsm, &run->context->tap, operation, hash, data,
                                result, &run->receipt[run->receipts]);
    if (!error)
        run->receipts++;
    return error;
}

static cb_error log_in(proof_run *run)
{
    const cb_intent_grant *grant = &run->grant;
    cb_buf config = CB_BUF(CB_SERVICE_CONFIG_MAX + 1);
    cb_buf data = CB_BUF(CB_ENROLMENT_DATA_MAX + 1);
    cb_buf_put(&config, cb_buf_bytes(&grant->service.config));
    cb_buf_put(&data, cb_buf_bytes(&grant->data));
    cb_login_request request = {.connector = grant->service.connector,
                                .service = grant->service.name,
                                .config = cb_buf_cstr(&config),
                                .enrolment = cb_buf_cstr(&data),
                                .certificate = cb_buf_bytes(&grant->key.certificate),
                                .chain = cb_buf_bytes(&grant->key.chain),
                                .public_key = cb_buf_bytes(&grant->key.public_key),
                                .algorithm = grant->key.algorithm,
                                .session = cb_id_new()};
    cb_login_keys keys = {run, use_key};
    cb_error error = request.config && request.enrolment ? CB_OK : CB_E_MEMORY;
    if (!error)
        error = cb_connector_login(run->taps->parts.connectors, &request, &keys,
                                   cb_deadline_in(run->taps->parts.login_deadline), &run->login,
                                   &run->session);
    if (!error) {
        run->outcome->session = request.session;
        run->outcome->kind = run->login.kind;
        run->outcome->expires = run->login.expires;
    }
    cb_buf_free(&config);
    cb_buf_free(&data);
    return error;
}

/* A relayed session is entered before T2, so that a revocation either comes before T2, which then
 * refuses, or finds the session to cut. Its URL is not given out before T2 accepts. */
static cb_error enter_session(proof_run *run)
{
    const cb_tap_outcome *outcome = run->outcome;
    if (run->login.kind != CB_SESSION_RELAYED)
        return CB_OK;
    cb_session_facts facts = {.session = outcome->session,
                              .tap = run->context->tap,
                              .card = outcome->card,
                              .holder = outcome->holder,
                              .terminal = run->context->terminal,
                              .enrolment = run->grant.enrolment,
                              .kind = run->login.kind,
                              .life = run->grant.service.life,
                              .idle = run->grant.service.idle};
    strcpy(facts.service, run->context->service);
    cb_buf_reset(&run->login.value);
    cb_error error =
        cb_sessions_add(run->taps->parts.sessions, &facts, run->session, &run->login.value);
    if (!error)
        run->session = NULL;
    return error;
}

static cb_error record_result(proof_run *run, cb_error outcome)
{
    cb_bytes receipts[CB_RESULT_RECEIPTS];
    for (unsigned i = 0; i < run->receipts; i++)
        receipts[i] = cb_buf_bytes(&run->receipt[i]);
    cb_result_request request = {.tap = run->context->tap,
                                 .outcome = outcome,
                                 .receipts = receipts,
                                 .receipt_count = run->receipts,
                                 .kind = run->login.kind,
                                 .expires = run->login.expires,
                                 .pin_seen = run->outcome->pin_seen,
                                 .pad = run->pad,
                                 .counter = run->outcome->counter};
    if (!outcome && run->login.kind == CB_SESSION_RELAYED)
        request.session = run->outcome->session;
    return cb_decide_result(run->taps->parts.store, &request);
}

/* Ends at the service what was opened there for nothing. */
static void undo_login(proof_run *run)
{
    cb_session_match match = {.session = run->outcome->session};
    if (run->session)
        cb_session_cut(run->session, true);
    else if (run->login.kind == CB_SESSION_RELAYED)
        cb_sessions_cut(run->taps->parts.sessions, &match, "withdrawn");
    run->outcome->session = (cb_id){{0}};
    run->outcome->kind = 0;
}

/* From T1 to T2. */
static cb_error authenticate(proof_run *run)
{
    cb_tap_outcome *outcome = run->outcome;
    cb_intent_request intent = {.context = *run->context,
                                .card = outcome->card,
                                .holder = outcome->holder,
                                .generation = run->identity.generation,
                                .counter = outcome->counter,
                                .reached = outcome->level,
                                .pin_seen = outcome->pin_seen,
                                .pad = run->pad};
    cb_error error = cb_places_take(run->taps->places, run->context->service);
    run->placed = !error;
    if (!error)
        error = cb_decide_intent(run->taps->parts.store, &intent, &run->grant);
    if (error)
        return cb_tap_refuse(run->taps, run->context, outcome, error);
    error = cb_hsm_tap_open_key(run->taps->parts.hsm, &run->context->tap,
                                cb_buf_bytes(&run->grant.key.sealed), &run->grant.proof);
    if (!error)
        error = log_in(run);
    /* The key was good at T1: it was renewed or removed since, and hsmd heard of it first. */
    if (error == CB_E_HSM_KEY_RETIRED)
        error = CB_E_TAP_WITHDRAWN;
    if (!error)
        error = enter_session(run);
    cb_error recorded = record_result(run, error);
    if (error && recorded)
        cb_log_failure("tap.unrecorded", recorded, "a failed result could not be recorded");
    if (!error)
        error = recorded;
    if (error) {
        undo_login(run);
        return error;
    }
    outcome->value = run->login.value;
    run->login.value = CB_BUF(0);
    return CB_OK;
}

/* The card's end, which it has signed as the last thing it did. */
static cb_error record_end(proof_run *run)
{
    cb_intent_request request = {
        .context = *run->context, .card = run->outcome->card, .holder = run->outcome->holder};
    run->outcome->ended = true;
    return cb_decide_card_end(run->taps->parts.store, &request);
}

/* What the old password opened ends with it. That it was proven and then refused is recorded. */
static cb_error record_password(proof_run *run)
{
    const cb_session_match match = {.card = run->outcome->card};
    cb_intent_request request = {
        .context = *run->context, .card = run->outcome->card, .holder = run->outcome->holder};
    cb_error error = cb_decide_password(run->taps->parts.store, &request, &run->identity.before,
                                        cb_buf_bytes(&run->identity.binding));
    if (!error || error == CB_E_UNSIGNED)
        cb_sessions_cut(run->taps->parts.sessions, &match, "password.changed");
    else
        cb_tap_refuse(run->taps, run->context, run->outcome, error);
    return error;
}

/* A change of PIN: the card has done it, what remains is to record it. */
static cb_error record_pin(proof_run *run)
{
    cb_intent_request request = {.context = *run->context,
                                 .card = run->outcome->card,
                                 .holder = run->outcome->holder,
                                 .reached = run->outcome->level,
                                 .generation = run->identity.generation,
                                 .counter = run->outcome->counter};
    cb_error error = cb_decide_pin(run->taps->parts.store, &request);
    if (error == CB_E_CARD_COUNTER)
        cb_tap_refuse(run->taps, run->context, run->outcome, error);
    return error;
}

/* A refusal is recorded as one: nothing was done. */
static cb_error record_maintenance(proof_run *run, const char *reason)
{
    int64_t time = run->taps->parts.maintenance;
    cb_intent_request request = {.context = *run->context,
                                 .card = run->outcome->card,
                                 .holder = run->outcome->holder,
                                 .reached = run->outcome->level,
                                 .counter = run->outcome->counter};
    cb_error error = cb_decide_maintenance(run->taps->parts.store, &request, reason,
                                           time ? time : DEFAULT_MAINTENANCE,
                                           &run->outcome->expires);
    if (error && error != CB_E_UNSIGNED)
        cb_tap_refuse(run->taps, run->context, run->outcome, error);
    return error;
}

static void log_end(const proof_run *run, cb_error error, int64_t began)
{
    char tap[CB_ID_TEXT], card[CB_ID_TEXT], took[24];
    cb_id_text(&run->context->tap, tap);
    cb_id_text(&run->outcome->card, card);
    snprintf(took, sizeof took, "%lld", (long long)(cb_clock_monotonic_us() - began));
    cb_log(error ? CB_LOG_WARNING : CB_LOG_INFO, error ? "tap.failed" : "tap.accepted",
           error ? cb_error_text(error) : "The holder was logged in.", "tap", tap, "card", card,
           "service", run->context->service, "error", error ? cb_error_code(error) : NULL, "us",
           took, NULL);
}

/* A card that was known before it was asked is named also where its answers came to no claim:
 * whoever speaks for it without its keys is counted so. */
static void refuse_claim(cb_taps *taps, const cb_tap_entry *entry, const cb_tap_outcome *outcome,
                         cb_error error)
{
    cb_tap_outcome known = *outcome;
    if (cb_id_is_zero(&known.card)) {
        known.card = entry->card;
        known.holder = entry->holder;
    }
    cb_tap_refuse(taps, &entry->context, &known, error);
}

/* A tap that was in the table, to its end. */
static cb_error prove(cb_taps *taps, cb_tap_entry *entry, cb_bytes answers, cb_tap_word *word)
{
    cb_tap_outcome *outcome = &word->outcome;
    cb_error error;
    int64_t began = cb_clock_monotonic_us();
    proof_run run = {.taps = taps, .context = &entry->context, .pad = entry->pad, .outcome = outcome};
    for (unsigned i = 0; i < CB_RESULT_RECEIPTS; i++)
        run.receipt[i] = CB_BUF(CB_RECEIPT_MAX);
    run.login.value = CB_BUF(CB_LOGIN_VALUE_MAX);
    run.identity.binding = CB_BUF(CB_BINDING_MAX);
    cb_intent_grant_init(&run.grant);
    strcpy(outcome->service, entry->context.service);
    outcome->begun = entry->begun;
    bool registers = run.context->purpose == CB_TAP_REGISTER;
    bool renews = run.context->purpose == CB_TAP_RENEW;
    error = registers ? cb_tap_register_end(taps, entry, answers, outcome)
            : renews  ? cb_tap_renew_end(taps, entry, answers, outcome)
                      : cb_tap_identify(taps, run.context, answers, outcome, &run.identity);
    if (!error && !registers && !renews)
        error = cb_tap_count_pins(taps, run.context, outcome);
    if (error) {
        refuse_claim(taps, entry, outcome, error);
        outcome->may_renew =
            cb_tap_may_renew(taps, &entry->context.terminal, &entry->context.tap, error);
    } else if (registers)
        outcome->registered = true;
    else if (renews)
        outcome->renewed = true;
    else if (run.context->purpose == CB_TAP_AUTHENTICATE)
        error = authenticate(&run);
    else if (run.context->purpose == CB_TAP_CARD_END)
        error = record_end(&run);
    else if (run.context->purpose == CB_TAP_PASSWORD_CHANGE)
        error = record_password(&run);
    else if (cb_tap_purpose_maintenance(run.context->purpose))
        error = record_maintenance(&run, entry->reason);
    else
        error = record_pin(&run);
    if (run.placed)
        cb_places_give_back(taps->places, run.context->service);
    cb_tap_end_change(taps, &run.identity);
    log_end(&run, error, began);
    error = told(&run, error);
    word->key = run.grant.key.id;
    word->intended = run.grant.proof.intent.time;
    if (run.session)
        cb_session_end(&run.session);
    cb_login_result_free(&run.login);
    cb_intent_grant_free(&run.grant);
    cb_buf_free(&run.identity.binding);
    for (unsigned i = 0; i < CB_RESULT_RECEIPTS; i++)
        cb_buf_free(&run.receipt[i]);
    return error;
}

/* What was answered before. Whoever may not have it any more is not told it. */
static cb_error say_again(cb_taps *taps, const cb_id *tap, const cb_id *terminal,
                          const cb_tap_word *word)
{
    const cb_tap_outcome *outcome = &word->outcome;
    if (word->error || !outcome->service[0])
        return word->error;
    cb_again_request request = {.tap = *tap,
                                .terminal = *terminal,
                                .card = outcome->card,
                                .holder = outcome->holder,
                                .service = outcome->service,
                                .key = word->key,
                                .intended = word->intended,
                                .reached = outcome->level,
                                .pin_seen = outcome->pin_seen};
    if (outcome->kind == CB_SESSION_RELAYED)
        request.session = outcome->session;
    return cb_decide_again(taps->parts.store, &request);
}

static cb_error prove_once(cb_taps *taps, const cb_tap_question_id *question, cb_bytes answers,
                           cb_tap_word *word)
{
    cb_tap_entry *entry;
    cb_error error = cb_tap_table_take(taps->table, &question->tap, &question->terminal,
                                       CB_TAP_CHALLENGED, &entry);
    if (!error) {
        word->error = error = prove(taps, entry, answers, word);
        cb_tap_memory_put(taps->memory, question, word);
    } else {
        cb_tap_memory_forget(taps->memory, question);
    }
    cb_tap_drop(taps, entry);
    return error;
}

cb_error cb_tap_proof(cb_taps *taps, const cb_id *terminal, const cb_id *tap, cb_bytes answers,
                      cb_tap_outcome *outcome)
{
    cb_tap_word word = {.outcome.value = CB_BUF(CB_LOGIN_VALUE_MAX)};
    cb_tap_question_id question = {*tap, *terminal, cb_sha256(answers)};
    cb_error error = cb_tap_memory_claim(taps->memory, &question, &word);
    if (!error)
        error = prove_once(taps, &question, answers, &word);
    else if (error == CB_E_EXISTS)
        error = say_again(taps, tap, terminal, &word);
    if (error)
        cb_buf_free(&word.outcome.value);
    *outcome = word.outcome;
    return error;
}
