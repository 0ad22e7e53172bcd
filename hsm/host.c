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
    host->profile.trust = host->trust;
    host->holders = 1;
    return host;
}

cb_host *cb_host_hold(cb_host *host)
{
    host->holders++;
    return host;
}

void cb_host_release(cb_host **host)
{
    cb_host *old = *host;
    *host = NULL;
    if (!old || --old->holders > 0)
        return;
    cb_buf_free(&old->agreement);
    cb_buf_free(&old->signer);
    free(old);
}
