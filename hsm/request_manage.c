/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests of the manage lane.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cardlink/native/native.h"
#include "hsm/generations.h"
#include "hsm/pin_reset.h"
#include "hsm/protocol.h"
#include "hsm/record_codec.h"
#include "hsm/request.h"

typedef struct made_key {
    cb_buf sealed;
    cb_buf public_key;
    cb_buf csr;
} made_key;

static made_key made_key_new(void)
{
    return (made_key){CB_BUF(CB_SEALED_MAX), CB_BUF(CB_PUBLIC_KEY_MAX), CB_BUF(CB_HSM_CSR_MAX)};
}

static void made_key_put(cb_buf *out, const cb_sealed_info *info, const made_key *made)
{
    cb_put_id(out, &info->key);
    cb_buf_put_u32(out, info->generation);
    cb_buf_put_var(out, cb_buf_bytes(&made->sealed));
    cb_buf_put_var(out, cb_buf_bytes(&made->public_key));
}

static void made_key_free(made_key *made)
{
    cb_buf_free(&made->sealed);
    cb_buf_free(&made->public_key);
    cb_buf_free(&made->csr);
}

static void log_key(const char *event, const char *message, const cb_sealed_info *info)
{
    char key[CB_ID_TEXT], holder[CB_ID_TEXT];
    cb_id_text(&info->key, key);
    cb_id_text(&info->holder, holder);
    cb_log(CB_LOG_INFO, event, message, "key", key, "holder", holder, "service", info->service,
           "algorithm", cb_key_algorithm_name(info->algorithm), NULL);
}

cb_error cb_handle_generate(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_sealed_info info;
    (void)tap;
    cb_get_sealed_info(in, &info);
    uint8_t want_csr = cb_cursor_u8(in);
    cb_bytes subject = cb_cursor_var(in, CB_HSM_SUBJECT_MAX);
    if (want_csr > 1)
        cb_cursor_fail(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    made_key made = made_key_new();
    cb_error error = lane->vault->generate(lane->vault->context, &info, subject, &made.sealed,
                                           &made.public_key, want_csr ? &made.csr : NULL);
    if (!error) {
        made_key_put(out, &info, &made);
        cb_buf_put_var(out, cb_buf_bytes(&made.csr));
        log_key("key.made", "A key was made and sealed.", &info);
    }
    made_key_free(&made);
    return error;
}

cb_error cb_handle_import(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_sealed_info info;
    (void)tap;
    cb_get_sealed_info(in, &info);
    cb_bytes wrapped = cb_cursor_var(in, CB_HSM_WRAPPED_MAX);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    made_key made = made_key_new();
    cb_error error =
        lane->vault->import(lane->vault->context, &info, wrapped, &made.sealed, &made.public_key);
    if (!error) {
        made_key_put(out, &info, &made);
        log_key("key.imported", "A key was imported and sealed.", &info);
    }
    made_key_free(&made);
    return error;
}

cb_error cb_handle_rewrap(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    (void)tap;
    cb_bytes sealed = cb_cursor_rest(in);
    return cb_only_if_good(lane->vault->rewrap(lane->vault->context, sealed, out), out);
}

cb_error cb_handle_generation(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    uint32_t generation = 0;
    char text[16];
    (void)tap;
    (void)in;
    cb_error error = lane->vault->new_generation(lane->vault->context, &generation);
    if (error)
        return error;
    cb_buf_put_u32(out, generation);
    snprintf(text, sizeof text, "%u", generation);
    cb_log(CB_LOG_INFO, "generation.made", "New key-encryption keys were made.", "generation", text,
           NULL);
    return CB_OK;
}

cb_error cb_handle_public_key(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    char name[CB_HSM_NAME_MAX + 1] = {0};
    (void)tap;
    cb_bytes text = cb_cursor_rest(in);
    if (text.len > CB_HSM_NAME_MAX || memchr(text.data, 0, text.len))
        cb_cursor_fail(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    memcpy(name, text.data, text.len);
    return cb_only_if_good(lane->vault->public_key(lane->vault->context, name, out), out);
}

cb_error cb_handle_receipt_check(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    (void)tap;
    (void)out;
    cb_bytes receipt = cb_cursor_rest(in);
    return lane->vault->receipt_check(lane->vault->context, receipt);
}

cb_error cb_handle_resume(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    char text[CB_ID_TEXT];
    (void)tap;
    (void)out;
    cb_id card = cb_get_id(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_feed_refresh(lane->feed);
    if (!error)
        error = cb_feed_resume(lane->feed, &card);
    if (error)
        return error;
    cb_id_text(&card, text);
    cb_log(CB_LOG_INFO, "card.resumed", "A manager lifted the suspension of a card.", "card", text,
           NULL);
    return CB_OK;
}

cb_error cb_handle_pin_reset(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    char card_text[CB_ID_TEXT], terminal_text[CB_ID_TEXT];
    (void)tap;
    (void)out;
    cb_id card = cb_get_id(in);
    cb_id terminal = cb_get_id(in);
    uint16_t seconds = cb_cursor_u16(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    if (seconds < CB_PIN_RESET_LEAST_S || seconds > CB_PIN_RESET_MOST_S)
        return CB_E_ARGUMENT;
    cb_error error = lane->guesses ? cb_feed_refresh(lane->feed) : CB_E_IO;
    if (!error)
        error = cb_feed_card(lane->feed, &card);
    if (!error)
        error = cb_pin_reset_allow(lane->guesses, &card, &terminal,
                                   cb_clock_wall_us() + seconds * CB_SECOND);
    if (error)
        return error;
    cb_id_text(&card, card_text);
    cb_id_text(&terminal, terminal_text);
    cb_log(CB_LOG_INFO, "pin.reset_allowed",
           "A manager allowed a card one new PIN without its code.", "card", card_text, "terminal",
           terminal_text, NULL);
    return CB_OK;
}

cb_error cb_handle_retire_generation(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    char text[8], authority[8];
    (void)tap;
    (void)out;
    uint8_t version = cb_cursor_u8(in);
    uint8_t only_ask = cb_cursor_u8(in);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    if (version == 0 || version > CB_NATIVE_VERSION_MAX || only_ask > 1)
        return CB_E_ARGUMENT;
    if (!lane->host || version >= lane->host->profile.key_version)
        return CB_E_STATE;
    if (!lane->guesses)
        return CB_E_IO;
    uint8_t key_id = lane->host->profile.key_id;
    cb_error error = only_ask ? CB_OK : cb_generations_retire(lane->guesses, key_id, version);
    if (error || only_ask)
        return error;
    snprintf(text, sizeof text, "%u", version);
    snprintf(authority, sizeof authority, "%02X", key_id);
    cb_log(CB_LOG_INFO, "generation.retired",
           "Cards that know no newer generation are not served any more.", "generation", text,
           "key_id", authority, NULL);
    return CB_OK;
}

cb_error cb_handle_status(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_hsm_state state = {.workers = lane->config->workers,
                          .separated = lane->config->users.separated};
    (void)tap;
    (void)in;
    cb_error error = lane->vault->count(lane->vault->context, &state.generation, &state.objects);
    if (!error)
        error = cb_feed_peek(lane->config->feed_path, &state.feed_number);
    if (!error)
        error = cb_loghead_peek(lane->config->log_path, &state.log_size);
    if (!error)
        cb_put_state(out, &state);
    return error;
}
