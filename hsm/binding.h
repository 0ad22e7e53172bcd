/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Card bindings: which holder a card speaks for, as hsmd attested it when the card was issued.
 *
 *   blob = u8 'B', u8 version, card id, holder, u8 profile, u8 level, u64 sequence, keys, MAC (32)
 *   keys   version 1 (native): point (65)
 *          version 2 (others): u8 count, then for each key: u8 use, u8 kind, var key (card_key.h), SHA-256 of its certificate; of a password one,
 *                               whose kind is CB_CARD_KEY_PASSWORD and whose key is the MAC in password.h
 *          version 4 (a password that has an end): i64 its end, and then as version 2
 *
 * hsmd takes the holder from a genuine binding and from nothing else.
 */
#ifndef CB_HSM_BINDING_H
#define CB_HSM_BINDING_H

#include "hsm/keyring.h"
#include "hsm/records.h"

/* Appends the blob. That the card's certificate is genuine is the caller's to check. CB_E_ARGUMENT
 * for a zero id, a level that is none, or a key that is none. */
cb_error cb_binding_make(cb_keyring *keyring, const cb_binding_info *info, cb_buf *out);

/* Whether it is genuine; its fields. CB_E_HSM_RECORD, also when it is not a binding at all. */
cb_error cb_binding_check(cb_keyring *keyring, cb_bytes binding, cb_binding_info *out);

#endif
