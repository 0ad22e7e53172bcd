/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of sealed.h share. Inside hsm/ only.
 */
#ifndef CB_HSM_SEALED_PARTS_H
#define CB_HSM_SEALED_PARTS_H

#include "hsm/record_codec.h"
#include "hsm/sealed.h"

/* RFC 5649. */
extern const CK_MECHANISM cb_key_wrap;

static inline bool cb_is_secret(uint8_t algorithm)
{
    return algorithm == CB_KEY_HMAC_SHA256 || algorithm == CB_KEY_SECRET;
}

/* Seals a newborn (or a key that is rewrapped) under the newest generation; fills info's generation in and appends the blob.
 * size is that of a secret that may be released, and does not matter for other keys. */
cb_error cb_seal_key(cb_keyring *keyring, cb_sealed_info *info, CK_OBJECT_HANDLE key, size_t size,
                     cb_bytes public_key, cb_buf *sealed);

/* Takes the size off a secret's wrapped bytes; other keys have none (0). CB_E_HSM_RECORD. */
cb_error cb_secret_size(uint8_t algorithm, cb_bytes *wrapped, size_t *size);

/* The parts of a genuine blob, borrowed. CB_E_HSM_RECORD. */
cb_error cb_sealed_parts(cb_keyring *keyring, cb_bytes sealed, cb_sealed_info *info,
                         cb_bytes *public_key, cb_bytes *wrapped);

#endif
