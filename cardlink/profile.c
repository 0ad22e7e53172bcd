/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/profile.h"

static const cb_card_profile *const profiles[] = {
    &cb_profile_native, &cb_profile_piv, &cb_profile_jpki, &cb_profile_scp03, &cb_profile_password};

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

uint8_t cb_profile_level(const cb_card_profile *profile, bool with_pin)
{
    uint8_t most = profile->level_with_pin;
    return with_pin ? most : cb_level_lower(CB_LEVEL_POSSESSION, most);
}

bool cb_profile_has_cards(const cb_card_profile *profile)
{
    return profile->id != CB_PROFILE_PASSWORD;
}

cb_error cb_profile_check(const cb_card_claim *claim, const cb_card_keys *keys)
{
    const cb_card_key *key = cb_card_keys_find(keys, claim->signature.use);
    return key ? cb_card_key_check(key, &claim->signature) : CB_E_CARD_PROOF;
}

bool cb_profile_verify(const cb_card_claim *claim, const cb_card_keys *keys)
{
    return cb_profile_check(claim, keys) == CB_OK;
}
