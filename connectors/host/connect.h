/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Connections on their way, for the opener. An origin that was connected to a moment ago is
 * connected to at once, in the opener's own loop; any other, and one that does not answer there, in
 * a thread of its own, for looking a name up may take its time. Each job ends with one answer on
 * its channel.
 */
#ifndef CB_CONNECTORS_HOST_CONNECT_H
#define CB_CONNECTORS_HOST_CONNECT_H

#include <poll.h>

#include "base/id.h"
#include "base/msg.h"
#include "connectors/host/fields.h"

enum { CB_CONNECT = 2, CB_CONNECTS_MAX = 128 };

typedef struct cb_connect {
    int socket; /* the channel's own; duplicated */
    cb_origin origin;
    uint32_t id;
    cb_id request;
    int64_t deadline;
} cb_connect;

/* CB_OK: an answer follows. CB_E_BUSY, CB_E_MEMORY: nothing was begun. */
cb_error cb_connect_begin(const cb_connect *what);

/* What the loop waits for on their behalf: fills in at most CB_CONNECTS_MAX, returns how many, and
 * lowers *wait_ms (-1: for ever) to the next deadline of theirs. */
size_t cb_connect_polled(struct pollfd *out, int *wait_ms);

/* After the wait, with what cb_connect_polled() gave. */
void cb_connect_step(const struct pollfd *polled, size_t count);

/* One answer; fd -1: none. */
void cb_connect_answer(int socket, uint32_t id, cb_error error, int fd);

#endif
