/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/store/store.h"

static cb_error hsm_sign(void *hsm, const cb_tree_head *head, const cb_merkle_proof *extends,
                         cb_signed_head *out, cb_tree_head *remembered)
{
    return cb_hsm_sign_head(hsm, head, extends, out, remembered);
}

static cb_error hsm_state(void *hsm, cb_tree_head *remembered)
{
    return cb_hsm_head_state(hsm, remembered);
}

cb_head_signer cb_head_signer_hsm(cb_hsm *hsm)
{
    return (cb_head_signer){hsm, hsm_sign, hsm_state};
}
