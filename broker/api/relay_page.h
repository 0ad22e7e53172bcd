/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The one page that the broker itself shows on a session's host name: why there is no session.
 */
#ifndef CB_BROKER_API_RELAY_PAGE_H
#define CB_BROKER_API_RELAY_PAGE_H

#include "broker/http/stream.h"

/* Answers with a small page in plain HTML that names the error's code and says what to do. Status by the error's class. */
cb_error cb_relay_page(cb_stream *stream, cb_error error);

#endif
