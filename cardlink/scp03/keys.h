/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The keys of an SCP03 card, and where they come from.
 *
 * Each card has keys of its own (16, 24 or 32 bytes each), derived from a master key and the ten
 * bytes of key diversification data that the card sends with INITIALIZE UPDATE. The derivation is
 * the one known as KDF3: SP 800-108 in counter mode with AES-CMAC, block by block
 *
 *   CMAC(master, counter ‖ 00 00 00 k ‖ 00 ‖ diversification data)   counter from 1; k: which key
 *
 * In production the master key lies in the HSM and CMACs are made there (PKCS#11, CKM_AES_CMAC),
 * so the master key is a function here. The card's keys themselves do appear in the memory of the
 * process that talks to the card: whoever derives them wipes them.
 */
#ifndef CB_CARDLINK_SCP03_KEYS_H
#define CB_CARDLINK_SCP03_KEYS_H

#include "cardlink/scp03/scp03.h"

/* The number is k above. DEK, for loading keys into cards, has no use in a tap. */
typedef enum cb_scp03_key {
    CB_SCP03_KEY_ENC = 1,
    CB_SCP03_KEY_MAC = 2,
    CB_SCP03_KEY_DEK = 3
} cb_scp03_key;

/* What session keys are derived from. Secret. */
typedef struct cb_scp03_keys {
    uint8_t len; /* of each: 16, 24 or 32 */
    uint8_t enc[CB_SM_KEY_MAX];
    uint8_t mac[CB_SM_KEY_MAX];
} cb_scp03_keys;

/* A master key, reached through a function: AES-CMAC under it over data of at most 64 bytes. Its
 * errors are passed on as they are. */
typedef struct cb_scp03_master {
    cb_error (*cmac)(void *context, cb_bytes data, uint8_t out[CB_AES_BLOCK]);
    void *context;
    uint8_t key_len; /* the length of the master key, which is that of the cards' keys */
} cb_scp03_master;

/* A master key in memory, for tests and for whoever makes virtual cards. */
typedef struct cb_scp03_plain_master {
    uint8_t len; /* 16, 24 or 32 */
    uint8_t key[CB_SM_KEY_MAX];
} cb_scp03_plain_master;

/* Borrows key. */
cb_scp03_master cb_scp03_master_of(cb_scp03_plain_master *key);

/* One key of a card: writes master->key_len bytes. CB_E_ARGUMENT for a length that no AES key has.
 * On error out is zero. */
cb_error cb_scp03_diversify_key(const cb_scp03_master *master, const uint8_t kdd[CB_SCP03_KDD],
                                cb_scp03_key which, uint8_t out[CB_SM_KEY_MAX]);

/* Both keys that a session needs. On error *out is zero. */
cb_error cb_scp03_diversify(const cb_scp03_master *master, const uint8_t kdd[CB_SCP03_KDD],
                            cb_scp03_keys *out);

#endif
