/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making the broker's persistent keys on a token that is logged in to (initialise.h). Inside hsm/ only.
 *
 * A key-encryption key of holders' keys is one AES key in two objects, because what unwraps a key for use must force one
 * template on it, and what unwraps it to be sealed again another:
 *
 *   rewrap  trusted: wraps newborns, unwraps keys that only a trusted key can wrap again and that cannot sign
 *   use     cannot wrap; unwraps keys that can sign, cannot be read, and cannot be wrapped at all
 *
 * Only the officer can make an object trusted, and only the user private ones: the officer makes a seed for the session, the
 * user makes the two objects from it.
 */
#ifndef CB_HSM_MAKE_KEYS_H
#define CB_HSM_MAKE_KEYS_H

#include "hsm/keyring.h"

cb_error cb_make_record_key(cb_token *token);
cb_error cb_make_own_key(cb_token *token, cb_own_key key);

/* One key of a numbered pair towards cards (card_pair.h). */
cb_error cb_make_card_key(cb_token *token, cb_own_key key, unsigned number);

/* As officer: a session object, to be destroyed by the caller. */
cb_error cb_make_trusted_seed(cb_token *token, CK_OBJECT_HANDLE *out);

/* As user: the three key-encryption keys of a generation, that for rewrapping last. */
cb_error cb_make_generation(cb_token *token, CK_OBJECT_HANDLE seed, uint32_t generation);

#endif
