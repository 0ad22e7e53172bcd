/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * As much HTTP as it takes to fetch one thing: HTTP/1.0, so that an answer comes whole and then the
 * connection ends (RFC 9112, 9.3), without chunks.
 */
#ifndef CB_BROKER_STATUS_HTTP_H
#define CB_BROKER_STATUS_HTTP_H

#include "base/buf.h"
#include "broker/status/url.h"

enum { CB_STATUS_HEADERS_MAX = 16 * 1024 };

/* Writes a GET, or with a body a POST of a question to an OCSP responder. */
cb_error cb_status_http_ask(const cb_url *url, cb_bytes body, cb_buf *out);

/* What came until the connection ended. CB_E_SERVICE_REFUSED (a status other than 200: redirections
 * are not followed), CB_E_SERVICE_ANSWER (not HTTP, or not whole). body is borrowed from whole. */
cb_error cb_status_http_read(cb_bytes whole, cb_bytes *body);

#endif
