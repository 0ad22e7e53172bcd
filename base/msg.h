/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages between the processes of one installation.
 *
 * A message is one packet on a Unix SOCK_SEQPACKET socket: a fixed header, then a body that the
 * protocol's own functions write into a cb_buf and read with a cb_cursor. A packet arrives whole or
 * not at all. At most one open file descriptor may travel with it.
 *
 *   header (28 bytes): u16 type, u16 error, u32 id, u8 version, u8[3] zero, u8[16] request id
 *
 * type 0 is never sent. An answer repeats the question's id and, by convention, its type; its error
 * says how it went, and its body is empty or explains when the error is not CB_OK. The request id is that
 * of the log (see log.h): cb_msg_send fills it in from the thread, cb_msg_receive returns it.
 */
#ifndef CB_BASE_MSG_H
#define CB_BASE_MSG_H

#include "base/buf.h"
#include "base/cursor.h"
#include "base/id.h"

enum {
    CB_MSG_HEADER = 28,
    CB_MSG_BODY_MAX = 64 * 1024,
    CB_MSG_VERSION = 1
};

typedef struct cb_msg {
    uint16_t type;
    cb_error error;
    uint32_t id;
    cb_id request;
    cb_buf body;
    int fd; /* -1: none; a received one is owned by the message */
} cb_msg;

/* An empty message of a type. Ends with cb_msg_free. */
void cb_msg_init(cb_msg *msg, uint16_t type);

/* Wipes the body and closes a received descriptor that was not taken (set fd to -1 to take it). */
void cb_msg_free(cb_msg *msg);

/* A reader over the body. */
static inline cb_cursor cb_msg_cursor(const cb_msg *msg)
{
    return cb_cursor_over(cb_buf_bytes(&msg->body));
}

/* A connected pair of packet sockets, close-on-exec. */
cb_error cb_msg_pair(int out[2]);

/* Takes the place of a socket for this process, before anything is looked at or replaced there: of two
 * that are begun at once over a dead socket, each may find it dead, and the later would take the name
 * away from the earlier, which lives. It is a lock on the file PATH-lock, which is made where it is
 * missing (0600) and stays. It is the process's own, for as long as *out is open: no child inherits
 * it, and however the process ends, it is gone. One place is taken once in a process: closing any
 * descriptor of the file gives the lock up.
 * CB_E_RUNNING when another process has it, still at free_by (monotonic); CB_E_CONFIG for a path that
 * is too long; CB_E_IO, with the reason in errno. */
#define CB_MSG_HOLD_TIME CB_SECOND /* for one that was killed and is at its end */
cb_error cb_msg_hold(const char *path, int64_t free_by, int *out);

/* Listens on a path with the given permission bits; replaces a dead socket that is in the way.
 * CB_E_RUNNING when somebody listens there, also if he accepts nobody (a second later then); CB_E_IO
 * or CB_E_DENIED, and nothing is replaced, when that cannot be told.
 * Path length is limited to 107 bytes (CB_E_CONFIG). */
cb_error cb_msg_listen(const char *path, unsigned mode, int *out);

/* The same, and looks again for so long as somebody listens there, until free_by (monotonic). Where
 * a program was killed, processes of it may be at their end with its sockets still open; they serve
 * nobody any more, and CB_MSG_FREE_TIME is enough for them. */
#define CB_MSG_FREE_TIME (3 * CB_SECOND)
cb_error cb_msg_listen_when_free(const char *path, unsigned mode, int64_t free_by, int *out);

/* Connects to a path. CB_E_CLOSED when nobody listens there, or nobody accepts for a second while others wait. */
cb_error cb_msg_connect(const char *path, int *out);

/* Sends one message; blocks until the deadline at most (see clock.h). CB_E_TIMEOUT, CB_E_CLOSED,
 * CB_E_TOO_LARGE, CB_E_IO, or the body's own error. */
cb_error cb_msg_send(int socket, const cb_msg *msg, int64_t deadline);

/* Receives one message into an initialised one (whatever it held is freed first). CB_E_TIMEOUT,
 * CB_E_CLOSED at the end, CB_E_PROTOCOL for a packet that is too short, too long or of another
 * version. CB_E_MEMORY: the packet is lost, and the descriptor with it. */
cb_error cb_msg_receive(int socket, cb_msg *msg, int64_t deadline);

/* Sends a question and receives its answer, whose id and type must match (CB_E_PROTOCOL). The answer's own
 * error is returned when the exchange itself went well. The id is chosen here. After
 * CB_E_TIMEOUT or CB_E_PROTOCOL the connection is out of step: close it. question == answer is allowed. */
cb_error cb_msg_call(int socket, cb_msg *question, cb_msg *answer, int64_t deadline);

/* Process and user of the other end (SO_PEERCRED). */
cb_error cb_msg_peer(int socket, int *pid, unsigned *uid, unsigned *gid);

#endif
