/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/password.h"

#include "base/clock.h"
#include "base/secret.h"
#include "hsm/bound.h"
#include "hsm/guesses.h"

/* Under which the names that nobody has are counted: it is no identifier of a name, and what is
 * counted is never asked. */
static const cb_id nobody = {{0xFF}};

cb_error cb_password_verifier(const cb_vault *vault, const cb_id *password,
                              const uint8_t point[CB_P256_POINT], cb_digest *out)
{
    return vault->password_mac(vault->context, password, cb_bytes_make(point, CB_P256_POINT), out);
}

/* The binding that the front end says the name has; or one that nothing fits. */
static cb_error look_up(const cb_vault *vault, const cb_tap *tap, cb_bytes blob,
                        cb_binding_info *binding)
{
    cb_digest none;
    if (blob.len == 0) {
        *binding = (cb_binding_info){.card = tap->claim.card};
        return cb_password_verifier(vault, &tap->claim.card, tap->claim.shown, &none);
    }
    cb_error error = vault->binding_check(vault->context, blob, binding);
    if (!error &&
        (!cb_id_same(&binding->card, &tap->claim.card) || binding->profile != CB_PROFILE_PASSWORD))
        error = CB_E_HSM_RECORD;
    return error;
}

/* Both are looked at whatever comes of the first. */
static cb_error compare(const cb_vault *vault, const cb_tap *tap, const cb_binding_info *binding,
                        bool *right)
{
    cb_digest verifier;
    const cb_card_claim *claim = &tap->claim;
    cb_card_keys shown = {.count = 1, .key = {cb_card_key_of_point(claim->shown)}};
    cb_error error = cb_password_verifier(vault, &claim->card, claim->shown, &verifier);
    bool same = !error && cb_equal(cb_digest_bytes(&verifier),
                                   cb_bytes_make(binding->keys.key[0].data, CB_SHA256_SIZE));
    cb_error signature = cb_profile_check(claim, &shown);
    *right = same && !signature && binding->keys.count == 1;
    return !error && signature != CB_E_CARD_PROOF ? signature : error;
}

cb_error cb_password_believe(cb_taps *taps, const cb_tap *tap, cb_bytes blob,
                             cb_binding_info *binding)
{
    bool allowed = false, right = false;
    cb_memo *memo = taps->setup.guesses;
    if (!memo)
        return CB_E_IO;
    if (!cb_brake_pass(&taps->passwords, CB_PASSWORD_RATE, 1))
        return CB_E_BUSY;
    cb_error error = look_up(taps->setup.vault, tap, blob, binding);
    if (error)
        return error;
    const cb_id *counted = blob.len == 0 ? &nobody : &binding->card;
    cb_id subject = blob.len == 0 ? nobody : cb_binding_subject(binding);
    error = cb_guesses_take(memo, counted, &subject, cb_clock_wall_us(), &allowed);
    if (!error)
        error = compare(taps->setup.vault, tap, binding, &right);
    if (!error && blob.len > 0 && !allowed)
        error = CB_E_PASSWORD_DELAYED;
    if (!error && !right)
        error = CB_E_PASSWORD_WRONG;
    return error ? error : cb_guesses_right(memo, counted, &subject);
}

/* ---- Another one ---- */

cb_error cb_password_in_time(const cb_binding_info *binding)
{
    return binding->expires > 0 && cb_clock_wall_us() >= binding->expires ? CB_E_PASSWORD_OVER
                                                                          : CB_OK;
}

static cb_error make_next(cb_taps *taps, const cb_tap *tap, const cb_binding_info *before,
                          cb_binding_info *out)
{
    cb_digest verifier;
    if (!cb_p256_is_point(CB_BYTES_OF(tap->claim.next)) || before->sequence >= INT64_MAX)
        return CB_E_CARD_ANSWER;
    cb_error error =
        cb_password_verifier(taps->setup.vault, &before->card, tap->claim.next, &verifier);
    *out = *before;
    out->expires = 0;
    out->sequence++;
    memcpy(out->keys.key[0].data, verifier.bytes, sizeof verifier.bytes);
    cb_id old = cb_binding_subject(before), new = cb_binding_subject(out);
    if (!error && cb_id_same(&old, &new))
        error = CB_E_PASSWORD_USED;
    if (!error)
        error = cb_bound_still_good(taps->setup.feed, out);
    return error == CB_E_HSM_KEY_RETIRED ? CB_E_PASSWORD_USED : error;
}

static cb_error still_good(const cb_taps *taps, const cb_tap *tap, const cb_binding_info *binding)
{
    cb_error error = cb_bound_still_good(taps->setup.feed, binding);
    if (!error)
        error = cb_feed_card(taps->setup.feed, &binding->card);
    if (!error)
        error = cb_feed_terminal(taps->setup.feed, &tap->terminal);
    return error == CB_E_HSM_KEY_RETIRED ? CB_E_HSM_RECORD : error;
}

cb_error cb_password_change(cb_taps *taps, cb_tap *tap, cb_bytes blob, const cb_feed_head *feed,
                            cb_binding_info *out)
{
    cb_binding_info before;
    if (tap->context.purpose != CB_TAP_PASSWORD_CHANGE)
        return CB_E_TAP_ORDER;
    cb_error error = cb_feed_refresh(taps->setup.feed);
    if (!error)
        error = cb_feed_compare(taps->setup.feed, feed);
    if (!error)
        error = cb_password_believe(taps, tap, blob, &before);
    if (!error)
        error = still_good(taps, tap, &before);
    if (!error)
        error = cb_password_in_time(&before);
    if (!error)
        error = make_next(taps, tap, &before, out);
    if (error)
        return error;
    cb_id old = cb_binding_subject(&before), new = cb_binding_subject(out);
    return cb_guesses_change(taps->setup.guesses, &before.card, &old, &new);
}
