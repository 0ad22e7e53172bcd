/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What taps that fail lead to: who is cut off, slowed down and told of.
 */
#include "base/clock.h"
#include "base/log.h"
#include "broker/core/tap_parts.h"

cb_failure_limits cb_taps_limits(cb_taps *taps)
{
    pthread_mutex_lock(&taps->lock);
    cb_failure_limits limits = taps->limits;
    pthread_mutex_unlock(&taps->lock);
    return limits;
}

void cb_taps_set_limits(cb_taps *taps, const cb_failure_limits *limits)
{
    pthread_mutex_lock(&taps->lock);
    taps->limits = *limits;
    pthread_mutex_unlock(&taps->lock);
}

cb_taps_failures cb_taps_failed(cb_taps *taps)
{
    pthread_mutex_lock(&taps->lock);
    cb_taps_failures failures = taps->failures;
    pthread_mutex_unlock(&taps->lock);
    return failures;
}

static void count(cb_taps *taps, const cb_failure_effect *effect)
{
    cb_taps_failures *all = &taps->failures;
    pthread_mutex_lock(&taps->lock);
    all->failed[effect->kind] += effect->count;
    all->suspended += effect->suspended;
    all->slowed += effect->slowed;
    all->stopped += effect->stopped;
    all->noted += effect->noted;
    pthread_mutex_unlock(&taps->lock);
}

static void cut(cb_taps *taps, const cb_session_match *match, const cb_affected *affected)
{
    if (taps->parts.ended)
        taps->parts.ended(taps->parts.ended_context, match, affected);
}

static void tell(const char *event, const char *text, const cb_refusal *refusal)
{
    char card[CB_ID_TEXT], holder[CB_ID_TEXT], terminal[CB_ID_TEXT];
    cb_id_text(&refusal->card, card);
    cb_id_text(&refusal->holder, holder);
    cb_id_text(&refusal->terminal, terminal);
    cb_log(CB_LOG_WARNING, event, text, "card", card, "holder", holder, "terminal", terminal, NULL);
}

void cb_tap_failed(cb_taps *taps, const cb_refusal *refusal, cb_failure_effect *effect)
{
    count(taps, effect);
    if (effect->suspended) {
        tell("failures.suspended",
             refusal->error == CB_E_CARD_COUNTER
                 ? "A card was suspended, for there is a copy of it: replace it."
                 : "A card was suspended after too many wrong PINs.",
             refusal);
        cut(taps, &(cb_session_match){.card = refusal->card}, &effect->of_card);
    }
    if (effect->stopped) {
        tell("failures.stopped", "A terminal was de-activated after too many failed proofs.",
             refusal);
        cut(taps, &(cb_session_match){.terminal = refusal->terminal}, &effect->of_terminal);
    }
    if (effect->slowed)
        tell("failures.slowed", "A terminal is slowed down, for too much fails there.", refusal);
    if (effect->noted)
        tell("failures.noted",
             "Much that nobody has proven is said of this card or holder: look who says it.",
             refusal);
}

cb_error cb_tap_count_pins(cb_taps *taps, const cb_tap_context *context, cb_tap_outcome *outcome)
{
    if (outcome->wrong_pins == 0)
        return CB_OK;
    cb_failure_limits limits = cb_taps_limits(taps);
    cb_failure_effect effect = {.noted = false};
    cb_refusal refusal = {.tap = context->tap,
                          .terminal = context->terminal,
                          .card = outcome->card,
                          .holder = outcome->holder,
                          .profile = context->profile,
                          .wrong_pins = outcome->wrong_pins,
                          .limits = &limits};
    cb_error error = cb_decide_wrong_pins(taps->parts.store, &refusal, &effect);
    if (error) {
        cb_log_failure("tap.unrecorded", error, "wrong PINs could not be counted");
    } else {
        cb_tap_failed(taps, &refusal, &effect);
        outcome->wrong_pins = 0; /* whatever the tap comes to, not again */
    }
    cb_failure_effect_free(&effect);
    return error;
}

bool cb_tap_may_renew(cb_taps *taps, const cb_id *terminal, const cb_id *tap, cb_error error)
{
    if (error == CB_E_CARD_PROOF)
        return cb_tap_unexplained_has(taps->unexplained, tap, terminal);
    return error == CB_E_CERTIFICATE_EXPIRED || error == CB_E_CERTIFICATE_REVOKED;
}

cb_error cb_tap_rate(cb_taps *taps, const cb_terminal *terminal, uint32_t *rate)
{
    cb_failure_row row;
    cb_failure_limits limits = cb_taps_limits(taps);
    *rate = terminal->rate;
    if (limits.slow == 0)
        return CB_OK;
    cb_error error = cb_failures_get(taps->parts.store, CB_OF_TERMINAL, &terminal->id, &row);
    if (!error && cb_failures_slow(&row, &limits, cb_clock_wall_us()) &&
        (*rate == 0 || *rate > limits.slow_rate))
        *rate = limits.slow_rate;
    return error;
}
