/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lanes: what each worker of hsmd serves, and to whom.
 *
 *   use     taps and uses of keys      front end's user
 *   log     signs heads of the log     front end's user
 *   manage  binds, makes, imports      managers' users
 *
 * A worker is one process with one thread, one listening socket and one loop: a message is taken,
 * answered, and only then is the next one taken. Slow work (making RSA keys) lives in the manage
 * lane and so stalls no tap.
 */
#ifndef CB_HSM_LANES_H
#define CB_HSM_LANES_H

#include "hsm/brake.h"
#include "hsm/config.h"
#include "hsm/loghead.h"
#include "hsm/memo.h"
#include "hsm/taps.h"

/* One bit each, so that a request can name the lanes in which it is legal. */
typedef enum cb_lane_kind {
    CB_LANE_USE = 1 << 0,
    CB_LANE_LOG = 1 << 1,
    CB_LANE_MANAGE = 1 << 2
} cb_lane_kind;

enum { CB_LANE_CONNECTIONS_MAX = 512 };

/* How many entries of the feed a worker takes: all that a database has after hsmd's memory was lost
 * within minutes, but no flood. */
#define CB_LANE_FEED_RATE ((cb_brake_rate){.each_us = 100, .burst = 100000})

/* What a worker holds; parts that its lane has no use for are NULL. */
typedef struct cb_lane {
    cb_lane_kind kind;
    unsigned index; /* of use workers */
    const cb_hsmd_config *config;
    const cb_vault *vault;
    cb_host *host;       /* use and manage; replaced when files are read anew */
    cb_taps *taps;       /* use */
    cb_feed *feed;       /* use and manage */
    cb_memo *bound;      /* use and manage: which holder each card was bound to */
    cb_memo *guesses;    /* use and manage: how often passwords were guessed (guesses.h) */
    cb_loghead *loghead; /* log */
    cb_brake complaints[CB_COMPLAINTS];
    cb_brake entries; /* of the feed, on use lanes */
} cb_lane;

/* "use-0", "log", "manage". */
void cb_lane_name(cb_lane_kind kind, unsigned index, char out[16]);

/* Whether a user may connect to a lane. */
bool cb_lane_admits(const cb_hsmd_config *config, cb_lane_kind kind, uid_t uid);

/* Signals that the loop answers to, to be installed before it: SIGTERM and SIGINT end it, SIGHUP
 * calls reload. */
void cb_lane_catch_signals(void);

/* Serves until told to end. listener is the lane's listening socket. CB_OK, or CB_E_IO when the
 * loop itself fails. */
cb_error cb_lane_serve(cb_lane *lane, int listener, void (*reload)(cb_lane *lane));

#endif
