/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Keeping child processes alive: forked workers that are started again when they end, with a delay
 * that grows while they keep ending quickly, and that are ended together with their parent.
 */
#ifndef CB_BASE_SUPERVISE_H
#define CB_BASE_SUPERVISE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Runs in the child; its return value is the child's exit status. */
typedef int (*cb_worker_main)(void *context, unsigned index);

typedef struct cb_worker {
    const char *name; /* for the log */
    cb_worker_main main;
    void *context;
    unsigned index;
    bool deaf;           /* SIGHUP is not passed on to it */
    pid_t pid;           /* 0: not running */
    int64_t started;     /* monotonic */
    int64_t restart_at;  /* monotonic; when not running */
    unsigned failures;   /* in a row, each within ten seconds of its start */
} cb_worker;

/* Exit status with which a worker says that starting again is no use (a wrong configuration): the
 * supervisor then stops everything and returns CB_E_CONFIG. */
enum { CB_WORKER_EXIT_FATAL = 78 };

/* Starts the workers and keeps them running until SIGTERM or SIGINT, then ends them (SIGTERM, after
 * twenty seconds SIGKILL) and returns CB_OK. SIGHUP is passed on to every worker that is not deaf; when all are, it is logged ("hangup.ignored")
 * and changes nothing. Children die with the parent (PR_SET_PDEATHSIG). Delays: 10 ms after a first failure, doubled each time, at most 5 s.
 * ready, which may be NULL, is called once after the first start of all. */
cb_error cb_supervise(cb_worker *workers, unsigned count, void (*ready)(void *), void *context);

#endif
