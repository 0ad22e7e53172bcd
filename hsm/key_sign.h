/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Signatures over digests with a session object. Never a raw RSA operation: the padding is made here. Inside hsm/ only.
 */
#ifndef CB_HSM_KEY_SIGN_H
#define CB_HSM_KEY_SIGN_H

#include "hsm/client.h"
#include "hsm/token.h"

/* Size of a digest of a cb_hash, 0 for numbers that are none. */
size_t cb_hash_size(uint8_t hash);

/* CB_USE_SIGN_DIGEST or CB_USE_SIGN_PSS. Appends the signature (ECDSA: r ‖ s). CB_E_ARGUMENT when the digest is not of hash's size;
 * CB_E_HSM_ALGORITHM when a key of this algorithm cannot do that. */
cb_error cb_key_sign(cb_token *token, CK_OBJECT_HANDLE key, uint8_t algorithm, uint8_t operation,
                     uint8_t hash, cb_bytes digest, cb_buf *out);

#endif
