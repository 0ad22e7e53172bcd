/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The vault that is the token's keyring.
 */
#ifndef CB_HSM_VAULT_KEYRING_H
#define CB_HSM_VAULT_KEYRING_H

#include "hsm/config.h"
#include "hsm/keyring.h"
#include "hsm/vault.h"

typedef struct cb_vault_keyring {
    const cb_hsmd_config *config;
    const cb_buf *pin; /* for opening the token anew after a new generation was made */
    cb_keyring *keyring;
    cb_vault vault;
} cb_vault_keyring;

/* Opens the keyring and fills in out->vault, whose context is out: it must not move. config and pin
 * are kept. As cb_keyring_open. */
cb_error cb_vault_keyring_open(const cb_hsmd_config *config, const cb_buf *pin,
                               cb_vault_keyring *out);
void cb_vault_keyring_close(cb_vault_keyring *vault);

#endif
