/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One connection of a client: its handshake, and then bytes between TLS and a plain socket pair
 * whose other end is the HTTP server's. What libmicrohttpd answers by itself is put into other
 * words on the way. Each direction holds at most one piece that the receiver had no room for, and
 * reads nothing more until that is gone: so a slow reader slows the writer, and memory stays
 * constant however much flows.
 *
 * A link belongs to one event loop and is never touched by another thread.
 */
#ifndef CB_BROKER_HTTP_LINK_H
#define CB_BROKER_HTTP_LINK_H

#include "broker/http/limits.h"
#include "broker/http/peer.h"
#include "broker/http/read_ahead.h"
#include "broker/http/rejection.h"
#include "broker/http/tls.h"
#include "broker/http/turn.h"

enum { CB_LINK_PIECE = 16 * 1024 /* a TLS record's content */ };

struct WOLFSSL;

typedef enum cb_link_state {
    CB_LINK_HELLO, /* the client's first message is not complete */
    CB_LINK_HANDSHAKE,
    CB_LINK_OPEN,
    CB_LINK_CLOSING, /* all was sent; waits for the client to see it */
    CB_LINK_DEAD     /* to be freed */
} cb_link_state;

/* Bytes that wait for room at the receiver. */
typedef struct cb_link_way {
    uint8_t *piece; /* NULL: none */
    size_t at, len;
    bool ended; /* the sender's end was seen */
    bool shut;  /* and passed on */
} cb_link_way;

typedef struct cb_link {
    struct cb_link *previous, *next; /* the loop's list */
    struct cb_link *todo;            /* the loop's list of links that need attention */
    bool listed;                     /* there */
    int socket;                      /* to the client */
    int inner;     /* to the HTTP server; -1 until the handshake is done and after it closed */
    cb_turn *turn; /* with the HTTP server, as soon as inner is there */
    struct WOLFSSL *session; /* NULL: plain, a process on this machine */
    cb_ahead ahead;          /* of what the session has read */
    cb_tls *tls;
    cb_tls_shown shown;
    cb_link_state state;
    cb_link_way up, down;               /* from the client, to the client */
    bool wants_write;                   /* the handshake waits to write before it reads on */
    bool again;                         /* stopped for fairness with more to do */
    bool handed;                        /* the HTTP server has the other end */
    bool stopping;                      /* the program is */
    bool shaken;                        /* counted as a handshake that was done */
    uint8_t foreign[CB_REJECTION_HEAD]; /* the start of an answer that is not the server's own */
    size_t foreign_len;
    cb_peer peer;
    cb_address address;                   /* counted under it; not for processes on this machine */
    int64_t began;                        /* of the connection, then of its closing; monotonic */
    int64_t active;                       /* last byte in either direction */
    int64_t turn_began;                   /* the client's present request */
    uint64_t turn_bytes;                  /* of it so far; 0: the client has nothing outstanding */
    uint32_t socket_events, inner_events; /* asked of epoll at present */
    bool inner_polled;
    bool inner_closed; /* the server's end is closed, with bytes left to read */
    int low_mark;      /* bytes that make the socket readable */
    bool told;         /* that the client has ended its side */
    bool gave;         /* the HTTP server something to read; the loop's to reset */
    bool given;        /* in the loop's list of those who did */
    struct cb_link *next_given;
} cb_link;

/* The ways an open link goes on with: bytes come from the one side, or the other has room. */
enum { CB_LINK_UP = 1, CB_LINK_DOWN = 2, CB_LINK_BOTH = CB_LINK_UP | CB_LINK_DOWN };

/* Goes on with whatever is possible now. scratch has CB_LINK_PIECE bytes. When the handshake has
 * just ended the state is CB_LINK_OPEN and handed is false: the caller makes the socket pair. */
void cb_link_step(cb_link *link, unsigned ways, uint8_t *scratch);

/* What to wait for (EPOLLIN, EPOLLOUT) on the two sockets. */
uint32_t cb_link_socket_events(const cb_link *link);
uint32_t cb_link_inner_events(const cb_link *link);

/* Whether the HTTP server may write or close before it is given something. */
bool cb_link_expects(const cb_link *link);

/* Whether its time is over; sets the state to CB_LINK_DEAD then. stopping: idle connections, those
 * of which nothing is expected, have a second left. */
void cb_link_check_time(cb_link *link, const cb_limits *limits, bool stopping, int64_t now);

/* Closes and releases what the link holds, not the link. */
void cb_link_release(cb_link *link);

#endif
