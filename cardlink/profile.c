/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/profile.h"

static const cb_card_profile *const profiles[] = {&cb_profile_native, &cb_profile_piv,
                                                &cb_profile_jpki, &cb_profile_scp03};

enum { PROFILES = sizeof profiles / sizeof *profiles };

const cb_card_profile *cb_profile_find(uint8_t id)
{
    for (size_t i = 0; i < PROFILES; i++) {
        if (profiles[i]->id == id)
            return profiles[i];
    }
    return NULL;
}

const cb_card_profile *cb_profile_named(const char *name)
{
    for (size_t i = 0; i < PROFILES; i++) {
        if (strcmp(profiles[i]->name, name) == 0)
            return profiles[i];
    }
    return NULL;
}

bool cb_profile_verify(const cb_card_claim *claim, const cb_card_keys *keys)
{
    const cb_card_key *key = cb_card_keys_find(keys, claim->signature.use);
    return key && cb_card_key_verify(key, &claim->signature);
}
