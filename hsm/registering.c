/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/registering.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "hsm/bound.h"
#include "hsm/marks.h"
#include "hsm/record_codec.h"
#include "hsm/registration.h"

/* Wrong codes that a worker looks at: what one terminal may try is the front end's to limit. */
#define CODE_RATE ((cb_brake_rate){.each_us = CB_SECOND / 10, .burst = 100})

typedef struct cb_registering {
    cb_id code;
    cb_binding_info info; /* as it would be bound */
    cb_marks marks;
} cb_registering;

static bool context_ok(const cb_tap *tap, const cb_tap_context *context,
                       const cb_foreign_reading *reading)
{
    return cb_id_same(&context->tap, &tap->id) && cb_id_same(&context->terminal, &tap->terminal) &&
           context->purpose == CB_TAP_REGISTER && context->profile == tap->profile->id &&
           reading->profile == tap->profile->id && tap->profile->recognise && !context->service[0];
}

/* The word was made with the code that it names. One that was not is charged to that code, whoever
 * brings it: nobody knows what a code is named by who has not seen it used. */
static cb_error believe(cb_taps *taps, const cb_tap *tap, const cb_registration_word *word,
                        const cb_digest *statement, const cb_id *code)
{
    char text[CB_ID_TEXT], terminal[CB_ID_TEXT];
    cb_error error =
        cb_p256_check(CB_BYTES_OF(word->point), statement, CB_BYTES_OF(word->signature));
    if (error != CB_E_CRYPTO)
        return error;
    cb_id_text(code, text);
    cb_id_text(&tap->terminal, terminal);
    cb_log(CB_LOG_WARNING, "registration.wrong",
           "A registration code was named by somebody who does not have it.", "code", text,
           "terminal", terminal, NULL);
    error = cb_registration_wrong(taps->setup.guesses, code);
    return error ? error : CB_E_REGISTRATION_CODE;
}

/* What the code is good for. binding: with the holder that it names, once he is known. */
static cb_error look_up(cb_taps *taps, const cb_tap *tap, const cb_id *code,
                        cb_registration_grant *grant)
{
    cb_digest nothing = {{0}};
    int64_t now = cb_clock_wall_us();
    cb_error error = cb_registration_look(taps->setup.guesses, code, now, &nothing, grant);
    if (error == CB_E_REGISTRATION_USED) /* maybe for this card, which is seen later */
        error = CB_OK;
    if (error == CB_E_REGISTRATION_CODE && !cb_brake_pass(&taps->codes, CODE_RATE, 1))
        return CB_E_BUSY;
    if (!error && !(grant->profiles & 1 << tap->profile->id))
        error = CB_E_REGISTRATION_PROFILE;
    return error;
}

/* The card as it would be bound: whether it can be, and by this code. */
static cb_error judge(cb_taps *taps, const cb_tap *tap, const cb_foreign_reading *reading,
                      const cb_registration_grant *grant, cb_registering *r)
{
    cb_registration_grant now;
    const cb_foreign_trust *trust = cb_host_foreign(tap->host, tap->profile->id);
    r->info = (cb_binding_info){.holder = grant->holder, .level = grant->level, .sequence = 1};
    cb_error error = cb_foreign_card_check(trust, reading, (int64_t)time(NULL), &r->info);
    if (!error)
        error = cb_foreign_card_named(reading);
    if (!error)
        error = cb_marks_of(reading, &r->info, &r->marks);
    if (!error && !cb_binding_info_ok(&r->info))
        error = CB_E_ARGUMENT;
    cb_digest binding = cb_binding_digest(&r->info);
    if (!error)
        error =
            cb_registration_look(taps->setup.guesses, &r->code, cb_clock_wall_us(), &binding, &now);
    if (!error)
        error = cb_bound_still_good(taps->setup.feed, &r->info);
    if (!error)
        error = cb_feed_card(taps->setup.feed, &r->info.card);
    if (!error)
        error = cb_feed_terminal(taps->setup.feed, &tap->terminal);
    if (!error)
        error = cb_bound_free(taps->setup.bound, &r->info);
    return error ? error : cb_marks_free(taps->setup.bound, &r->info.card, &r->marks);
}

/* The card proves as much as it is to be good for, or as much as its kind can. */
static cb_error ask(cb_tap *tap, const cb_tap_context *context, const cb_foreign_reading *reading,
                    const cb_digest *statement, cb_buf *script)
{
    cb_script answers;
    const cb_binding_info *info = &tap->registering->info;
    const cb_known_card known = {.card = info->card, .keys = info->keys};
    tap->context = *context;
    tap->context.text = *statement;
    tap->context.level = cb_level_lower(info->level, tap->profile->level_with_pin);
    cb_error error = cb_script_read(reading->answers, CB_ANSWER_MAX, &answers);
    if (!error)
        error = tap->profile->challenge(tap->profile_state, &tap->host->profile, &answers,
                                        &tap->context, &known, (cb_bytes){0}, script);
    return error ? error : cb_buf_error(script);
}

static cb_error ask_registering(cb_taps *taps, cb_tap *tap, const cb_tap_context *context,
                                const cb_foreign_reading *reading, const cb_registration_word *word,
                                cb_buf *script)
{
    cb_registration_grant grant;
    cb_id code = tap->registering->code = cb_registration_id(word->point);
    cb_digest statement = cb_registration_statement(&code, &tap->id, reading);
    cb_error error = look_up(taps, tap, &code, &grant);
    if (!error || error == CB_E_REGISTRATION_PROFILE) {
        cb_error word_is = believe(taps, tap, word, &statement, &code);
        error = word_is ? word_is : error;
    }
    if (!error)
        error = judge(taps, tap, reading, &grant, tap->registering);
    if (!error)
        error = ask(tap, context, reading, &statement, script);
    return error;
}

cb_error cb_registering_ask(cb_taps *taps, cb_tap *tap, const cb_tap_context *context,
                            const cb_foreign_reading *reading, const cb_registration_word *word,
                            cb_buf *script)
{
    if (!context_ok(tap, context, reading) || reading->keys > CB_CARD_KEYS_MAX)
        return CB_E_ARGUMENT;
    if (!taps->setup.guesses || !taps->setup.bound)
        return CB_E_IO;
    tap->registering = calloc(1, sizeof *tap->registering);
    if (!tap->registering)
        return CB_E_MEMORY;
    cb_error error = ask_registering(taps, tap, context, reading, word, script);
    if (!error)
        return CB_OK;
    cb_buf_reset(script);
    free(tap->registering); /* some errors leave the tap for another question */
    tap->registering = NULL;
    return error;
}

/* The card has signed, with a key that is to be bound, and with the PIN where that was asked. */
static cb_error proven(const cb_tap *tap, const cb_binding_info *info)
{
    bool with_pin = tap->claim.pin == CB_PIN_VERIFIED;
    if (!cb_id_same(&tap->claim.card, &info->card))
        return CB_E_CARD_PROOF;
    cb_error error =
        tap->profile->proven_in_channel ? CB_OK : cb_profile_check(&tap->claim, &info->keys);
    if (error)
        return error;
    return cb_level_reaches(cb_profile_level(tap->profile, with_pin), tap->context.level)
               ? CB_OK
               : CB_E_TAP_LEVEL;
}

/* The code first: it is used for this card or not at all, and the card is bound to its holder. A
 * card that has become somebody else's, or has another name, costs no code; what is used is never
 * made open again, for that could be another registration's use of it, which is done. */
static cb_error take(cb_taps *taps, const cb_registering *r)
{
    cb_digest binding = cb_binding_digest(&r->info);
    cb_memo *codes = taps->setup.guesses, *bound = taps->setup.bound;
    cb_error error = cb_bound_free(bound, &r->info);
    if (!error)
        error = cb_marks_free(bound, &r->info.card, &r->marks);
    if (!error)
        error = cb_registration_take(codes, &r->code, cb_clock_wall_us(), &binding);
    if (!error)
        error = cb_marks_take(bound, &r->info.card, &r->marks);
    return error ? error : cb_bound_take(bound, &r->info);
}

cb_error cb_registering_bind(cb_taps *taps, cb_tap *tap, uint64_t sequence,
                             const cb_feed_head *feed, cb_binding_info *out)
{
    cb_registering *r = tap->registering;
    if (!r || tap->context.purpose != CB_TAP_REGISTER)
        return CB_E_TAP_ORDER;
    if (sequence < 1 || sequence > INT32_MAX)
        return CB_E_ARGUMENT;
    cb_error error = cb_feed_refresh(taps->setup.feed);
    if (!error)
        error = cb_feed_compare(taps->setup.feed, feed);
    if (!error)
        error = cb_bound_still_good(taps->setup.feed, &r->info);
    if (!error)
        error = cb_feed_card(taps->setup.feed, &r->info.card);
    if (!error)
        error = cb_feed_terminal(taps->setup.feed, &tap->terminal);
    if (!error)
        error = proven(tap, &r->info);
    if (!error)
        error = take(taps, r);
    r->info.sequence = sequence;
    *out = r->info;
    return error;
}

const cb_id *cb_registering_code(const cb_tap *tap) { return &tap->registering->code; }
