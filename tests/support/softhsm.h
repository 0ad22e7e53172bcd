/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A SoftHSM token of one's own, in a temporary folder, with the broker's keys on it: for tests and benchmarks.
 */
#ifndef CB_TESTS_SUPPORT_SOFTHSM_H
#define CB_TESTS_SUPPORT_SOFTHSM_H

#include "hsm/initialise.h"
#include "hsm/keyring.h"

#define SOFTHSM_MODULE "/usr/lib/softhsm/libsofthsm2.so"

typedef struct softhsm {
    char folder[64];
    char lock[96];
} softhsm;

/* Makes the folder, points SOFTHSM2_CONF at it, makes token and keyring. Aborts the test program when it cannot. */
void softhsm_make(softhsm *hsm);

/* What opens the token, and its PINs, fresh for each call. */
cb_token_config softhsm_config(const softhsm *hsm);
cb_buf softhsm_pin(void);
cb_buf softhsm_so_pin(void);

cb_keyring *softhsm_open(const softhsm *hsm);

/* Removes the folder. */
void softhsm_remove(softhsm *hsm);

#endif
