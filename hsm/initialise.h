/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making the token and the keyring, and adding generations of key-encryption keys: the only acts
 * that need the security officer.
 *
 * The officer is needed because the key that wraps must be CKA_TRUSTED, which only the officer can
 * set: a key of a holder, when it is outside a use, can be wrapped by such a key and by nothing
 * that the user's PIN can make.
 *
 * A process calls these while it has no token open (they initialise and finalise the module
 * themselves).
 *
 * What is said to be made is on the disk (softhsm.h). CB_E_IO from each: it was made, and may not
 * be; to be done again.
 */
#ifndef CB_HSM_INITIALISE_H
#define CB_HSM_INITIALISE_H

#include "hsm/token.h"

typedef struct cb_initialise_options {
    cb_token_config token;
    bool make_token; /* initialise an empty slot if no token has the label; otherwise CB_E_CONFIG
                        then */
    cb_buf *so_pin;  /* both are wiped */
    cb_buf *pin;
} cb_initialise_options;

/* Makes what is missing of the keyring and leaves alone what is there. *made says how many keys
 * were made: 0 when it was complete. A token is initialised only into a slot that has none.
 * CB_E_CONFIG, CB_E_HSM_TOKEN. */
cb_error cb_hsm_initialise(const cb_initialise_options *options, unsigned *made);

/* Adds a generation. CB_E_TOO_LARGE when there are CB_GENERATIONS_MAX. Workers that run find it by
 * themselves. */
cb_error cb_hsm_add_generation(const cb_initialise_options *options, uint32_t *generation);

/* Adds a pair of keys towards cards (card_pair.h), or what an interrupted attempt left out of one.
 * *number says which it is. CB_E_TOO_LARGE when there are CB_CARD_PAIRS_MAX. Workers that run find
 * it when they read their certificates. */
cb_error cb_hsm_add_card_pair(const cb_initialise_options *options, unsigned *number);

#endif
