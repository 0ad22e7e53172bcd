/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A real cardbroker-hsmd with a SoftHSM token of its own in a folder of its own, for tests.
 */
#ifndef CB_TESTS_HSMD_SUPPORT_H
#define CB_TESTS_HSMD_SUPPORT_H

#include <sys/types.h>

#include "hsm/client.h"
#include "world.h"

typedef struct hsmd {
    const char *program; /* path of cardbroker-hsmd */
    char folder[64];
    char run[80];
    char config[80];
    char log[80]; /* what it writes, unless CB_TEST_LOG is set */
    pid_t pid;
} hsmd;

/* Makes folder, token configuration, PINs and hsmd.conf; more is appended to the latter. Sets
 * SOFTHSM2_CONF. False when there is no SoftHSM here. */
bool hsmd_make(hsmd *h, const char *program, const char *more);

/* Runs hsmd with an option to its end; returns its exit status. What it prints is thrown away. */
int hsmd_run(const hsmd *h, const char *option);

/* Starts it. Stops it and removes everything; false if it did not end well. */
void hsmd_start(hsmd *h);
bool hsmd_end(hsmd *h);

/* Ends it without a word, and waits until its so many workers have gone with it. */
void hsmd_kill(hsmd *h, unsigned workers);

/* How many lines of its log hold a word. */
unsigned hsmd_logged(const hsmd *h, const char *word);

/* Waits, ten seconds at most, until hsmd answers (ping), or until its log lane does. */
cb_error hsmd_wait(cb_hsm *hsm, bool for_taps);

/* Installs the world's trust anchor and certificates for the keys of this hsmd. */
void hsmd_certify(const hsmd *h, cb_hsm *hsm, world *w);

/* The process of a worker, by the lane's name, as its log names it: the n-th child in order of
 * start. */
pid_t hsmd_worker_pid(const hsmd *h, unsigned n);

#endif
