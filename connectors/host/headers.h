/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Headers on their way through a relayed session: which are passed on, and which are rewritten so
 * that the citizen's browser stays on the relay's host name while the service sees its own.
 *
 * Towards the service: hop-by-hop headers (RFC 9110, 7.6.1), Host, Content-Length, Expect and
 * Forwarded ones are left out. When the caller gives Host (the relay's own), an Origin or a Referer
 * that names it is made to name the service's origin; others stay, so that the service can still
 * see a request that another site caused.
 *
 * Towards the browser: hop-by-hop headers and Alt-Svc are left out. A Location at the service's
 * origin becomes a path; a cookie's Domain that covers the service's host is removed, which makes
 * it a cookie of the relay's host. Bodies are not touched.
 */
#ifndef CB_CONNECTORS_HOST_HEADERS_H
#define CB_CONNECTORS_HOST_HEADERS_H

#include "base/cursor.h"
#include "connectors/host/fields.h"

typedef struct cb_header {
    cb_bytes name;
    cb_bytes value; /* without the white space around it */
} cb_header;

/* The next "Name: value\r\n". False at the end and for a line that is no header (then the cursor
 * has failed). */
bool cb_header_next(cb_cursor *cursor, cb_header *out);

/* Whether the name is this one, in any case. */
bool cb_header_is(const cb_header *header, const char *name);

/* The value of the first of that name; false if there is none. */
bool cb_header_find(cb_bytes headers, const char *name, cb_bytes *value);

/* Appends what goes to the service. added: the connector's own lines. CB_E_ARGUMENT for headers
 * that are not well formed. */
cb_error cb_headers_to_service(cb_bytes headers, const cb_origin *service, cb_bytes added,
                               cb_buf *out);

/* Appends what goes to the browser. CB_E_SERVICE_ANSWER for headers that are not well formed;
 * CB_E_MEMORY. */
cb_error cb_headers_to_browser(cb_bytes headers, const cb_origin *service, cb_buf *out);

#endif
