/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests about passwords: of managers, who bind them, and of taps, in which holders change
 * theirs.
 */
#include "base/clock.h"
#include "base/log.h"
#include "hsm/bound.h"
#include "hsm/guesses.h"
#include "hsm/password.h"
#include "hsm/protocol.h"
#include "hsm/record_codec.h"
#include "hsm/request.h"

/* Of a name hsmd remembers whose it is, not which password it has: of several that were bound the
 * one that was made last is believed (guesses.h). So whoever was broken off after one was bound,
 * and does not know it any more, sets another. */
static cb_digest owner(const cb_binding_info *info)
{
    cb_binding_info name = *info;
    name.keys.count = 0;
    return cb_binding_digest(&name);
}

static cb_error first_password(const cb_lane *lane, const cb_binding_info *info)
{
    cb_digest before = {{0}}, with_key = cb_binding_digest(info), now = owner(info);
    cb_error error = cb_bound_still_good(lane->feed, info);
    if (!error)
        error = cb_memo_get(lane->bound, &info->card, &before);
    bool ours = memcmp(&before, &now, sizeof now) == 0 ||
                memcmp(&before, &with_key, sizeof with_key) == 0; /* from an earlier version */
    if (!error && !ours)
        error = CB_E_CARD_BOUND;
    if (error == CB_E_NOT_FOUND) {
        before = now;
        error = CB_OK;
    }
    /* What is there already is written again: it may not be durable. */
    return error ? error : cb_memo_put(lane->bound, &info->card, &before);
}

/* That the name is this holder's, the binding that it has says. */
static cb_error replace_password(const cb_lane *lane, cb_bytes before, cb_binding_info *info)
{
    cb_binding_info old;
    cb_error error = lane->vault->binding_check(lane->vault->context, before, &old);
    if (!error && (!cb_id_same(&old.card, &info->card) || old.profile != CB_PROFILE_PASSWORD))
        error = CB_E_HSM_RECORD;
    if (!error && (!cb_id_same(&old.holder, &info->holder) || info->sequence <= old.sequence))
        error = CB_E_ARGUMENT;
    if (!error)
        error = cb_bound_still_good(lane->feed, &old);
    if (!error)
        error = cb_bound_still_good(lane->feed, info);
    cb_digest now = owner(info);
    return error ? error : cb_memo_put(lane->bound, &info->card, &now);
}

static cb_error set_password(const cb_lane *lane, cb_binding_info *info, cb_bytes point,
                             cb_bytes before)
{
    cb_digest verifier;
    if (!cb_p256_is_point(point))
        return CB_E_ARGUMENT;
    cb_error error = cb_password_verifier(lane->vault, &info->card, point.data, &verifier);
    info->keys = (cb_card_keys){
        .count = 1, .key = {{.kind = CB_CARD_KEY_PASSWORD, .len = sizeof verifier.bytes}}};
    memcpy(info->keys.key[0].data, verifier.bytes, sizeof verifier.bytes);
    if (!error && !cb_binding_info_ok(info))
        error = CB_E_ARGUMENT;
    if (!error && !lane->guesses)
        error = CB_E_IO;
    if (error)
        return error;
    error = before.len > 0 ? replace_password(lane, before, info) : first_password(lane, info);
    cb_id subject = cb_binding_subject(info);
    return error ? error : cb_guesses_begin(lane->guesses, &info->card, &subject);
}

cb_error cb_handle_bind_password(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_binding_info info = {.profile = CB_PROFILE_PASSWORD, .level = CB_LEVEL_PASSWORD};
    (void)tap;
    info.card = cb_get_id(in);
    cb_bytes point = cb_cursor_take(in, CB_P256_POINT);
    info.holder = cb_get_id(in);
    info.sequence = cb_cursor_u64(in);
    info.expires = (int64_t)cb_cursor_u64(in);
    cb_bytes before = cb_cursor_var(in, CB_BINDING_MAX);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    int64_t left = info.expires - cb_clock_wall_us();
    if (info.expires != 0 && (left <= 0 || left > (int64_t)CB_PASSWORD_ONCE_MOST_S * CB_SECOND))
        return CB_E_ARGUMENT;
    cb_error error = set_password(lane, &info, point, before);
    return cb_bind_make(lane, &info, error, "password.set", "A password was bound to a holder.",
                        out);
}

cb_error cb_handle_password_salt(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    uint8_t salt[CB_PASSWORD_SALT];
    (void)tap;
    cb_id password = cb_get_id(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = lane->vault->password_salt(lane->vault->context, &password, salt);
    if (!error)
        cb_buf_put(out, CB_BYTES_OF(salt));
    return error;
}

cb_error cb_handle_password_forgive(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    char text[CB_ID_TEXT];
    (void)tap;
    (void)out;
    cb_id password = cb_get_id(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = lane->guesses ? cb_guesses_forgive(lane->guesses, &password) : CB_E_IO;
    if (error)
        return error;
    cb_id_text(&password, text);
    cb_log(CB_LOG_INFO, "password.forgiven", "A manager forgave the wrong guesses at a password.",
           "card", text, NULL);
    return CB_OK;
}

cb_error cb_handle_tap_password(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_binding_info info;
    cb_feed_head feed;
    cb_get_id(in); /* the tap */
    cb_bytes before = cb_cursor_var(in, CB_BINDING_MAX);
    cb_get_feed_head(in, &feed);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_password_change(lane->taps, tap, before, &feed, &info);
    return cb_bind_make(lane, &info, error, "password.changed", "A holder changed his password.",
                        out);
}
