/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reads the server name out of the first bytes of a TLS connection (RFC 8446, 4.1.2; RFC 6066, 3),
 * so that the certificate and whether to ask for one of the client's are settled before the TLS
 * library sees a byte.
 */
#ifndef CB_BROKER_HTTP_HELLO_H
#define CB_BROKER_HTTP_HELLO_H

#include "base/bytes.h"

enum { CB_HELLO_MAX = 16 * 1024 + 5, CB_SERVER_NAME = 256 /* 255 characters and a zero */ };

typedef enum cb_hello {
    CB_HELLO_READ,       /* name holds the server name in lower case; "" if none was sent */
    CB_HELLO_INCOMPLETE, /* more bytes are needed */
    CB_HELLO_OTHER       /* not a ClientHello in one record: name is ""; the TLS library decides */
} cb_hello;

cb_hello cb_hello_name(cb_bytes seen, char name[CB_SERVER_NAME]);

#endif
