/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests of the use lane that concern terminals.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cardlink/x509/request.h"
#include "hsm/protocol.h"
#include "hsm/request.h"
#include "hsm/terminal_certificate.h"

cb_error cb_handle_certify(cb_lane *lane, cb_tap *tap, cb_cursor *in, cb_buf *out)
{
    char text[CB_ID_TEXT];
    (void)tap;
    cb_id terminal = cb_get_id(in);
    cb_bytes request = cb_cursor_var(in, CB_X509_REQUEST_MAX);
    if (!cb_cursor_done(in))
        return CB_E_PROTOCOL;
    cb_error error = cb_feed_refresh(lane->feed);
    if (!error)
        error = cb_feed_terminal(lane->feed, &terminal);
    if (!error)
        error = cb_terminal_certificate_make(lane->vault, &terminal, request,
                                             cb_clock_wall_us() / CB_SECOND,
                                             lane->config->terminal_seconds, out);
    if (error) {
        cb_buf_reset(out);
        return error;
    }
    cb_id_text(&terminal, text);
    cb_log(CB_LOG_INFO, "terminal.certified", "The terminal CA made a certificate.", "terminal",
           text, NULL);
    return CB_OK;
}
