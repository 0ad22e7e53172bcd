/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A fixed number of threads that work off a bounded queue. What finds the queue full is refused at
 * once, so that an overload shows as an answer and not as a wait.
 */
#ifndef CB_BROKER_HTTP_WORKERS_H
#define CB_BROKER_HTTP_WORKERS_H

#include <stdbool.h>

#include "base/error.h"

typedef struct cb_workers cb_workers;

typedef void (*cb_job)(void *context);

cb_error cb_workers_open(unsigned threads, unsigned queue, cb_workers **out);

/* False when the queue is full, or half full for a job that only enters, or the workers are
 * stopping. */
bool cb_workers_submit(cb_workers *workers, cb_job job, void *context, bool enters);

/* Jobs that wait now. */
unsigned cb_workers_waiting(cb_workers *workers);

/* Works off what was submitted, then ends the threads; nothing more is taken. Stopping twice is no
 * error. */
void cb_workers_stop(cb_workers *workers);

/* Stops and releases. */
void cb_workers_close(cb_workers **workers);

#endif
