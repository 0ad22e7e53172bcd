/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One worker process of hsmd: opens the token, reads what its lane remembers, shuts itself in,
 * serves.
 */
#ifndef CB_HSM_WORKER_H
#define CB_HSM_WORKER_H

#include "hsm/lanes.h"

typedef struct cb_worker_plan {
    cb_lane_kind kind;
    unsigned index;
    int listener;
    const cb_hsmd_config *config;
    const cb_buf *pin;
    char name[16];
} cb_worker_plan;

/* cb_worker_main of base/supervise.h; context is a cb_worker_plan. Exits with CB_WORKER_EXIT_FATAL
 * for a configuration that starting again cannot mend. */
int cb_hsmd_worker(void *context, unsigned index);

#endif
