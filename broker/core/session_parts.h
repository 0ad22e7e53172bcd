/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of session.h share.
 */
#ifndef CB_BROKER_CORE_SESSION_PARTS_H
#define CB_BROKER_CORE_SESSION_PARTS_H

#include <pthread.h>

#include "broker/core/session_table.h"

#define CB_SESSION_SWEEP_SOONEST                                                                   \
    (100 * CB_MILLISECOND) /* after the last: what ends in between is recorded together */

struct cb_sessions {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t sweeper;
    int64_t swept;
    int64_t sweep_at;
    bool stopping;
    cb_session_table table;
    char relay_domain[254];
    unsigned relay_port;
    unsigned most;
    int64_t claim;
    void (*ended)(void *, const cb_session_over *, size_t);
    void *context;
};

/* Drops a reference. An ended entry that only the table still knows lets its process go; one that
 * nobody knows is destroyed. Both without the lock. */
void cb_session_release(cb_sessions *sessions, cb_session_entry *e);

/* The sweeper's thread (argument: the cb_sessions): ends what is overdue, forgets what ended long
 * ago, until stopping. */
void *cb_session_sweeper(void *argument);

#endif
