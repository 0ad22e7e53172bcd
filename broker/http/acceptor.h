/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The acceptor: the only part that listens. It accepts connections within limits, does TLS, and
 * hands the HTTP server the plain end of a socket pair together with what the handshake proved
 * about the other side (peer.h). Processes on this machine come in through a Unix socket, known by
 * their user id, without TLS and without limits.
 *
 * A few event loops (epoll), each a thread, share the listening sockets. A connection is carried by
 * the loop that accepted it, or by one that has clearly fewer, and stays there; what the HTTP
 * server has to do for it is done by that loop's thread, too.
 */
#ifndef CB_BROKER_HTTP_ACCEPTOR_H
#define CB_BROKER_HTTP_ACCEPTOR_H

#include "broker/http/limits.h"
#include "broker/http/peer.h"
#include "broker/http/tls.h"
#include "broker/http/turn.h"

enum { CB_LISTENERS_MAX = 16, CB_LOCAL_USERS_MAX = 32 };

enum { CB_LOOPS_MAX = 16 };

/* Where connections go. Called by the loops' threads, and with a loop's number (from 0) by that
 * loop's alone. */
typedef struct cb_acceptor_sink {
    void *context;
    unsigned loops; /* as many as there are threads to be */
    /* Takes the descriptor over, whatever it returns; keeps its own reference to the turn. False:
     * no room; the connection ends. */
    bool (*take)(void *context, unsigned loop, int fd, const cb_peer *peer, cb_turn *turn);
    /* The client of a connection has ended its side, or is gone. */
    void (*gone)(void *context, uint64_t connection);
    /* Does what there is to do for the loop's connections. True: there is more at once. */
    bool (*work)(void *context, unsigned loop);
    /* There is something to do when the first can be read, or when the second was written to. Both
     * stay open until the acceptor is closed. */
    void (*ready)(void *context, unsigned loop, int descriptors[2]);
} cb_acceptor_sink;

typedef struct cb_acceptor cb_acceptor;

cb_error cb_acceptor_open(const cb_limits *limits, cb_acceptor **out);

/* Listens on an address ("127.0.0.1", "::"; numeric) and port (0: any; *bound, which may be NULL,
 * gets the one taken). The entries are those of cb_tls_open. All listeners are added before
 * cb_acceptor_start. CB_E_CONFIG with the reason in why. */
cb_error cb_acceptor_listen(cb_acceptor *acceptor, const char *address, uint16_t port,
                            const cb_tls_entry *entries, size_t count, uint16_t *bound,
                            cb_buf *why);

/* Listens on a Unix socket (mode 0600 for its owner alone, 0660 for a group) for processes of these
 * users; root and the program's own user are always among them. A dead socket that is in the way is
 * replaced; who comes second to its name (cb_msg_hold), or finds it served, is told CB_E_RUNNING.
 */
cb_error cb_acceptor_listen_local(cb_acceptor *acceptor, const char *path, unsigned mode,
                                  const uint32_t *users, size_t count, cb_buf *why);

/* Makes the loops, which use the sink until the acceptor is closed. */
cb_error cb_acceptor_start(cb_acceptor *acceptor, cb_acceptor_sink sink);

/* Reads other certificates for the listener that was added as the index-th (from 0). Those of all
 * listeners come into use together, or are forgotten, by cb_acceptor_settle; connections keep what
 * they began with. Both are called by one thread at a time. */
cb_error cb_acceptor_prepare(cb_acceptor *acceptor, size_t index, const cb_tls_entry *entries,
                             size_t count, cb_buf *why);
void cb_acceptor_settle(cb_acceptor *acceptor, bool use);

/* For connections from now on; those counted already stay. Thread-safe. */
void cb_acceptor_set_limits(cb_acceptor *acceptor, const cb_limits *limits);

typedef struct cb_acceptor_state {
    unsigned connections; /* over TLS, open now */
    unsigned handshakes;  /* of them, not done yet */
    uint64_t accepted;    /* since the start */
    uint64_t refused;     /* of them: over a limit */
    uint64_t handshakes_done;
    uint64_t handshakes_failed;
} cb_acceptor_state;

void cb_acceptor_status(cb_acceptor *acceptor, cb_acceptor_state *out);

/* Takes what the kernel has already accepted, then listens no more. Idle connections end after a
 * second; the others go on. */
void cb_acceptor_drain(cb_acceptor *acceptor);

/* Closes whatever is open and ends the threads. */
void cb_acceptor_close(cb_acceptor **acceptor);

#endif
