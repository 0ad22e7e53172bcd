/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests of the manage lane: binding cards to holders.
 */
#include <time.h>

#include "base/log.h"
#include "cardlink/native/certificate.h"
#include "hsm/foreign.h"
#include "hsm/protocol.h"
#include "hsm/record_codec.h"
#include "hsm/request.h"

/* What is remembered of a binding: whose the card is, how far it may reach, and its keys. Not the
 * sequence: an attempt that was not recorded may be repeated after others were. */
static cb_digest bound_to(const cb_binding_info *info)
{
    static const char native[] = "cardbroker bound card 1", others[] = "cardbroker bound card 2";
    const uint8_t small[] = {info->profile, info->level};
    cb_bytes parts[4 + 2 * CB_CARD_KEYS_MAX];
    size_t count = 0;
    bool of_ours = info->profile == CB_PROFILE_NATIVE;
    parts[count++] = of_ours ? CB_BYTES_OF(native) : CB_BYTES_OF(others);
    parts[count++] = cb_id_bytes(&info->card);
    parts[count++] = cb_id_bytes(&info->holder);
    parts[count++] = CB_BYTES_OF(small);
    for (size_t i = 0; i < info->keys.count; i++) {
        const cb_card_key *key = &info->keys.key[i];
        if (!of_ours)
            parts[count++] = cb_bytes_make(&key->use, 1);
        parts[count++] = cb_bytes_make(key->data, key->len);
    }
    return cb_sha256_parts(parts, count);
}

/* A card is bound once: a second binding would stay genuine beside the first, and whoever has the
 * front end could choose between the two. Remembered before it is made, so that no crash in between
 * leaves one that is not. */
static cb_error bind_once(const cb_lane *lane, const cb_binding_info *info)
{
    cb_digest before, now = bound_to(info);
    cb_error error = cb_feed_refresh(lane->feed);
    if (!error && cb_feed_card(lane->feed, &info->card) == CB_E_CARD_REVOKED)
        error = CB_E_CARD_REVOKED;
    if (!error)
        error = cb_memo_get(lane->bound, &info->card, &before);
    if (error == CB_E_NOT_FOUND)
        return cb_memo_put(lane->bound, &info->card, &now);
    if (!error && memcmp(&before, &now, sizeof now) != 0)
        error = CB_E_CARD_BOUND;
    return error;
}

static cb_error bind(const cb_lane *lane, const cb_binding_info *info, cb_buf *out)
{
    char card[CB_ID_TEXT], holder[CB_ID_TEXT];
    cb_error error = cb_binding_info_ok(info) ? bind_once(lane, info) : CB_E_ARGUMENT;
    if (!error)
        error = lane->vault->binding_make(lane->vault->context, info, out);
    if (error) {
        cb_buf_reset(out);
        return error;
    }
    cb_id_text(&info->card, card);
    cb_id_text(&info->holder, holder);
    cb_log(CB_LOG_INFO, "card.bound", "A card was bound to a holder.", "card", card, "holder",
           holder, "profile", cb_profile_find(info->profile)->name, NULL);
    return CB_OK;
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
    info.keys = (cb_card_keys){.count = 1, .key = {cb_card_key_of_point(point)}};
    return bind(lane, &info, out);
}

cb_error cb_handle_bind_foreign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_foreign_reading card = {0};
    cb_binding_info info = {0};
    (void)tap;
    card.profile = cb_cursor_u8(in);
    card.answers = cb_cursor_var(in, CB_SCRIPT_BYTES_MAX);
    card.keys = cb_cursor_u8(in);
    for (size_t i = 0; i < card.keys && i < CB_CARD_KEYS_MAX; i++) {
        card.key[i].use = cb_cursor_u8(in);
        card.key[i].certificate = cb_cursor_var(in, CB_FOREIGN_CERTIFICATE_MAX);
    }
    info.holder = cb_get_id(in);
    info.level = cb_cursor_u8(in);
    info.sequence = cb_cursor_u64(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_foreign_card_check(cb_host_foreign(lane->host, card.profile), &card,
                                           (int64_t)time(NULL), &info);
    return error ? error : bind(lane, &info, out);
}
