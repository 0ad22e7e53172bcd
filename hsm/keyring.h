/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's own keys: few, persistent, and never outside the token.
 *
 *   key-encryption keys, in generations   seal the keys of holders (sealed.h)
 *   record key                            MACs over records that others keep
 *   card-agreement, card-signature        the broker's identity towards cards (cardlink/profile.h)
 *   log                                   signs heads of the evidence log
 *   import                                what imported keys are encrypted to
 *   terminal-authority                    signs certificates of terminals (terminal_certificate.h)
 *   scp03-master                          what the keys of SCP03 cards come from, if there are such cards; not made by initialise.h
 *
 * initialise.h makes them. A keyring belongs to one thread, and is not changed by a fork: open it
 * in the process that uses it.
 */
#ifndef CB_HSM_KEYRING_H
#define CB_HSM_KEYRING_H

#include "cardlink/profile.h"
#include "hsm/token.h"

enum { CB_GENERATIONS_MAX = 64 };

typedef struct cb_keyring cb_keyring;

/* Opens the token and finds the keys. As cb_token_open; CB_E_CONFIG if the keyring was not made or
 * lacks a key. */
cb_error cb_keyring_open(const cb_token_config *config, cb_buf *pin, cb_keyring **out);
void cb_keyring_close(cb_keyring **keyring);

/* Borrowed. */
cb_token *cb_keyring_token(cb_keyring *keyring);

/* What a MAC is for. Each has a label of its own that goes first into the MAC, so that no record
 * can stand for another. Values are never reused. */
typedef enum cb_mac_purpose {
    CB_MAC_SEALED = 1,
    CB_MAC_BINDING = 2,
    CB_MAC_RECEIPT = 3,
    CB_MAC_LOG_HEAD = 4, /* for cb_intent_proof */
    CB_MAC_MEMORY = 5,   /* what hsmd itself remembers in files */
    CB_MAC_PASSWORD = 6, /* the public key of a password */
    CB_MAC_SALT = 7      /* no MAC but a salt: it is given out */
} cb_mac_purpose;

/* HMAC-SHA256 under the record key of label 00 ‖ parts, one after the other: the parts must be of
 * such a form that their borders are plain. At most 16 parts. */
cb_error cb_keyring_mac(cb_keyring *keyring, cb_mac_purpose purpose, const cb_bytes *parts,
                        size_t count, cb_digest *out);

/* CB_E_HSM_RECORD unless mac is 32 bytes and right. Constant time. */
cb_error cb_keyring_mac_check(cb_keyring *keyring, cb_mac_purpose purpose, const cb_bytes *parts,
                              size_t count, cb_bytes mac);

typedef enum cb_own_key {
    CB_OWN_CARD_AGREEMENT,
    CB_OWN_CARD_SIGNATURE,
    CB_OWN_LOG,
    CB_OWN_IMPORT,
    CB_OWN_TERMINALS, /* a token made before there was one may lack it: CB_E_CONFIG for each use */
    CB_OWN_KEY_COUNT
} cb_own_key;

/* "card-agreement", "card-signature", "log", "import", "terminal-authority"; NULL / CB_E_NOT_FOUND for others. */
const char *cb_own_key_name(cb_own_key key);
cb_error cb_own_key_parse(const char *name, cb_own_key *out);

/* Appends DER SubjectPublicKeyInfo. */
cb_error cb_keyring_public(cb_keyring *keyring, cb_own_key key, cb_buf *out);

/* 04 ‖ X ‖ Y. CB_E_ARGUMENT for the import key. */
cb_error cb_keyring_point(cb_keyring *keyring, cb_own_key key, uint8_t out[CB_P256_POINT]);

/* ECDSA with the card-signature, the log or the terminal-authority key (CB_E_ARGUMENT for others). */
cb_error cb_keyring_sign(cb_keyring *keyring, cb_own_key key, const cb_digest *digest,
                         uint8_t signature[CB_P256_SIGNATURE]);

/* cb_profile_host's salt; keys is the keyring. */
cb_error cb_keyring_host_salt(void *keys, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT]);

/* cb_profile_host's agree and sign; keys is the keyring. The peer's point is checked to be on the
 * curve (CB_E_CARD_ANSWER). */
cb_error cb_keyring_host_agree(void *keys, const uint8_t peer[CB_P256_POINT],
                               uint8_t shared[CB_P256_SCALAR]);
cb_error cb_keyring_host_sign(void *keys, const cb_digest *digest,
                              uint8_t signature[CB_P256_SIGNATURE]);

/* The length of the master key of SCP03 cards, an AES key with the label "cardbroker.scp03-master" that an administrator put on the token; 0: there is none. */
uint8_t cb_keyring_scp03_len(const cb_keyring *keyring);

/* cb_profile_host's cmac, under that key. CB_E_CONFIG when there is none. */
cb_error cb_keyring_host_cmac(void *keys, cb_bytes data, uint8_t out[CB_AES_BLOCK]);

/* ---- Generations of the key-encryption keys, numbered from 1 ---- */

/* The newest that is complete. */
uint32_t cb_keyring_generation(const cb_keyring *keyring);

/* Before something is sealed under that one: its keys are on the disk, whoever made them. Looks once
 * for each generation. CB_E_IO. */
cb_error cb_keyring_settle(cb_keyring *keyring);

/* Looks for generations that another process has made since. */
cb_error cb_keyring_refresh(cb_keyring *keyring);

typedef enum cb_kek {
    CB_KEK_USE,    /* unwraps keys for use: what comes out can sign, and can neither be read nor
                      wrapped again */
    CB_KEK_REWRAP, /* trusted: wraps new keys, and unwraps them for being wrapped again, by a
                      trusted key only */
    CB_KEK_RELEASE /* wraps and unwraps secrets that may be given out */
} cb_kek;

/* Its handle. Generations not known yet are looked for. CB_E_HSM_RECORD when there is none of that
 * number. */
cb_error cb_keyring_kek(cb_keyring *keyring, cb_kek kind, uint32_t generation,
                        CK_OBJECT_HANDLE *out);

#endif
