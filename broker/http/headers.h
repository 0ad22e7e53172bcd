/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Headers of every answer that is the broker's own. An API for programs: nothing here is to be
 * shown, framed, guessed at or kept by a browser or a cache.
 */
#ifndef CB_BROKER_HTTP_HEADERS_H
#define CB_BROKER_HTTP_HEADERS_H

static const char *const cb_common_headers[][2] = {
    {"Cache-Control", "no-store"},
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"},
    {"X-Content-Type-Options", "nosniff"},
};

/* To clients that came over TLS. */
#define CB_HSTS_HEADER "Strict-Transport-Security"
#define CB_HSTS_VALUE "max-age=31536000"

#endif
