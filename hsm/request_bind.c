/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests of the manage lane: binding cards to holders.
 */
#include <time.h>

#include "base/log.h"
#include "cardlink/native/certificate.h"
#include "hsm/bound.h"
#include "hsm/foreign.h"
#include "hsm/guesses.h"
#include "hsm/password.h"
#include "hsm/protocol.h"
#include "hsm/record_codec.h"
#include "hsm/request.h"

static cb_error bind_once(const cb_lane *lane, const cb_binding_info *info)
{
    cb_error error = cb_bound_still_good(lane->feed, info);
    return error ? error : cb_bound_take(lane->bound, info);
}

static cb_error make(const cb_lane *lane, const cb_binding_info *info, cb_error error,
                     const char *event, const char *text, cb_buf *out)
{
    char card[CB_ID_TEXT], holder[CB_ID_TEXT];
    if (!error)
        error = lane->vault->binding_make(lane->vault->context, info, out);
    if (error) {
        cb_buf_reset(out);
        return error;
    }
    cb_id_text(&info->card, card);
    cb_id_text(&info->holder, holder);
    cb_log(CB_LOG_INFO, event, text, "card", card, "holder", holder, "profile",
           cb_profile_find(info->profile)->name, NULL);
    return CB_OK;
}

static cb_error bind(const cb_lane *lane, const cb_binding_info *info, cb_buf *out)
{
    cb_error error = cb_binding_info_ok(info) ? bind_once(lane, info) : CB_E_ARGUMENT;
    return make(lane, info, error, "card.bound", "A card was bound to a holder.", out);
}

cb_error cb_handle_bind(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_binding_info info = {.profile = CB_PROFILE_NATIVE};
    uint8_t point[CB_P256_POINT];
    (void)tap;
    cb_bytes certificate = cb_cursor_var(in, CB_HOST_CERTIFICATE_MAX);
    info.holder = cb_get_id(in);
    info.level = cb_cursor_u8(in);
    info.sequence = cb_cursor_u64(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    const cb_profile_host *host = &lane->host->profile;
    cb_error error =
        cb_card_certificate_check(certificate, host->trust, host->trust_count, &info.card, point);
    if (error)
        return error;
    cb_cvc read;
    if (cb_cvc_parse(certificate, &read) == CB_OK)
        info.expires = cb_cvc_day_end(read.last_day);
    info.keys = (cb_card_keys){.count = 1, .key = {cb_card_key_of_point(point)}};
    return bind(lane, &info, out);
}

cb_error cb_handle_bind_foreign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_foreign_reading card;
    cb_binding_info info = {0};
    (void)tap;
    cb_get_reading(in, &card);
    info.holder = cb_get_id(in);
    info.level = cb_cursor_u8(in);
    info.sequence = cb_cursor_u64(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_foreign_card_check(cb_host_foreign(lane->host, card.profile), &card,
                                           (int64_t)time(NULL), &info);
    return error ? error : bind(lane, &info, out);
}

/* The memory has what the binding says that is renewed, or, after an attempt that was not recorded,
 * already what the new one will say. Only one of the two can be recorded as the card's; the feed
 * then retires the other. */
static cb_error renew_once(const cb_lane *lane, const cb_binding_info *before,
                           const cb_binding_info *info)
{
    cb_digest there, old = cb_binding_digest(before), now = cb_binding_digest(info);
    cb_error error = cb_bound_still_good(lane->feed, before);
    if (!error)
        error = cb_bound_still_good(lane->feed, info);
    if (!error)
        error = cb_memo_get(lane->bound, &info->card, &there);
    if (error && error != CB_E_NOT_FOUND)
        return error;
    if (!error && memcmp(&there, &now, sizeof now) == 0)
        return CB_OK;
    if (!error && memcmp(&there, &old, sizeof old) != 0)
        return CB_E_CARD_BOUND;
    return cb_memo_put(lane->bound, &info->card, &now);
}

/* Whose the card is and how far it may reach comes from the binding that it has. */
static cb_error renew(const cb_lane *lane, const cb_foreign_reading *card, cb_bytes binding,
                      cb_bytes certificates, cb_binding_info *info)
{
    cb_binding_info before;
    const cb_foreign_trust *trust = cb_host_foreign(lane->host, card->profile);
    cb_error error = lane->vault->binding_check(lane->vault->context, binding, &before);
    if (!error)
        error = cb_foreign_card_check(trust, card, (int64_t)time(NULL), info);
    if (!error && (!cb_id_same(&info->card, &before.card) || info->profile != before.profile))
        error = CB_E_CERTIFICATE_RENEWAL;
    if (!error && info->sequence <= before.sequence)
        error = CB_E_ARGUMENT;
    if (!error)
        error = cb_foreign_card_renews(trust, &before, certificates, card, info);
    info->holder = before.holder;
    info->level = before.level;
    if (!error && !cb_binding_info_ok(info))
        error = CB_E_ARGUMENT;
    return error ? error : renew_once(lane, &before, info);
}

/* ---- Passwords ---- */

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
    if (!error)
        return ours ? CB_OK : CB_E_CARD_BOUND;
    return error == CB_E_NOT_FOUND ? cb_memo_put(lane->bound, &info->card, &now) : error;
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
    cb_bytes before = cb_cursor_var(in, CB_BINDING_MAX);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = set_password(lane, &info, point, before);
    return make(lane, &info, error, "password.set", "A password was bound to a holder.", out);
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

cb_error cb_handle_renew_foreign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_foreign_reading card;
    cb_binding_info info = {0};
    (void)tap;
    cb_get_reading(in, &card);
    cb_bytes binding = cb_cursor_var(in, CB_BINDING_MAX);
    cb_bytes certificates = cb_cursor_var(in, CB_FOREIGN_CERTIFICATES_LEN);
    info.sequence = cb_cursor_u64(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = renew(lane, &card, binding, certificates, &info);
    return make(lane, &info, error, "card.renewed", "A card's certificates were renewed.", out);
}
