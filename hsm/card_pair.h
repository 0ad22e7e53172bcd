/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's pairs of keys towards cards: one to agree on keys with, one to sign sessions.
 *
 * Pairs are numbered from 1. The first is made with the token ("cardbroker.card-agreement",
 * "cardbroker.card-signature"); the security officer adds others (initialise.h), whose labels and
 * names have ".2" and so on behind. Which pair serves cards of which generation follows from the
 * certificates: the authority above brokers certifies points, not numbers.
 */
#ifndef CB_HSM_CARD_PAIR_H
#define CB_HSM_CARD_PAIR_H

#include "hsm/keyring.h"

enum { CB_CARD_PAIRS_MAX = 99 };

typedef struct cb_card_pair {
    cb_keyring *keyring; /* kept */
    cb_token_key agreement;
    cb_token_key signature;
} cb_card_pair;

/* Finds a pair. CB_E_NOT_FOUND when the token lacks one of its keys, CB_E_CONFIG for keys that can
 * leave the token. */
cb_error cb_card_pair_find(cb_keyring *keyring, unsigned number, cb_card_pair *out);

/* Finds the pair whose keys have these points (NULL: any). CB_E_NOT_FOUND. */
cb_error cb_card_pair_of(cb_keyring *keyring, const uint8_t *agreement, const uint8_t *signature,
                         cb_card_pair *out);

/* Appends the DER SubjectPublicKeyInfo of "card-agreement.2", "card-signature.2" and so on.
 * CB_E_NOT_FOUND for other names. */
cb_error cb_card_pair_public(cb_keyring *keyring, const char *name, cb_buf *out);

/* cb_profile_host's functions; keys is a pair. */
cb_error cb_card_pair_agree(void *keys, const uint8_t peer[CB_P256_POINT],
                            uint8_t shared[CB_P256_SCALAR]);
cb_error cb_card_pair_sign(void *keys, const cb_digest *digest,
                           uint8_t signature[CB_P256_SIGNATURE]);
cb_error cb_card_pair_cmac(void *keys, cb_bytes data, uint8_t out[CB_AES_BLOCK]);
cb_error cb_card_pair_salt(void *keys, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT]);

#endif
