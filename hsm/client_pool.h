/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The connections of a cb_hsm: for each worker those that are idle, and how many calls are under
 * way.
 *
 * A call takes an idle connection that still lives, or makes one, and gives it back when the
 * exchange was in step. A new connection must answer a first message soon, so that a worker that
 * does not serve costs little time.
 */
#ifndef CB_HSM_CLIENT_POOL_H
#define CB_HSM_CLIENT_POOL_H

#include <pthread.h>

#include "hsm/protocol.h"

enum {
    CB_POOL_IDLE_MAX = 64,
    CB_LANE_OF_LOG = CB_HSM_WORKERS_MAX,
    CB_LANE_OF_MANAGE,
    CB_POOL_LANES
};

typedef struct cb_pool_lane {
    int idle[CB_POOL_IDLE_MAX];
    unsigned idle_count;
    unsigned busy; /* calls under way */
} cb_pool_lane;

struct cb_hsm {
    char *run;
    pthread_mutex_t lock;
    unsigned workers; /* as found in the run folder; 0: not looked yet */
    unsigned turn;    /* where to begin looking for the least busy */
    cb_pool_lane lane[CB_POOL_LANES];
};

/* Ten seconds, and a minute. */
extern const int64_t cb_hsm_call_time, cb_hsm_long_time;

/* One exchange with a lane: the question's body is sent, and msg is the answer afterwards, also
 * when it is an error. CB_E_HSM_DOWN, CB_E_TIMEOUT, CB_E_DENIED (the socket is another user's),
 * CB_E_PROTOCOL, or the answer's own. */
cb_error cb_hsm_call(cb_hsm *hsm, unsigned lane, cb_msg *msg, int64_t time);

/* The worker that a tap lives in. */
unsigned cb_hsm_lane_of(const cb_id *tap);

/* How many workers there are: looks for their sockets when none is known, or again is set. */
unsigned cb_hsm_workers(cb_hsm *hsm, bool again);

/* The use worker with the fewest calls under way that is not in the set of bits tried, or -1. */
int cb_hsm_least_busy(cb_hsm *hsm, uint64_t tried);

#endif
