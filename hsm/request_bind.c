/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests of the manage lane: binding cards to holders.
 */
#include <time.h>

#include "base/log.h"
#include "cardlink/native/certificate.h"
#include "hsm/bound.h"
#include "hsm/foreign.h"
#include "hsm/marks.h"
#include "hsm/protocol.h"
#include "hsm/record_codec.h"
#include "hsm/renewing.h"
#include "hsm/request.h"

static cb_error bind_once(const cb_lane *lane, const cb_binding_info *info, const cb_marks *marks)
{
    cb_error error = cb_bound_still_good(lane->feed, info);
    if (!error)
        error = cb_bound_free(lane->bound, info);
    if (!error)
        error = cb_marks_take(lane->bound, &info->card, marks);
    return error ? error : cb_bound_take(lane->bound, info);
}

cb_error cb_bind_make(const cb_lane *lane, const cb_binding_info *info, cb_error error,
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

static cb_error bind(const cb_lane *lane, const cb_binding_info *info, const cb_marks *marks,
                     cb_buf *out)
{
    cb_error error = cb_binding_info_ok(info) ? bind_once(lane, info, marks) : CB_E_ARGUMENT;
    return cb_bind_make(lane, info, error, "card.bound", "A card was bound to a holder.", out);
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
    return bind(lane, &info, &(cb_marks){0}, out);
}

cb_error cb_handle_bind_foreign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_foreign_reading card;
    cb_binding_info info = {0};
    cb_marks marks;
    (void)tap;
    cb_get_reading(in, &card);
    info.holder = cb_get_id(in);
    info.level = cb_cursor_u8(in);
    info.sequence = cb_cursor_u64(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_foreign_card_check(cb_host_foreign(lane->host, card.profile), &card,
                                           (int64_t)time(NULL), &info);
    if (!error)
        error = cb_marks_of(&card, &info, &marks);
    return error ? error : bind(lane, &info, &marks, out);
}

cb_error cb_handle_renew_foreign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_foreign_reading card;
    cb_renewing renewing = {.info = {.card = {{0}}}};
    cb_binding_info *info = &renewing.info;
    (void)tap;
    cb_get_reading(in, &card);
    cb_bytes binding = cb_cursor_var(in, CB_BINDING_MAX);
    cb_bytes certificates = cb_cursor_var(in, CB_FOREIGN_CERTIFICATES_LEN);
    info->sequence = cb_cursor_u64(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_renewing_judge(lane->vault, cb_host_foreign(lane->host, card.profile),
                                       &card, binding, certificates, &renewing);
    if (!error && (info->sequence <= renewing.before.sequence || !cb_binding_info_ok(info)))
        error = CB_E_ARGUMENT;
    if (!error)
        error = cb_renewing_take(lane->feed, lane->bound, &renewing);
    return cb_bind_make(lane, info, error, "card.renewed", "A card's certificates were renewed.",
                        out);
}
