/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The requests that hsmd knows: one table of lane, state of the tap, bounds and handler for each.
 *
 * A request that is not in the table, not of this lane, out of bounds or malformed does nothing, is
 * answered with CB_E_HSM_ILLEGAL, and ends its connection: a client of this version never sends
 * one, so whoever did is not to be trusted with a second try. A request that comes in the wrong
 * state of its tap is answered with CB_E_TAP_ORDER, and ends the tap. Nothing is done before all of
 * a message was read.
 */
#ifndef CB_HSM_REQUEST_H
#define CB_HSM_REQUEST_H

#include "base/msg.h"
#include "hsm/lanes.h"

/* Handles one message and fills in an initialised answer. False: the connection must end after the
 * answer was sent. */
bool cb_request_handle(cb_lane *lane, const cb_msg *question, cb_msg *answer);

/* The name of a message type, for the log; "unknown" for others. */
const char *cb_request_name(uint16_t type);

/* A handler reads the whole body; when the body is not used up exactly it does nothing. Its error
 * is the answer's; what it wrote to out is sent along whatever the error, so an error that explains
 * nothing must leave out empty. tap is NULL for requests that concern none. */
typedef cb_error (*cb_request_handler)(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);

/* What a call wrote before it failed is not sent. */
cb_error cb_only_if_good(cb_error error, cb_buf *out);

/* The handlers, by folder of work: request_tap.c, request_log.c, request_manage.c,
 * request_bind.c, request_register.c, request_terminal.c. */
cb_error cb_handle_hello(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_begin(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_challenge(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_finish(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_activate(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_open_key(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_use(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_end(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_feed_state(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_feed_extend(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_log_sign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_log_state(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_bind_foreign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_renew_foreign(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_bind_password(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_password_salt(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_password_forgive(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_bind(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_generate(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_import(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_rewrap(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_generation(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_public_key(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_receipt_check(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_retire_generation(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_status(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_certify(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_pin_reset(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_tap_register(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
/* Makes the binding unless there was an error, and says so in the log: for the handlers that bind. */
cb_error cb_bind_make(const cb_lane *lane, const cb_binding_info *info, cb_error error,
                      const char *event, const char *text, cb_buf *out);

cb_error cb_handle_tap_renew(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_tap_bind(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_tap_password(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_registration_allow(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_registration_withdraw(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_registration_state(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);
cb_error cb_handle_resume(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out);

#endif
