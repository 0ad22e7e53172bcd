/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/ready.h"

/* Whatever keeps the log lane from signing is the key service's to mend, but that there was no
 * memory to ask it: that is the broker's own. */
static cb_error of_signer(cb_error signer)
{
    return signer == CB_OK || signer == CB_E_MEMORY ? signer : CB_E_HSM_DOWN;
}

cb_error cb_api_readiness(const cb_store_state *store, const cb_watch_view *view)
{
    if (store->error)
        return store->error;
    cb_error error = of_signer(store->signer);
    if (!error)
        error = view->hsm;
    return error ? error : view->connectors;
}
