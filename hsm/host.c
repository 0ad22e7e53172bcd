/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/host.h"

#include <stdlib.h>

cb_host *cb_host_new(void)
{
    cb_host *host = calloc(1, sizeof *host);
    if (!host)
        return NULL;
    cb_buf_init(&host->agreement, CB_HOST_CERTIFICATE_MAX);
    cb_buf_init(&host->signer, CB_HOST_CERTIFICATE_MAX);
    for (size_t i = 0; i < CB_PROFILES_MAX; i++)
        cb_foreign_trust_init(&host->foreign[i]);
    for (size_t i = 0; i < CB_HOST_OLDER_MAX; i++) {
        for (size_t k = 0; k < 3; k++)
            cb_buf_init(&host->former[i][k], CB_HOST_CERTIFICATE_MAX);
    }
    host->profile.trust = host->trust;
    host->profile.older = host->older;
    host->holders = 1;
    return host;
}

cb_host *cb_host_hold(cb_host *host)
{
    host->holders++;
    return host;
}

const cb_foreign_trust *cb_host_foreign(const cb_host *host, uint8_t profile)
{
    static const cb_foreign_trust nobody;
    for (size_t i = 0; i < CB_PROFILES_MAX; i++) {
        if (host->foreign[i].profile == profile)
            return &host->foreign[i];
    }
    return &nobody;
}

void cb_host_release(cb_host **host)
{
    cb_host *old = *host;
    *host = NULL;
    if (!old || --old->holders > 0)
        return;
    for (size_t i = 0; i < CB_PROFILES_MAX; i++)
        cb_foreign_trust_free(&old->foreign[i]);
    for (size_t i = 0; i < CB_HOST_OLDER_MAX; i++) {
        for (size_t k = 0; k < 3; k++)
            cb_buf_free(&old->former[i][k]);
    }
    for (size_t i = 0; i <= CB_HOST_OLDER_MAX; i++)
        free(old->pair[i]);
    cb_buf_free(&old->agreement);
    cb_buf_free(&old->signer);
    free(old);
}
