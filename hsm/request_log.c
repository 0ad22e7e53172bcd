/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests of the log lane.
 */
#include "base/clock.h"
#include "hsm/protocol.h"
#include "hsm/request.h"

enum { HEAD_TEXT_MAX = 1024 };

static cb_error sign(const cb_lane *lane, const cb_tree_head *head, cb_signed_head *out)
{
    const cb_vault *vault = lane->vault;
    cb_buf text = CB_BUF(HEAD_TEXT_MAX);
    *out = (cb_signed_head){.head = *head, .time = cb_clock_wall_us()};
    cb_signed_head_text(lane->config->origin, out, &text);
    cb_error error = cb_buf_error(&text);
    if (!error) {
        cb_digest digest = cb_sha256(cb_buf_bytes(&text));
        error = vault->log_sign(vault->context, &digest, out->signature);
    }
    if (!error)
        error = vault->head_mac(vault->context, head, &out->mac);
    cb_buf_free(&text);
    return error;
}

/* What is signed was remembered first: the other way round, a crash in between would leave a signed
 * head that may still be contradicted. */
cb_error cb_handle_log_sign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    cb_tree_head head;
    cb_merkle_proof extends;
    cb_signed_head done;
    (void)tap;
    cb_get_head(in, &head);
    cb_merkle_proof_get(in, &extends);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_loghead_extend(lane->loghead, &head, &extends);
    if (error == CB_E_HSM_HEAD) {
        cb_tree_head now = cb_loghead_now(lane->loghead);
        cb_put_head(out, &now);
    }
    if (!error)
        error = sign(lane, &head, &done);
    if (!error)
        cb_put_signed_head(out, &done);
    return error;
}

cb_error cb_handle_log_state(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    (void)tap;
    (void)in;
    cb_tree_head now = cb_loghead_now(lane->loghead);
    cb_put_head(out, &now);
    return CB_OK;
}
