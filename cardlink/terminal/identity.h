/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who this terminal is: a P-256 key of its own that never leaves it, and a certificate it signs
 * itself. The broker knows the terminal by the digest of the key (its SubjectPublicKeyInfo), which
 * an administrator registers; nobody else vouches for it.
 */
#ifndef CB_CARDLINK_TERMINAL_IDENTITY_H
#define CB_CARDLINK_TERMINAL_IDENTITY_H

#include "base/crypto.h"

/* A key or certificate that is to take the place of the one in use is a file of that name and this. */
#define CB_IDENTITY_NEXT ".next"

enum { CB_TERMINAL_NAME_MAX = 63, CB_IDENTITY_YEARS = 10, CB_IDENTITY_PEM_MAX = 16 * 1024 };

typedef struct cb_identity {
    cb_digest key;         /* SHA-256 of the SubjectPublicKeyInfo: what is registered */
    cb_digest certificate; /* SHA-256 of the whole certificate, as other tools show it */
} cb_identity;

/* Makes key (file of mode 0600) and certificate (0644) for a name (1 to 63 characters, printable
 * ASCII). CB_E_EXISTS if either file is there: an identity is not overwritten. CB_E_ARGUMENT,
 * CB_E_CRYPTO, CB_E_IO; then neither file is left behind. */
cb_error cb_identity_make(const char *name, const char *certificate_path, const char *key_path,
                          cb_identity *out);

/* Whether both files are there, the key's is nobody else's to open, and they belong together.
 * CB_E_CONFIG with the reason in why. */
cb_error cb_identity_check(const char *certificate_path, const char *key_path, cb_identity *out,
                           cb_buf *why);

/* As cb_identity_check, and appends what the files hold: PEM, of which the key is to be wiped. */
cb_error cb_identity_read(const char *certificate_path, const char *key_path, cb_identity *out,
                          cb_buf *certificate, cb_buf *key, cb_buf *why);

/* The private key of a PEM text. scalar is to be wiped. CB_E_CONFIG, CB_E_MEMORY. */
cb_error cb_identity_scalar(cb_bytes pem, uint8_t scalar[CB_P256_SCALAR]);

/* Makes a P-256 key in a file of mode 0600, durably, or reads the one that is there: what was begun
 * before can be gone on with. scalar is to be wiped. CB_E_CONFIG with the reason in why (a file that
 * is no such key, or open to others), CB_E_IO, CB_E_CRYPTO. */
cb_error cb_identity_key(const char *path, uint8_t scalar[CB_P256_SCALAR], cb_buf *why);

/* Reads the one that is there, and makes none. */
cb_error cb_identity_key_read(const char *path, uint8_t scalar[CB_P256_SCALAR], cb_buf *why);

/* Overwrites the key, syncs, and removes it and the certificate, and what a renewal left beside them.
 * CB_OK when none of them is there any more; otherwise CB_E_IO, after all were tried. What a file
 * system or the flash beneath it keeps of what was overwritten is out of its reach. */
cb_error cb_identity_erase(const char *certificate_path, const char *key_path);

/* Whether a file can be read and holds certificates of authorities, in PEM. CB_E_CONFIG with the
 * reason in why. */
cb_error cb_trust_check(const char *path, cb_buf *why);

#endif
