/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * connectord's processes, forked from the test so that its faults strike them too, and a service
 * that nothing strikes and that keeps what it received. A crash of any of them, or the end of one
 * that should stay, is remembered.
 */
#ifndef CB_TESTS_FAULT_CONNECTORS_WORLD_H
#define CB_TESTS_FAULT_CONNECTORS_WORLD_H

#include <sys/types.h>

#include "tests/integration/connectors_support.h"
#include "tests/support/faults.h"

/* What a flow returns when it was given what it must not be; it is no listed error. */
#define WRONG CB_ERROR_COUNT

enum { WORKERS = 4 /* dispatcher, opener, mtls, jwt */, OPENER = 1, MTLS = 2, JWT = 3 };
enum { PAGE = 95 * 1200, FORM = 100000 }; /* sizes of what is relayed */

typedef struct connectors_world {
    bench b;
    holder holder, other; /* anna, with an elliptic curve; bert, with RSA */
    pid_t service;
    int port, other_port; /* good, and with a certificate of another name */
    pid_t worker[WORKERS];
    /* What is said when nothing fails: the key's thumbprint, how it is enrolled, a description. */
    char kid[64], jwks[1024], about_jwt[8192];
} connectors_world;

/* One at a time: the wrapped functions know it. */
void connectors_world_make(connectors_world *w);
void connectors_world_end(connectors_world *w);

/* Ends a worker if it lives, and starts it (again). */
void connectors_world_start(connectors_world *w, unsigned worker);

/* Waits until it does its work; false when it has ended, or a zygote refuses orders for now. */
bool connectors_world_await(connectors_world *w, unsigned worker);

/* All workers live, and no login's process crashed or gave up since this was last asked. */
void connectors_world_is_well(connectors_world *w);

/* Memory and descriptors that the workers hold, when their logins are over. For fault_also. */
long connectors_world_kept(void);

/* The next whole request that the service received and that was not asked for before: who sent it,
 * and what. False when there is none. */
bool next_request(connectors_world *w, char who[64], cb_buf *request);

/* Each request that the service received since this was last asked is what it should be. */
void look_at_requests(connectors_world *w);

/* What a form holds, FORM characters. */
const char *form_text(void);

/* Whether the holder's key was used for this digest, and made this signature. */
bool was_signed(cb_bytes digest, cb_bytes signature);

/* A holder's log-in with that connector, configuration and enrolment. */
cb_error world_log_in(connectors_world *w, holder *who, const char *connector, const char *config,
                      const char *enrolment, cb_login_result *result, cb_session **session);

#endif
