/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests of the use lanes: taps, and the revocation feed.
 */
#include "base/log.h"
#include "hsm/activation.h"
#include "hsm/protocol.h"
#include "hsm/request.h"

#define UNUSED(x) ((void)(x))

cb_error cb_handle_hello(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    UNUSED(tap);
    UNUSED(in);
    cb_buf_put_u32(out, lane->config->workers);
    cb_buf_put_u8(out, lane->kind != CB_LANE_USE || (lane->host && lane->host->ready));
    return CB_OK;
}

cb_error cb_handle_begin(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    UNUSED(tap);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_id id;
    uint8_t profile = cb_cursor_u8(in);
    cb_id terminal = cb_get_id(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_tap_begin(lane->taps, lane->host, profile, &terminal, &id, &script);
    if (!error) {
        cb_put_id(out, &id);
        cb_buf_put(out, cb_buf_bytes(&script));
    }
    cb_buf_free(&script);
    return error;
}

/* What was made for the card of this binding alone. A front end that was taken over might not
 * record it. */
static void tell_command(const cb_tap_context *context, cb_bytes binding)
{
    bool ends = context->purpose == CB_TAP_CARD_END;
    char id[CB_ID_TEXT], card[CB_ID_TEXT] = "";
    cb_binding_info info;
    if (cb_binding_info_read(binding, &info) == CB_OK)
        cb_id_text(&info.card, card);
    cb_id_text(&context->tap, id);
    cb_log(CB_LOG_WARNING, ends ? "card.ending" : "pin.reset",
           ends ? "The command that ends a revoked card was made."
                : "The command that gives a card a new PIN without its code was made.",
           "tap", id, "card", card, NULL);
}

cb_error cb_handle_challenge(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_tap_context context;
    cb_get_context(in, &context);
    cb_bytes answers = cb_cursor_var(in, CB_SCRIPT_BYTES_MAX);
    cb_bytes pin = cb_cursor_var(in, CB_PIN_CIPHERTEXT_MAX);
    cb_bytes binding = cb_cursor_var(in, CB_BINDING_MAX);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error =
        cb_tap_ask_card(lane->taps, tap, &context, answers, pin, binding, out);
    if (!error && (context.purpose == CB_TAP_CARD_END || context.purpose == CB_TAP_PIN_RESET))
        tell_command(&context, binding);
    return cb_only_if_good(error, out);
}

cb_error cb_handle_finish(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_card_claim claim;
    UNUSED(lane);
    cb_get_id(in);
    cb_bytes answers = cb_cursor_var(in, CB_SCRIPT_BYTES_MAX);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_tap_finish(tap, answers, &claim);
    if (!error || error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED)
        cb_put_claim(out, &claim);
    return error;
}

cb_error cb_handle_activate(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_feed_head feed;
    cb_activation activation;
    cb_get_id(in);
    cb_bytes binding = cb_cursor_var(in, CB_BINDING_MAX);
    cb_get_feed_head(in, &feed);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_tap_activate(lane->taps, tap, binding, &feed, &activation);
    if (!error || error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED)
        cb_put_activation(out, &activation);
    return error;
}

cb_error cb_handle_open_key(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_intent_place place;
    UNUSED(out);
    cb_get_id(in);
    cb_bytes sealed = cb_cursor_var(in, CB_SEALED_MAX);
    place.time = (int64_t)cb_cursor_u64(in);
    place.index = cb_cursor_u64(in);
    cb_get_head(in, &place.head);
    place.mac = cb_get_digest(in);
    cb_merkle_proof_get(in, &place.path);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    return cb_tap_open_key(lane->taps, tap, sealed, &place);
}

static void tell_use(const cb_tap *tap)
{
    char id[CB_ID_TEXT], key[CB_ID_TEXT];
    cb_id_text(&tap->id, id);
    cb_id_text(&tap->key.key, key);
    cb_log(CB_LOG_INFO, "key.used", "A key was used for a tap.", "tap", id, "key", key, "service",
           tap->key.service, NULL);
}

cb_error cb_handle_use(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_buf result = CB_BUF(CB_USE_RESULT_MAX), receipt = CB_BUF(CB_RECEIPT_MAX);
    cb_get_id(in);
    uint8_t operation = cb_cursor_u8(in);
    uint8_t hash = cb_cursor_u8(in);
    cb_bytes data = cb_cursor_var(in, CB_USE_DATA_MAX);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_tap_use(lane->taps, tap, operation, hash, data, &result, &receipt);
    if (!error) {
        cb_buf_put_var(out, cb_buf_bytes(&result));
        cb_buf_put_var(out, cb_buf_bytes(&receipt));
        tell_use(tap);
    }
    cb_buf_free(&result);
    cb_buf_free(&receipt);
    return error;
}

cb_error cb_handle_end(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    UNUSED(lane);
    UNUSED(tap);
    UNUSED(out);
    cb_get_id(in);
    return CB_OK;
}

cb_error cb_handle_feed_state(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    UNUSED(tap);
    UNUSED(in);
    cb_error error = cb_feed_refresh(lane->feed);
    if (!error) {
        cb_feed_head now = cb_feed_now(lane->feed);
        cb_put_feed_head(out, &now);
    }
    return error;
}

/* A flood of entries would fill memory and disk up to their limit in seconds, and keep the file
 * locked. */
static cb_error brake(cb_lane *lane, uint16_t count)
{
    char held[CB_HELD_TEXT];
    if (cb_brake_pass(&lane->entries, CB_LANE_FEED_RATE, count))
        return CB_OK;
    if (cb_complain(lane->complaints, CB_COMPLAINT_FEED, held))
        cb_log(CB_LOG_WARNING, "feed.flood", "More entries of the feed than a worker takes.",
               "held_back", held[0] ? held : NULL, NULL);
    return CB_E_BUSY;
}

cb_error cb_handle_feed_extend(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    char held[CB_HELD_TEXT];
    cb_feed_entry entry[CB_HSM_FEED_ENTRIES_MAX];
    UNUSED(tap);
    UNUSED(out);
    uint16_t count = cb_cursor_u16(in);
    if (count > CB_HSM_FEED_ENTRIES_MAX)
        cb_cursor_fail(in);
    for (unsigned i = 0; i < count && cb_cursor_ok(in); i++)
        cb_get_feed_entry(in, &entry[i]);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = brake(lane, count);
    if (!error)
        error = cb_feed_extend(lane->feed, entry, count);
    if (error == CB_E_STORE_FULL && cb_complain(lane->complaints, CB_COMPLAINT_FEED, held))
        cb_log(CB_LOG_ERROR, "feed.full",
               "The feed has more entries than are remembered (revocations in hsmd.conf), or there "
               "is no space for them: no tap is served until there is room.",
               "held_back", held[0] ? held : NULL, NULL);
    return error;
}
