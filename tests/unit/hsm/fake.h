/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An hsmd without a token, for tests: the lanes as they are, over a vault in memory.
 */
#ifndef CB_TESTS_HSM_FAKE_H
#define CB_TESTS_HSM_FAKE_H

#include <sys/types.h>

#include "hsm/lanes.h"
#include "world.h"

enum { FAKE_WORKERS = 2 };

/* Records are as hsmd writes them, with an HMAC under a fixed key; every sealed key is the same
 * P-256 key. */
extern const cb_vault fake_vault;

/* One of a sealed key that says what info does. */
/* A binding with the vault's MAC, of whatever it says. */
cb_error fake_make_binding(const cb_binding_info *info, cb_buf *binding);

cb_error fake_make_sealed(const cb_sealed_info *info, cb_buf *sealed);

/* The public half of that key. */
void fake_point(uint8_t out[CB_P256_POINT]);

typedef struct fake {
    char folder[64]; /* run and state */
    cb_hsmd_config config;
    world *w;
    void (*trust)(cb_host *host); /* says whom, for cards that others issued; NULL: nobody */
    pid_t pid[FAKE_WORKERS + 2]; /* use-0, use-1, log, manage */
    int listener[FAKE_WORKERS + 2];
} fake;

/* Makes the folder and configuration, starts nothing. */
void fake_make(fake *f, world *w);

/* A lane in this process. Its parts are freed by fake_lane_free. */
void fake_lane(fake *f, cb_lane_kind kind, unsigned index, cb_lane *out);
void fake_lane_free(cb_lane *lane);

/* One process for each lane, listening in the folder. */
void fake_start(fake *f);
void fake_kill(fake *f, unsigned which); /* SIGKILL, and waits */
void fake_restart(fake *f, unsigned which);

/* Ends the processes and removes the folder. */
void fake_end(fake *f);

#endif
