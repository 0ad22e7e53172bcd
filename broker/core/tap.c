/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How taps begin, and how they end that do not come to their proof.
 */
#include "broker/core/tap.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/core/decide.h"
#include "broker/core/software.h"
#include "broker/core/tap_parts.h"

#define DEFAULT_LOGIN_DEADLINE (15 * CB_SECOND)
#define SWEEP_EVERY CB_SECOND

/* Lives as hsmd keeps them, hsm/client.h: a tap that has expired here has expired there. */
enum {
    BEGUN_SECONDS = 30,
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

/* A card with certificates may have another key by its issuer, which its renewal would show. One of
 * JPKI is its certificate: with another it is another card. */
static bool may_be_explained(const cb_refusal *refusal)
{
    return refusal->error == CB_E_CARD_PROOF && refusal->profile == CB_PROFILE_PIV &&
           refusal->purpose != CB_TAP_REGISTER && refusal->purpose != CB_TAP_RENEW;
}

/* It is counted already: what is only remembered here could be lost. */
static void remember(cb_taps *taps, const cb_refusal *refusal, const cb_failure_effect *effect)
{
    const cb_failed_proof failed = {.tap = refusal->tap,
                                    .card = refusal->card,
                                    .holder = refusal->holder,
                                    .terminal = refusal->terminal,
                                    .time = effect->time,
                                    .counts = effect->counts};
    if (effect->kind == CB_FAILURE_PROOF && may_be_explained(refusal))
        cb_tap_unexplained_put(taps->unexplained, &failed);
}

/* step: as the terminal says; NULL: it is the broker that refuses. Whether it is recorded. */
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
                          .claimed = known->claimed,
                          .service = context->service,
                          .purpose = context->purpose,
                          .step = step,
                          .error = error,
                          .pin_tries_left = known->pin_tries_left,
                          .profile = context->profile,
                          .wrong_pins = known->wrong_pins,
                          .proof_heard = known->proof_heard,
                          .counter = known->counter,
                          .begun = known->begun,
                          .limits = &limits};
    cb_error recorded = cb_decide_refused(taps->parts.store, &refusal, &effect);
    if (recorded) {
        cb_log_failure("tap.unrecorded", recorded, "a refusal could not be recorded");
    } else {
        remember(taps, &refusal, &effect);
        cb_tap_failed(taps, &refusal, &effect);
    }
    cb_failure_effect_free(&effect);
    return recorded;
}

cb_error cb_tap_refuse(cb_taps *taps, const cb_tap_context *context, const cb_tap_outcome *outcome,
                       cb_error error)
{
    refuse(taps, context, outcome, error, NULL);
    return error;
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
        error = cb_tap_unexplained_open(&taps->unexplained);
    if (!error)
        error = cb_rate_open(&taps->rate);
    if (!error)
        error = cb_rate_open(&taps->codes);
    if (!error)
        error = cb_places_open(
            parts->logins_per_service ? parts->logins_per_service : DEFAULT_LOGINS, &taps->places);
    if (!error)
        error = cb_places_open(1, &taps->changes);
    if (!error)
        error = start_sweeper(taps);
    if (error) {
        cb_tap_table_close(&taps->table);
        cb_tap_memory_close(&taps->memory);
        cb_tap_unexplained_close(&taps->unexplained);
        cb_rate_close(&taps->rate);
        cb_rate_close(&taps->codes);
        cb_places_close(&taps->places);
        cb_places_close(&taps->changes);
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
    cb_tap_unexplained_close(&t->unexplained);
    cb_rate_close(&t->rate);
    cb_rate_close(&t->codes);
    cb_places_close(&t->places);
    cb_places_close(&t->changes);
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
    entry->begun = cb_clock_wall_us();
    entry->expires = cb_deadline_in(BEGUN_SECONDS * CB_SECOND);
    cb_tap_table_put(taps->table, entry);
    *expires_in = BEGUN_SECONDS;
    return CB_OK;
}

/* Whoever begins taps without end, and breaks them off or asks for what cannot be, does not fill
 * the record: CB_E_TERMINAL_RATE. */
static cb_error counts(cb_taps *taps, const cb_id *id)
{
    uint32_t rate = 0;
    cb_terminal *terminal = calloc(1, sizeof *terminal);
    cb_error error = terminal ? CB_OK : CB_E_MEMORY;
    if (!error)
        error = cb_terminal_get(taps->parts.store, id, terminal);
    if (!error)
        error = cb_tap_rate(taps, terminal, &rate);
    if (!error)
        error = cb_rate_take(taps->rate, id, rate);
    free(terminal);
    return error;
}

void cb_tap_refuse_early(cb_taps *taps, const cb_tap_context *context, cb_error error)
{
    if (counts(taps, &context->terminal) == CB_OK)
        cb_tap_refuse(taps, context, NULL, error);
}

cb_error cb_tap_break_off(cb_taps *taps, const cb_id *terminal, const cb_id *tap, cb_error reason)
{
    cb_tap_entry *entry;
    cb_error error = cb_tap_table_take(taps->table, tap, terminal, CB_TAP_CHALLENGED, &entry);
    if (!entry)
        return error;
    bool challenged = entry->stage == CB_TAP_CHALLENGED;
    error = challenged ? CB_OK : counts(taps, terminal);
    bool unseen = error == CB_E_TERMINAL_RATE;
    if (!error)
        error = refuse(taps, &entry->context, NULL, reason, challenged ? "challenged" : "begun");
    if (error && !unseen) {
        cb_tap_table_put(taps->table, entry); /* it can be said again, or is found expired */
        return error;
    }
    cb_tap_drop(taps, entry);
    return CB_OK;
}
