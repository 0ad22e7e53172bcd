/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses of issuers' lists and responders: http alone, for what is fetched is signed (RFC 5280,
 * 4.2.1.13; RFC 6960, A.1), and a fetch over TLS would have certificates of its own to look up.
 */
#ifndef CB_BROKER_STATUS_URL_H
#define CB_BROKER_STATUS_URL_H

#include <stdint.h>

#include "base/error.h"

enum { CB_URL_MAX = 1024, CB_URL_HOST_MAX = 253 };

typedef struct cb_url {
    char host[CB_URL_HOST_MAX + 1]; /* a name or an address, without brackets */
    char port[6];
    char authority[CB_URL_HOST_MAX + 16]; /* as it stands in the URL: for Host */
    char target[CB_URL_MAX + 1];          /* path and query; printable, no spaces */
} cb_url;

/* CB_E_FORMAT for anything but http://HOST[:PORT][/PATH][?QUERY]: no user, no fragment. */
cb_error cb_url_parse(const char *text, cb_url *out);

#endif
