/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests about registration by one-time codes: of managers, who allow them, and of taps, in which
 * they are used; and of taps that renew what their card is bound with.
 */
#include "base/clock.h"
#include "base/log.h"
#include "hsm/protocol.h"
#include "hsm/registering.h"
#include "hsm/registration.h"
#include "hsm/renewing.h"
#include "hsm/request.h"

cb_error cb_handle_tap_register(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_tap_context context;
    cb_foreign_reading reading;
    cb_registration_word word;
    cb_get_context(in, &context);
    cb_get_reading(in, &reading);
    cb_cursor_copy(in, word.point, sizeof word.point);
    cb_cursor_copy(in, word.signature, sizeof word.signature);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    return cb_registering_ask(lane->taps, tap, &context, &reading, &word, out);
}

cb_error cb_handle_tap_renew(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_tap_context context;
    cb_foreign_reading reading;
    cb_get_context(in, &context);
    cb_get_reading(in, &reading);
    cb_bytes binding = cb_cursor_var(in, CB_BINDING_MAX);
    cb_bytes certificates = cb_cursor_var(in, CB_FOREIGN_CERTIFICATES_LEN);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    return cb_renewing_ask(lane->taps, tap, &context, &reading, binding, certificates, out);
}

static void tell_renewed(const cb_tap *tap, const cb_binding_info *info)
{
    char id[CB_ID_TEXT], card[CB_ID_TEXT], holder[CB_ID_TEXT];
    cb_id_text(&tap->id, id);
    cb_id_text(&info->card, card);
    cb_id_text(&info->holder, holder);
    cb_log(CB_LOG_WARNING, "card.renewed", "A card's certificates were renewed in a tap of it.",
           "tap", id, "card", card, "holder", holder, NULL);
}

static void tell_bound(const cb_tap *tap, const cb_id *code, const cb_binding_info *info)
{
    char id[CB_ID_TEXT], card[CB_ID_TEXT], holder[CB_ID_TEXT], by[CB_ID_TEXT];
    cb_id_text(&tap->id, id);
    cb_id_text(&info->card, card);
    cb_id_text(&info->holder, holder);
    cb_id_text(code, by);
    cb_log(CB_LOG_WARNING, "registration.used", "A card was bound to the holder of a code.", "tap",
           id, "card", card, "holder", holder, "code", by, NULL);
}

cb_error cb_handle_tap_bind(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_binding_info info;
    cb_feed_head feed;
    cb_get_id(in); /* the tap */
    uint64_t sequence = cb_cursor_u64(in);
    cb_get_feed_head(in, &feed);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    bool renews = tap->renewing != NULL;
    cb_error error = renews ? cb_renewing_bind(lane->taps, tap, sequence, &feed, &info)
                            : cb_registering_bind(lane->taps, tap, sequence, &feed, &info);
    if (!error)
        error = lane->vault->binding_make(lane->vault->context, &info, out);
    if (error)
        cb_buf_reset(out);
    else if (renews)
        tell_renewed(tap, &info);
    else
        tell_bound(tap, cb_registering_code(tap), &info);
    return error;
}

/* ---- Of managers ---- */

static void tell(const char *event, const char *text, const cb_id *code, const cb_id *holder)
{
    char by[CB_ID_TEXT], whose[CB_ID_TEXT] = "";
    cb_id_text(code, by);
    if (holder)
        cb_id_text(holder, whose);
    cb_log(CB_LOG_INFO, event, text, "code", by, "holder", holder ? whose : NULL, NULL);
}

cb_error cb_handle_registration_allow(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_registration_grant grant;
    (void)tap;
    (void)out;
    cb_id code = cb_get_id(in);
    cb_get_registration(in, &grant);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    int64_t left = grant.until - cb_clock_wall_us();
    if (left <= 0 || left > (int64_t)CB_REGISTRATION_MOST_S * CB_SECOND || grant.state ||
        grant.wrong)
        return CB_E_ARGUMENT;
    cb_error error = lane->guesses ? cb_registration_allow(lane->guesses, &code, &grant) : CB_E_IO;
    if (!error)
        tell("registration.allowed", "A manager allowed a holder to bind a card by a code.", &code,
             &grant.holder);
    return error;
}

cb_error cb_handle_registration_withdraw(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    (void)tap;
    (void)out;
    cb_id code = cb_get_id(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = lane->guesses ? cb_registration_withdraw(lane->guesses, &code) : CB_E_IO;
    if (!error)
        tell("registration.withdrawn", "A manager withdrew a code.", &code, NULL);
    return error;
}

cb_error cb_handle_registration_state(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_registration_grant grant;
    (void)tap;
    cb_id code = cb_get_id(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = lane->guesses ? cb_registration_get(lane->guesses, &code, &grant) : CB_E_IO;
    if (!error)
        cb_put_registration(out, &grant);
    return error;
}
