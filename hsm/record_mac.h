/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What makes a record believable. Inside hsm/ only.
 */
#ifndef CB_HSM_RECORD_MAC_H
#define CB_HSM_RECORD_MAC_H

#include "hsm/keyring.h"
#include "hsm/record_codec.h"

/* Appends body ‖ MAC to out, or nothing. Returns the body's own error if it has one. */
cb_error cb_record_seal(cb_keyring *keyring, cb_mac_purpose purpose, const cb_buf *body,
                        cb_buf *out);

/* The body of a genuine record of at most max bytes, borrowed. CB_E_HSM_RECORD for any other. */
cb_error cb_record_genuine(cb_keyring *keyring, cb_mac_purpose purpose, cb_bytes blob, size_t max,
                           cb_bytes *body);

#endif
