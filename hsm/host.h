/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's card-facing identity and the card issuers it trusts, as one value that taps hold on
 * to.
 *
 * A tap keeps the value it began with, so that certificates and anchors can be read anew while taps
 * are under way.
 */
#ifndef CB_HSM_HOST_H
#define CB_HSM_HOST_H

#include "hsm/foreign.h"

typedef struct cb_host {
    cb_profile_host profile;
    cb_trust_anchor trust[CB_TRUST_MAX];
    cb_foreign_trust foreign[CB_PROFILES_MAX]; /* of profiles whose cards others issued */
    cb_buf agreement; /* what profile's certificates point into */
    cb_buf signer;
    cb_host_older older[CB_HOST_OLDER_MAX];
    cb_buf former[CB_HOST_OLDER_MAX][3]; /* what these point into */
    void *pair[CB_HOST_OLDER_MAX + 1];   /* for the keys of each, the newest last; freed with it */
    bool ready; /* whether certificates and at least one anchor are there: without them no tap can
                   begin */
    unsigned holders;
} cb_host;

/* An empty one with one holder; NULL for want of memory. */
cb_host *cb_host_new(void);

cb_host *cb_host_hold(cb_host *host);

/* Whom to trust for cards of a profile; of profile 0 and empty when nobody was named. */
const cb_foreign_trust *cb_host_foreign(const cb_host *host, uint8_t profile);

/* Frees it with its last holder. *host becomes NULL; NULL inside is allowed. */
void cb_host_release(cb_host **host);

#endif
