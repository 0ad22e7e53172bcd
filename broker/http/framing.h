/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a request says in one way only where it ends and for whom it is (RFC 9112, 3.2, 5.1
 * and 6.3). libmicrohttpd takes more than that; what two readers in a row could read differently is
 * refused here.
 */
#ifndef CB_BROKER_HTTP_FRAMING_H
#define CB_BROKER_HTTP_FRAMING_H

#include <stdbool.h>

struct MHD_Connection;

/* False: answer 400 and close the connection, for what comes next may be part of this request. */
bool cb_framing_ok(struct MHD_Connection *connection);

#endif
