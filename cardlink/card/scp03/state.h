/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the SCP03 application remembers: its keys, what they were derived from, and its counters.
 *
 *   u8 version (01), u8 length of a key (16, 24 or 32), K-ENC and K-MAC of that length, key
 *   diversification data (10), u8 key version, u8 i (60 or 70), u32 sequence counter, u32 proofs of
 *   presence, u8 failures since the last success
 */
#ifndef CB_CARDLINK_CARD_SCP03_STATE_H
#define CB_CARDLINK_CARD_SCP03_STATE_H

#include "cardlink/scp03/keys.h"

enum { CB_VSCP03_FAILURES_MAX = 64 };

typedef struct cb_vscp03_state {
    cb_scp03_keys keys;
    uint8_t kdd[CB_SCP03_KDD];
    uint8_t key_version; /* 01 to 7F */
    uint8_t i;
    uint32_t sequence; /* INITIALIZE UPDATEs answered */
    uint32_t counter;  /* proofs of presence given */
    uint8_t failures;  /* EXTERNAL AUTHENTICATEs that failed since one did not */
} cb_vscp03_state;

/* Appends the state; reads it. CB_E_FORMAT for anything but what was written. */
void cb_vscp03_state_put(cb_buf *buf, const cb_vscp03_state *state);
cb_error cb_vscp03_state_parse(cb_bytes content, cb_vscp03_state *out);

#endif
