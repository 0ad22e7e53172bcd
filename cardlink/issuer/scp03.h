/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making a card with the SCP03 application: its keys come from a master key that the broker has,
 * too.
 */
#ifndef CB_CARDLINK_ISSUER_SCP03_H
#define CB_CARDLINK_ISSUER_SCP03_H

#include "cardlink/card/scp03/state.h"

/* A new card's state, with a sequence counter. key_version (01 to 7F) says which master key it was.
 * kdd NULL: diversification data drawn by lot. The caller wipes state. CB_E_ARGUMENT, and as
 * cb_scp03_diversify. */
cb_error cb_vscp03_make(const cb_scp03_master *master, uint8_t key_version,
                        const uint8_t kdd[CB_SCP03_KDD], cb_vscp03_state *state);

/* A master key from a file of its owner's alone: 32, 48 or 64 hexadecimal digits. The caller wipes
 * it. Writes what is wrong to why. */
cb_error cb_scp03_master_read(const char *path, cb_scp03_plain_master *out, cb_buf *why);

#endif
