/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/client_pool.h"

static cb_error call(cb_hsm *hsm, unsigned lane, cb_msg *msg)
{
    return cb_hsm_call(hsm, lane, msg, cb_hsm_call_time);
}

static cb_error begin_at(cb_hsm *hsm, unsigned lane, uint8_t profile, const cb_id *terminal,
                         cb_id *tap, cb_buf *script)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_TAP_BEGIN);
    cb_buf_put_u8(&msg.body, profile);
    cb_put_id(&msg.body, terminal);
    cb_error error = call(hsm, lane, &msg);
    if (!error) {
        cb_cursor in = cb_msg_cursor(&msg);
        *tap = cb_get_id(&in);
        cb_buf_put(script, cb_cursor_rest(&in));
        error = cb_cursor_ok(&in) ? cb_buf_error(script) : CB_E_PROTOCOL;
    }
    cb_msg_free(&msg);
    return error;
}

/* Another worker may serve when one does not. One that took too long has used up the time of the
 * call. */
static bool try_another(cb_error error) { return error == CB_E_HSM_DOWN || error == CB_E_BUSY; }

cb_error cb_hsm_tap_begin(cb_hsm *hsm, uint8_t profile, const cb_id *terminal, cb_id *tap,
                          cb_buf *script)
{
    uint64_t tried = 0;
    cb_error error = CB_E_HSM_DOWN;
    for (;;) {
        int lane = cb_hsm_least_busy(hsm, tried);
        if (lane < 0)
            break;
        cb_error at = begin_at(hsm, (unsigned)lane, profile, terminal, tap, script);
        if (!try_another(at))
            return at;
        /* That one is full says more than that another is down. */
        error = error == CB_E_BUSY ? error : at;
        tried |= UINT64_C(1) << lane;
    }
    cb_hsm_workers(hsm, true);
    return error;
}

cb_error cb_hsm_tap_challenge(cb_hsm *hsm, const cb_tap_context *context, cb_bytes answers,
                              cb_bytes pin, cb_bytes binding, cb_buf *script)
{
    cb_msg msg;
    if (answers.len > CB_SCRIPT_BYTES_MAX || pin.len > CB_PIN_CIPHERTEXT_MAX)
        return CB_E_TOO_LARGE;
    if (binding.len > CB_BINDING_MAX)
        return CB_E_HSM_RECORD;
    cb_msg_init(&msg, CB_HSM_TAP_CHALLENGE);
    cb_put_context(&msg.body, context);
    cb_buf_put_var(&msg.body, answers);
    cb_buf_put_var(&msg.body, pin);
    cb_buf_put_var(&msg.body, binding);
    cb_error error = call(hsm, cb_hsm_lane_of(&context->tap), &msg);
    if (!error) {
        cb_buf_put(script, cb_buf_bytes(&msg.body));
        error = cb_buf_error(script);
    }
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_tap_finish(cb_hsm *hsm, const cb_id *tap, cb_bytes answers, cb_card_claim *claim)
{
    cb_msg msg;
    if (answers.len > CB_SCRIPT_BYTES_MAX)
        return CB_E_TOO_LARGE;
    cb_msg_init(&msg, CB_HSM_TAP_FINISH);
    cb_put_id(&msg.body, tap);
    cb_buf_put_var(&msg.body, answers);
    cb_error error = call(hsm, cb_hsm_lane_of(tap), &msg);
    if (!error || error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED) {
        cb_cursor in = cb_msg_cursor(&msg);
        cb_get_claim(&in, claim);
        error = cb_cursor_done(&in) ? error : CB_E_PROTOCOL;
    }
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_tap_activate(cb_hsm *hsm, const cb_id *tap, cb_bytes binding,
                             const cb_feed_head *feed, cb_activation *out)
{
    cb_msg msg;
    if (binding.len > CB_BINDING_MAX)
        return CB_E_HSM_RECORD;
    cb_msg_init(&msg, CB_HSM_TAP_ACTIVATE);
    cb_put_id(&msg.body, tap);
    cb_buf_put_var(&msg.body, binding);
    cb_put_feed_head(&msg.body, feed);
    cb_error error = call(hsm, cb_hsm_lane_of(tap), &msg);
    if (!error || error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED) {
        cb_cursor in = cb_msg_cursor(&msg);
        cb_get_activation(&in, out);
        error = cb_cursor_done(&in) ? error : CB_E_PROTOCOL;
    }
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_tap_password(cb_hsm *hsm, const cb_id *tap, cb_bytes before,
                             const cb_feed_head *feed, cb_buf *binding)
{
    cb_msg msg;
    if (before.len > CB_BINDING_MAX)
        return CB_E_HSM_RECORD;
    cb_msg_init(&msg, CB_HSM_TAP_PASSWORD);
    cb_put_id(&msg.body, tap);
    cb_buf_put_var(&msg.body, before);
    cb_put_feed_head(&msg.body, feed);
    cb_error error = call(hsm, cb_hsm_lane_of(tap), &msg);
    if (!error)
        cb_buf_put(binding, cb_buf_bytes(&msg.body));
    cb_msg_free(&msg);
    return error ? error : cb_buf_error(binding);
}

cb_error cb_hsm_tap_open_key(cb_hsm *hsm, const cb_id *tap, cb_bytes sealed,
                             const cb_intent_proof *proof)
{
    cb_msg msg;
    if (sealed.len > CB_SEALED_MAX)
        return CB_E_HSM_RECORD;
    if (proof->path.count > CB_MERKLE_PROOF_MAX)
        return CB_E_HSM_INTENT;
    cb_msg_init(&msg, CB_HSM_TAP_OPEN_KEY);
    cb_put_id(&msg.body, tap);
    cb_buf_put_var(&msg.body, sealed);
    /* hsmd makes the intent itself; of this one it needs the time only. */
    cb_buf_put_u64(&msg.body, (uint64_t)proof->intent.time);
    cb_buf_put_u64(&msg.body, proof->index);
    cb_put_head(&msg.body, &proof->head);
    cb_put_digest(&msg.body, &proof->head_mac);
    cb_merkle_proof_put(&msg.body, &proof->path);
    cb_error error = call(hsm, cb_hsm_lane_of(tap), &msg);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_use(cb_hsm *hsm, const cb_id *tap, uint8_t operation, uint8_t hash, cb_bytes data,
                    cb_buf *result, cb_buf *receipt)
{
    cb_msg msg;
    if (data.len > CB_USE_DATA_MAX)
        return CB_E_TOO_LARGE;
    cb_msg_init(&msg, CB_HSM_TAP_USE);
    cb_put_id(&msg.body, tap);
    cb_buf_put_u8(&msg.body, operation);
    cb_buf_put_u8(&msg.body, hash);
    cb_buf_put_var(&msg.body, data);
    cb_error error = call(hsm, cb_hsm_lane_of(tap), &msg);
    if (!error) {
        cb_cursor in = cb_msg_cursor(&msg);
        cb_buf_put(result, cb_cursor_var(&in, CB_USE_RESULT_MAX));
        cb_buf_put(receipt, cb_cursor_var(&in, CB_RECEIPT_MAX));
        error = !cb_cursor_done(&in)   ? CB_E_PROTOCOL
                : cb_buf_error(result) ? cb_buf_error(result)
                                       : cb_buf_error(receipt);
    }
    cb_msg_free(&msg);
    return error;
}

void cb_hsm_tap_end(cb_hsm *hsm, const cb_id *tap)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_TAP_END);
    cb_put_id(&msg.body, tap);
    call(hsm, cb_hsm_lane_of(tap), &msg);
    cb_msg_free(&msg);
}

static cb_error feed_state(cb_hsm *hsm, unsigned lane, cb_feed_head *out)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_FEED_STATE);
    cb_error error = call(hsm, lane, &msg);
    if (!error) {
        cb_cursor in = cb_msg_cursor(&msg);
        cb_get_feed_head(&in, out);
        error = cb_cursor_done(&in) ? CB_OK : CB_E_PROTOCOL;
    }
    cb_msg_free(&msg);
    return error;
}

static cb_error feed_extend(cb_hsm *hsm, unsigned lane, const cb_feed_entry *entries, size_t count)
{
    cb_msg msg;
    if (count > CB_HSM_FEED_ENTRIES_MAX)
        return CB_E_TOO_LARGE;
    cb_msg_init(&msg, CB_HSM_FEED_EXTEND);
    cb_buf_put_u16(&msg.body, (uint16_t)count);
    for (size_t i = 0; i < count; i++)
        cb_put_feed_entry(&msg.body, &entries[i]);
    cb_error error = call(hsm, lane, &msg);
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_feed_state(cb_hsm *hsm, const cb_id *tap, cb_feed_head *out)
{
    return feed_state(hsm, cb_hsm_lane_of(tap), out);
}

cb_error cb_hsm_feed_extend(cb_hsm *hsm, const cb_id *tap, const cb_feed_entry *entries,
                            size_t count)
{
    return feed_extend(hsm, cb_hsm_lane_of(tap), entries, count);
}

/* What to do at one worker after another until one answers; entries NULL asks for the state. */
static cb_error any(cb_hsm *hsm, const cb_feed_entry *entries, size_t count, cb_feed_head *out)
{
    uint64_t tried = 0;
    cb_error error = CB_E_HSM_DOWN;
    for (;;) {
        int lane = cb_hsm_least_busy(hsm, tried);
        if (lane < 0)
            break;
        error = entries ? feed_extend(hsm, (unsigned)lane, entries, count)
                        : feed_state(hsm, (unsigned)lane, out);
        if (!try_another(error))
            return error;
        tried |= UINT64_C(1) << lane;
    }
    cb_hsm_workers(hsm, true);
    return error;
}

cb_error cb_hsm_feed_state_any(cb_hsm *hsm, cb_feed_head *out) { return any(hsm, NULL, 0, out); }

cb_error cb_hsm_feed_extend_any(cb_hsm *hsm, const cb_feed_entry *entries, size_t count)
{
    return count == 0 ? CB_OK : any(hsm, entries, count, NULL);
}

static cb_error certify(cb_hsm *hsm, unsigned lane, const cb_id *terminal, cb_bytes request,
                        cb_buf *certificate)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_CERTIFY);
    cb_put_id(&msg.body, terminal);
    cb_buf_put_var(&msg.body, request);
    cb_error error = call(hsm, lane, &msg);
    if (!error) {
        cb_buf_put(certificate, cb_buf_bytes(&msg.body));
        error = cb_buf_error(certificate);
    }
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_certify_terminal(cb_hsm *hsm, const cb_id *terminal, cb_bytes request,
                                 cb_buf *certificate)
{
    uint64_t tried = 0;
    cb_error error = CB_E_HSM_DOWN;
    if (request.len < 128 || request.len > CB_HSM_CSR_MAX / 2)
        return CB_E_FORMAT;
    for (;;) {
        int lane = cb_hsm_least_busy(hsm, tried);
        if (lane < 0)
            break;
        error = certify(hsm, (unsigned)lane, terminal, request, certificate);
        if (!try_another(error))
            return error;
        tried |= UINT64_C(1) << lane;
    }
    cb_hsm_workers(hsm, true);
    return error;
}
