/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Watches the other processes beside the requests: whether the key service and the connectors
 * answer, and that the key service hears of revocations at once (it would at the next tap in any
 * case). So health pages answer without waiting for anybody, and an acknowledged revocation never
 * waits for an HSM.
 */
#ifndef CB_BROKER_API_WATCH_H
#define CB_BROKER_API_WATCH_H

#include "broker/store/store.h"
#include "connectors/client.h"
#include "hsm/client.h"

typedef struct cb_watch cb_watch;

typedef struct cb_watch_view {
    cb_error hsm; /* CB_OK: a use worker and the log lane answered at the last look */
    cb_error connectors;
    cb_error feed; /* of the last attempt to pass revocations on */
} cb_watch_view;

/* Looks once before it returns, then every two seconds, also while there are revocations to pass on
 * all the time; four times a second while one of the two does not answer. */
cb_error cb_watch_open(cb_store *store, cb_hsm *hsm, cb_connectors *connectors, cb_watch **out);
/* What else is to be done each time it looks at all: soon over. NULL: nothing. */
void cb_watch_duty(cb_watch *watch, void (*duty)(void *context), void *context);

void cb_watch_close(cb_watch **watch);

void cb_watch_see(cb_watch *watch, cb_watch_view *out);

/* There are new revocations: passes them on now. Does not wait. */
void cb_watch_feed(cb_watch *watch);

#endif
