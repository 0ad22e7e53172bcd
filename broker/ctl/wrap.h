/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Encrypting an existing key or secret to hsmd's import key, so that it travels and rests encrypted
 * from here on (hsm/client.h):
 *
 *   RSA-OAEP(fresh AES-256 key) ‖ AES-KWP(that key, PKCS#8 or secret)       RFC 8017, RFC 5649
 *
 * OAEP with SHA-1, the only one SoftHSM can undo; its security rests on no collision resistance.
 */
#ifndef CB_BROKER_CTL_WRAP_H
#define CB_BROKER_CTL_WRAP_H

#include "base/buf.h"

enum { CB_CTL_KEY_MAX = 4096, CB_CTL_WRAPPED_MAX = 8 * 1024 };

/* Appends what cb_hsm_import takes. import_key is a DER SubjectPublicKeyInfo of an RSA key of at
 * least 2048 bits; plain is 1 to CB_CTL_KEY_MAX bytes. CB_E_ARGUMENT, CB_E_CRYPTO. */
cb_error cb_ctl_wrap(cb_bytes import_key, cb_bytes plain, cb_buf *wrapped);

/* AES key wrap with padding (RFC 5649), appended. CB_E_ARGUMENT when there is nothing to wrap or
 * too much. */
cb_error cb_ctl_kwp(cb_bytes key, cb_bytes plain, cb_buf *out);

/* Brings a private key to PKCS#8 (RFC 5958), appended: PEM or DER, PKCS#8 or the older forms of EC
 * (RFC 5915) and RSA (RFC 8017) keys. CB_E_FORMAT for anything else, and for encrypted keys. */
cb_error cb_ctl_private_key(cb_bytes file, cb_buf *pkcs8);

#endif
