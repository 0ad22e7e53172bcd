/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers that libmicrohttpd gives by itself: it could not read the request, or would not. The link
 * finds their bytes (turn.h); here they are read, and put into the form of every other refusal.
 */
#ifndef CB_BROKER_HTTP_REJECTION_H
#define CB_BROKER_HTTP_REJECTION_H

#include "base/buf.h"
#include "broker/http/peer.h"

enum {
    CB_REJECTION_HEAD = 25, /* bytes that tell what it is: as long as an interim answer is */
    CB_REJECTION_MAX = 2048
};

typedef enum cb_rejection {
    CB_REJECTION_INCOMPLETE, /* more bytes are needed */
    CB_REJECTION_INTERIM, /* "100 Continue": the first CB_REJECTION_HEAD bytes, to be passed on */
    CB_REJECTION_FINAL    /* nothing follows it but the connection's end */
} cb_rejection;

/* Looks at the first bytes, at most CB_REJECTION_HEAD. FINAL: *status is its status, 400 when that
 * is unreadable. */
cb_rejection cb_rejection_look(cb_bytes head, unsigned *status);

/* Appends a whole HTTP answer with the status, a problem (problem.h) as its body, and a line in the
 * log. */
cb_error cb_rejection_write(unsigned status, const cb_peer *peer, cb_buf *out);

#endif
