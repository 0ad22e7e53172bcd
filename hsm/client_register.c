/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/client_pool.h"

/* Sends it, and appends the whole answer to out, which may be NULL. */
static cb_error exchange(cb_hsm *hsm, unsigned lane, cb_msg *msg, cb_buf *out)
{
    cb_error error = cb_buf_error(&msg->body);
    if (!error)
        error = cb_hsm_call(hsm, lane, msg,
                            lane == CB_LANE_OF_MANAGE ? cb_hsm_long_time : cb_hsm_call_time);
    if (!error && out) {
        cb_buf_put(out, cb_buf_bytes(&msg->body));
        error = cb_buf_error(out);
    }
    cb_msg_free(msg);
    return error;
}

static cb_error check_reading(const cb_foreign_reading *reading)
{
    if (reading->keys > CB_CARD_KEYS_MAX || reading->answers.len > CB_SCRIPT_BYTES_MAX)
        return CB_E_ARGUMENT;
    for (size_t i = 0; i < reading->keys; i++) {
        if (reading->key[i].certificate.len > CB_FOREIGN_CERTIFICATE_MAX)
            return CB_E_CERTIFICATE_FORM;
    }
    return CB_OK;
}

cb_error cb_hsm_tap_register(cb_hsm *hsm, const cb_tap_context *context,
                             const cb_foreign_reading *reading, const cb_registration_word *word,
                             cb_buf *script)
{
    cb_msg msg;
    cb_error error = check_reading(reading);
    if (error)
        return error;
    cb_msg_init(&msg, CB_HSM_TAP_REGISTER);
    cb_put_context(&msg.body, context);
    cb_put_reading(&msg.body, reading);
    cb_buf_put(&msg.body, CB_BYTES_OF(word->point));
    cb_buf_put(&msg.body, CB_BYTES_OF(word->signature));
    return exchange(hsm, cb_hsm_lane_of(&context->tap), &msg, script);
}

cb_error cb_hsm_tap_renew(cb_hsm *hsm, const cb_tap_context *context,
                          const cb_foreign_reading *reading, cb_bytes binding,
                          cb_bytes certificates, cb_buf *script)
{
    cb_msg msg;
    cb_error error = check_reading(reading);
    if (error)
        return error;
    if (binding.len > CB_BINDING_MAX || certificates.len > CB_FOREIGN_CERTIFICATES_LEN)
        return CB_E_ARGUMENT;
    cb_msg_init(&msg, CB_HSM_TAP_RENEW);
    cb_put_context(&msg.body, context);
    cb_put_reading(&msg.body, reading);
    cb_buf_put_var(&msg.body, binding);
    cb_buf_put_var(&msg.body, certificates);
    return exchange(hsm, cb_hsm_lane_of(&context->tap), &msg, script);
}

cb_error cb_hsm_tap_bind(cb_hsm *hsm, const cb_id *tap, uint64_t sequence, const cb_feed_head *feed,
                         cb_buf *binding)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_TAP_BIND);
    cb_put_id(&msg.body, tap);
    cb_buf_put_u64(&msg.body, sequence);
    cb_put_feed_head(&msg.body, feed);
    return exchange(hsm, cb_hsm_lane_of(tap), &msg, binding);
}

cb_error cb_hsm_registration_allow(cb_hsm *hsm, const cb_id *code,
                                   const cb_registration_grant *grant)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_REGISTRATION_ALLOW);
    cb_put_id(&msg.body, code);
    cb_put_registration(&msg.body, grant);
    return exchange(hsm, CB_LANE_OF_MANAGE, &msg, NULL);
}

cb_error cb_hsm_registration_withdraw(cb_hsm *hsm, const cb_id *code)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_REGISTRATION_WITHDRAW);
    cb_put_id(&msg.body, code);
    return exchange(hsm, CB_LANE_OF_MANAGE, &msg, NULL);
}

cb_error cb_hsm_registration_state(cb_hsm *hsm, const cb_id *code, cb_registration_grant *out)
{
    cb_msg msg;
    cb_buf answer = CB_BUF(64);
    cb_msg_init(&msg, CB_HSM_REGISTRATION_STATE);
    cb_put_id(&msg.body, code);
    cb_error error = exchange(hsm, CB_LANE_OF_MANAGE, &msg, &answer);
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    if (!error) {
        cb_get_registration(&in, out);
        error = cb_cursor_done(&in) ? CB_OK : CB_E_PROTOCOL;
    }
    cb_buf_free(&answer);
    return error;
}
