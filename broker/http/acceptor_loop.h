/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the acceptor and its event loops share; for acceptor*.c only.
 */
#ifndef CB_BROKER_HTTP_ACCEPTOR_LOOP_H
#define CB_BROKER_HTTP_ACCEPTOR_LOOP_H

#include <pthread.h>
#include <stdatomic.h>

#include "broker/http/acceptor.h"
#include "broker/http/link.h"

typedef struct cb_listener {
    int socket;  /* -1: none any more */
    int held;    /* the lock for a local one's name; -1: none */
    cb_tls *tls; /* NULL: local */
    uint32_t users[CB_LOCAL_USERS_MAX];
    size_t user_count;
} cb_listener;

typedef struct cb_loop {
    cb_acceptor *acceptor;
    unsigned number;
    pthread_t thread;
    bool started;
    int epoll;
    int wake;            /* eventfd */
    atomic_uint carried; /* links, and arrivals */
    pthread_mutex_t lock;
    cb_link *arrivals; /* that another loop accepted, linked by todo; under lock */
    cb_link *links;
    cb_link *todo;        /* dead ones, and ones that stopped for fairness */
    cb_link *given;       /* those who gave the server something since it last worked */
    int64_t last_look;    /* at the links' times */
    bool work;            /* the server has some, or was given some */
    unsigned rounds;      /* in a row in which the server was not done */
    bool drained;         /* listens no more */
    bool paused;          /* no descriptors were left: listens again after the next look */
    int64_t starved_said; /* when that was logged */
    uint8_t scratch[CB_LINK_PIECE];
} cb_loop;

struct cb_acceptor {
    cb_acceptor_sink sink;
    pthread_mutex_t limits_lock;
    cb_limits limits;
    cb_addresses *addresses; /* of connections */
    cb_addresses *shaking;   /* of handshakes under way */
    cb_listener listeners[CB_LISTENERS_MAX];
    size_t listener_count;
    cb_loop **loops;
    unsigned loop_count;
    atomic_bool draining, ending;
    atomic_uint undrained; /* loops that still listen */
    atomic_uint connections, handshakes;
    atomic_ullong accepted, refused, handshakes_done, handshakes_failed, next_connection;
};

cb_limits cb_acceptor_limits(cb_acceptor *acceptor);

/* Registers the listeners and runs until the acceptor ends. */
cb_error cb_loop_prepare(cb_loop *loop);
void *cb_loop_run(void *loop);

/* After no loop runs any more: ends what it carries, and releases it. */
void cb_loop_close(cb_loop *loop);

/* Accepts what waits at a listener, at most a batch; false when nothing more waits (or nothing can
 * be accepted now). */
bool cb_loop_accept(cb_loop *loop, cb_listener *listener);

/* A link that was just accepted is carried by the loop itself, or by the one that has the fewest:
 * that finds it among its arrivals (linked by todo), and is woken. */
void cb_loop_place(cb_loop *loop, cb_link *link);
cb_link *cb_loop_arrivals(cb_loop *loop);

/* By the loop's own thread: polls the link for the client's first bytes. */
void cb_loop_carry(cb_loop *loop, cb_link *link);

#endif
