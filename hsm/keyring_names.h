/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the keys are called on the token, for those who make them and those who find them. Inside hsm/ only.
 */
#ifndef CB_HSM_KEYRING_NAMES_H
#define CB_HSM_KEYRING_NAMES_H

#include "hsm/keyring.h"

#define CB_LABEL_KEK_USE "cardbroker.kek.use"
#define CB_LABEL_KEK_REWRAP "cardbroker.kek.rewrap"
#define CB_LABEL_KEK_RELEASE "cardbroker.kek.release"
#define CB_LABEL_RECORDS "cardbroker.records"
#define CB_LABEL_SCP03 "cardbroker.scp03-master"

/* "cardbroker.log" and so on; at most 47 characters. */
void cb_own_key_label(cb_own_key key, char out[48]);

/* Of a numbered pair (card_pair.h): "cardbroker.card-agreement", "cardbroker.card-agreement.2". */
void cb_card_pair_label(cb_own_key key, unsigned number, char out[48]);

/* A key that can leave the token is not one that initialise.h made: CB_E_CONFIG. */
cb_error cb_keyring_check_locked(cb_keyring *keyring, cb_token_key *key);

/* ECDH and ECDSA with a key of the broker's own. CB_E_CARD_ANSWER for a peer that is no point. */
cb_error cb_keyring_agree_with(cb_keyring *keyring, cb_token_key *key,
                               const uint8_t peer[CB_P256_POINT], uint8_t shared[CB_P256_SCALAR]);
cb_error cb_keyring_sign_with(cb_keyring *keyring, cb_token_key *key, const cb_digest *digest,
                              uint8_t signature[CB_P256_SIGNATURE]);

/* CKA_ID of a generation: four bytes, most significant first. */
void cb_generation_id(uint32_t generation, uint8_t out[4]);

const char *cb_kek_label(cb_kek kind);

enum { CB_KEK_KINDS = 3 };

/* How many of its key-encryption keys each generation has, by number; CB_KEK_KINDS when it is complete. */
cb_error cb_kek_survey(cb_token *token, uint8_t kinds[CB_GENERATIONS_MAX + 1]);

#endif
