/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/profile.h"

const cb_card_profile *cb_profile_find(uint8_t id)
{
    static const cb_card_profile *const profiles[] = {&cb_profile_native};
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
        if (profiles[i]->id == id)
            return profiles[i];
    }
    return NULL;
}

bool cb_profile_verify(const cb_card_claim *claim, cb_bytes card_point)
{
    return cb_p256_verify(card_point, &claim->signed_digest, CB_BYTES_OF(claim->signature));
}
