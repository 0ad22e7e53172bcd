/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sealed keys: the keys of holders at services, made in the HSM and kept outside it, encrypted.
 *
 *   blob = u8 'K', u8 version 1, key id, holder, u8 length ‖ service, u8 algorithm, u8 level, u8
 * uses, u32 generation, u64 sequence, var public key (DER SubjectPublicKeyInfo), var wrapped key,
 * MAC (32)
 *
 * A secret that may be released has its size (u16) before its wrapped bytes: SoftHSM fills secrets
 * up with zeros to a multiple of eight when it wraps them.
 *
 * The wrapped key is AES key wrap with padding (RFC 5649) of the PKCS#8 or the secret; the MAC
 * covers all that stands before it. So nothing can be moved from one record to another, and no
 * field can be edited.
 *
 * None of these functions leaves a session object behind, except an open key, which ends with
 * cb_open_key_close. Whether somebody may use a key is decided above (activation.h); here it is
 * made sure what a key is.
 */
#ifndef CB_HSM_SEALED_H
#define CB_HSM_SEALED_H

#include "hsm/keyring.h"
#include "hsm/records.h"

enum {
    CB_HMAC_SECRET_MIN = 32, /* what SoftHSM asks of SHA-256 */
    CB_SECRET_MAX = 1024, /* of secrets that are imported */
    CB_IMPORT_MAX = 4096
};

/* Makes a key and seals it under the newest generation. From info: holder, service, algorithm,
 * level, uses, sequence; key and generation are filled in. Appends to sealed and public_key
 * (nothing for secrets); and, if csr is not NULL, a request for subject to csr (see csr.h;
 * CB_E_HSM_ALGORITHM for secrets). CB_E_ARGUMENT for a bad field. */
cb_error cb_sealed_generate(cb_keyring *keyring, cb_sealed_info *info, cb_bytes subject,
                            cb_buf *sealed, cb_buf *public_key, cb_buf *csr);

/* Seals a key that was encrypted to the import key (client.h says how). The kind of key must be
 * what info says, and RSA moduli of that size: CB_E_FORMAT otherwise. Secrets for HMAC have
 * CB_HMAC_SECRET_MIN to CB_SECRET_MAX bytes, and those of more than 64 a number that eight divides
 * (the token may fill them up, which only then changes the MACs; it is tried out). */
cb_error cb_sealed_import(cb_keyring *keyring, cb_sealed_info *info, cb_bytes wrapped,
                          cb_buf *sealed, cb_buf *public_key);

/* Whether the record is genuine; its fields. CB_E_HSM_RECORD, also when it is not a record at all.
 */
cb_error cb_sealed_check(cb_keyring *keyring, cb_bytes sealed, cb_sealed_info *out);

/* Appends the same key sealed under the newest generation. A key already there is returned as it
 * stands. */
cb_error cb_sealed_rewrap(cb_keyring *keyring, cb_bytes sealed, cb_buf *out);

/* A sealed key inside the HSM, ready for use. Zero it before open; no copies. */
typedef struct cb_open_key {
    cb_sealed_info info;
    CK_OBJECT_HANDLE handle; /* 0 for secrets, which are unwrapped when they are released */
    unsigned login;          /* that handle belongs to; after a later one it is nobody's, or another key's */
    cb_buf wrapped;          /* of a secret */
} cb_open_key;

/* Checks the record and unwraps the key. CB_E_HSM_RECORD. On failure nothing is open. */
cb_error cb_sealed_open(cb_keyring *keyring, cb_bytes sealed, cb_open_key *out);

/* The same without the check, which costs half of what an HMAC costs: for a record that this
 * process has checked with cb_sealed_check, and has had in its own memory since. */
cb_error cb_sealed_open_believed(cb_keyring *keyring, cb_bytes sealed, cb_open_key *out);

/* One use (cb_key_operation, cb_hash): appends at most CB_USE_RESULT_MAX bytes. For a signature,
 * data is a digest of hash's size (CB_E_ARGUMENT otherwise). CB_E_HSM_ALGORITHM when this key
 * cannot do that operation;
 * CB_E_HSM_TOKEN when the token was lost since the key was opened: open it again. */
cb_error cb_open_key_use(cb_keyring *keyring, cb_open_key *key, uint8_t operation, uint8_t hash,
                         cb_bytes data, cb_buf *result);

/* Destroys the session object. A zeroed or closed key is allowed. */
void cb_open_key_close(cb_keyring *keyring, cb_open_key *key);

#endif
