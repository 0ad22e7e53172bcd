/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/client_pool.h"

static cb_error get_head(const cb_msg *msg, cb_tree_head *out)
{
    cb_cursor in = cb_msg_cursor(msg);
    cb_get_head(&in, out);
    return cb_cursor_done(&in) ? CB_OK : CB_E_PROTOCOL;
}

cb_error cb_hsm_sign_head(cb_hsm *hsm, const cb_tree_head *head, const cb_merkle_proof *extends,
                          cb_signed_head *out, cb_tree_head *remembered)
{
    cb_msg msg;
    cb_tree_head other;
    cb_msg_init(&msg, CB_HSM_LOG_SIGN);
    cb_put_head(&msg.body, head);
    cb_merkle_proof_put(&msg.body, extends);
    cb_error error = cb_hsm_call(hsm, CB_LANE_OF_LOG, &msg, cb_hsm_call_time);
    if (!error) {
        cb_cursor in = cb_msg_cursor(&msg);
        cb_get_signed_head(&in, out);
        error = cb_cursor_done(&in) ? CB_OK : CB_E_PROTOCOL;
    } else if (error == CB_E_HSM_HEAD && get_head(&msg, remembered ? remembered : &other)) {
        error = CB_E_PROTOCOL;
    }
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_head_state(cb_hsm *hsm, cb_tree_head *remembered)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_LOG_STATE);
    cb_error error = cb_hsm_call(hsm, CB_LANE_OF_LOG, &msg, cb_hsm_call_time);
    if (!error)
        error = get_head(&msg, remembered);
    cb_msg_free(&msg);
    return error;
}
