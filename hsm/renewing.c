/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/renewing.h"

#include <stdlib.h>
#include <time.h>

#include "hsm/bound.h"
#include "hsm/record_codec.h"

cb_error cb_renewing_judge(const cb_vault *vault, const cb_foreign_trust *trust,
                           const cb_foreign_reading *reading, cb_bytes binding,
                           cb_bytes certificates, cb_renewing *out)
{
    cb_binding_info *before = &out->before, *info = &out->info;
    cb_error error = vault->binding_check(vault->context, binding, before);
    if (!error)
        error = cb_foreign_card_check(trust, reading, (int64_t)time(NULL), info);
    if (!error && (!cb_id_same(&info->card, &before->card) || info->profile != before->profile))
        error = CB_E_CERTIFICATE_RENEWAL;
    if (!error)
        error = cb_foreign_card_renews(trust, before, certificates, reading, info);
    if (!error)
        error = cb_marks_of(reading, info, &out->marks);
    /* Whose the card is and how far it may reach comes from the binding that it has. */
    info->holder = before->holder;
    info->level = before->level;
    return error;
}

static cb_error may_take(cb_feed *feed, const cb_memo *bound, const cb_renewing *r)
{
    cb_error error = cb_bound_still_good(feed, &r->before);
    if (!error)
        error = cb_bound_still_good(feed, &r->info);
    if (!error)
        error = cb_bound_renewable(bound, &r->before, &r->info);
    return error ? error : cb_marks_free(bound, &r->info.card, &r->marks);
}

cb_error cb_renewing_take(cb_feed *feed, cb_memo *bound, const cb_renewing *r)
{
    cb_error error = may_take(feed, bound, r);
    if (!error)
        error = cb_marks_take(bound, &r->info.card, &r->marks);
    return error ? error : cb_bound_renew(bound, &r->before, &r->info);
}

/* ---- In a tap ---- */

static bool context_ok(const cb_tap *tap, const cb_tap_context *context,
                       const cb_foreign_reading *reading)
{
    return cb_id_same(&context->tap, &tap->id) && cb_id_same(&context->terminal, &tap->terminal) &&
           context->purpose == CB_TAP_RENEW && context->profile == tap->profile->id &&
           reading->profile == tap->profile->id && tap->profile->certificates > 0 &&
           !context->service[0];
}

static bool keys_change(const cb_renewing *r)
{
    cb_id before = cb_binding_subject(&r->before), now = cb_binding_subject(&r->info);
    return !cb_id_same(&before, &now);
}

static bool changes(const cb_renewing *r, const cb_card_key *key)
{
    const cb_card_key *old = cb_card_keys_find(&r->before.keys, key->use);
    return !old ||
           !cb_bytes_same(cb_bytes_make(old->data, old->len), cb_bytes_make(key->data, key->len));
}

/* How many keys change that only a signature proves; a session that the card opened proves the one
 * of secure messaging. *use: of the last of them. */
static unsigned to_be_proven(const cb_tap *tap, const cb_renewing *r, uint8_t *use)
{
    unsigned count = 0;
    for (size_t i = 0; i < r->info.keys.count; i++) {
        const cb_card_key *key = &r->info.keys.key[i];
        if (key->use == tap->profile->attested || !changes(r, key))
            continue;
        *use = key->use;
        count++;
    }
    return count;
}

/* Whether card and terminal are good, also where that is no matter to a manager. */
static cb_error still_good(cb_taps *taps, const cb_tap *tap, const cb_renewing *r)
{
    cb_error error = cb_feed_card(taps->setup.feed, &r->info.card);
    return error ? error : cb_feed_terminal(taps->setup.feed, &tap->terminal);
}

static cb_error judge(cb_taps *taps, const cb_tap *tap, const cb_foreign_reading *reading,
                      cb_bytes binding, cb_bytes certificates, cb_renewing *r)
{
    uint8_t use = 0;
    const cb_foreign_trust *trust = cb_host_foreign(tap->host, tap->profile->id);
    if (!trust->renewal_at_taps)
        return CB_E_CERTIFICATE_RENEWAL;
    cb_error error = cb_renewing_judge(taps->setup.vault, trust, reading, binding, certificates, r);
    r->info.sequence = 1;
    if (!error && !cb_binding_info_ok(&r->info))
        error = CB_E_ARGUMENT;
    if (!error && keys_change(r))
        error = cb_foreign_card_named(reading);
    if (!error && to_be_proven(tap, r, &use) > 1)
        error = CB_E_CERTIFICATE_RENEWAL;
    if (!error)
        error = may_take(taps->setup.feed, taps->setup.bound, r);
    return error ? error : still_good(taps, tap, r);
}

/* Keys that change are proven with the PIN; others with as little as the card can do with. */
static cb_error ask(cb_tap *tap, const cb_tap_context *context, const cb_foreign_reading *reading,
                    const cb_renewing *r, cb_buf *script)
{
    cb_script answers;
    const cb_known_card known = {.card = r->info.card, .keys = r->info.keys};
    tap->context = *context;
    tap->context.text = cb_renewal_statement(&r->info.card, &tap->id, reading);
    tap->context.level = CB_LEVEL_POSSESSION;
    if (keys_change(r))
        tap->context.level = cb_level_lower(r->info.level, tap->profile->level_with_pin);
    if (keys_change(r) && !cb_level_needs_pin(tap->context.level))
        return CB_E_CERTIFICATE_RENEWAL;
    cb_error error = cb_script_read(reading->answers, CB_ANSWER_MAX, &answers);
    if (!error)
        error = tap->profile->challenge(tap->profile_state, &tap->host->profile, &answers,
                                        &tap->context, &known, (cb_bytes){0}, script);
    return error ? error : cb_buf_error(script);
}

cb_error cb_renewing_ask(cb_taps *taps, cb_tap *tap, const cb_tap_context *context,
                         const cb_foreign_reading *reading, cb_bytes binding, cb_bytes certificates,
                         cb_buf *script)
{
    if (!context_ok(tap, context, reading) || reading->keys > CB_CARD_KEYS_MAX)
        return CB_E_ARGUMENT;
    if (!taps->setup.bound)
        return CB_E_IO;
    tap->renewing = calloc(1, sizeof *tap->renewing);
    if (!tap->renewing)
        return CB_E_MEMORY;
    cb_error error = judge(taps, tap, reading, binding, certificates, tap->renewing);
    if (!error)
        error = ask(tap, context, reading, tap->renewing, script);
    if (!error)
        return CB_OK;
    cb_buf_reset(script);
    free(tap->renewing); /* some errors leave the tap for another question */
    tap->renewing = NULL;
    return error;
}

/* The card has signed, with each key that changes or else with one of its own. */
static cb_error proven(const cb_tap *tap, const cb_renewing *r)
{
    uint8_t use = 0;
    bool with_pin = tap->claim.pin == CB_PIN_VERIFIED;
    if (!cb_id_same(&tap->claim.card, &r->info.card))
        return CB_E_CARD_PROOF;
    cb_error error = cb_profile_check(&tap->claim, &r->info.keys);
    if (error)
        return error;
    if (to_be_proven(tap, r, &use) > 0 && tap->claim.signature.use != use)
        return CB_E_CERTIFICATE_RENEWAL;
    return cb_level_reaches(cb_profile_level(tap->profile, with_pin), tap->context.level)
               ? CB_OK
               : CB_E_TAP_LEVEL;
}

cb_error cb_renewing_bind(cb_taps *taps, cb_tap *tap, uint64_t sequence, const cb_feed_head *feed,
                          cb_binding_info *out)
{
    cb_renewing *r = tap->renewing;
    if (!r || tap->context.purpose != CB_TAP_RENEW)
        return CB_E_TAP_ORDER;
    if (sequence <= r->before.sequence || sequence > INT32_MAX)
        return CB_E_ARGUMENT;
    cb_error error = cb_feed_refresh(taps->setup.feed);
    if (!error)
        error = cb_feed_compare(taps->setup.feed, feed);
    if (!error)
        error = still_good(taps, tap, r);
    if (!error)
        error = proven(tap, r);
    if (!error)
        error = cb_renewing_take(taps->setup.feed, taps->setup.bound, r);
    r->info.sequence = sequence;
    *out = r->info;
    return error;
}
