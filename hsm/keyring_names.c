/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/keyring_names.h"

#include <stdio.h>
#include <string.h>

#include "hsm/vault.h"

static const char *const own_names[CB_OWN_KEY_COUNT] = {
    [CB_OWN_CARD_AGREEMENT] = "card-agreement",
    [CB_OWN_CARD_SIGNATURE] = "card-signature",
    [CB_OWN_LOG] = "log",
    [CB_OWN_IMPORT] = "import",
    [CB_OWN_TERMINALS] = CB_TERMINAL_CA_KEY,
};

const char *cb_own_key_name(cb_own_key key)
{
    return (unsigned)key < CB_OWN_KEY_COUNT ? own_names[key] : NULL;
}

cb_error cb_own_key_parse(const char *name, cb_own_key *out)
{
    for (unsigned i = 0; i < CB_OWN_KEY_COUNT; i++) {
        if (strcmp(own_names[i], name) == 0) {
            *out = (cb_own_key)i;
            return CB_OK;
        }
    }
    return CB_E_NOT_FOUND;
}

void cb_own_key_label(cb_own_key key, char out[48])
{
    snprintf(out, 48, "cardbroker.%s", own_names[key]);
}

void cb_card_pair_label(cb_own_key key, unsigned number, char out[48])
{
    if (number == 1)
        cb_own_key_label(key, out);
    else
        snprintf(out, 48, "cardbroker.%s.%u", own_names[key], number);
}

void cb_generation_id(uint32_t generation, uint8_t out[4])
{
    for (int i = 3; i >= 0; i--, generation >>= 8)
        out[i] = (uint8_t)generation;
}

const char *cb_kek_label(cb_kek kind)
{
    static const char *const labels[CB_KEK_KINDS] = {CB_LABEL_KEK_USE, CB_LABEL_KEK_REWRAP,
                                                     CB_LABEL_KEK_RELEASE};
    return labels[kind];
}
