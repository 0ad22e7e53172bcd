/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Secure messaging: how commands and answers travel inside a channel (GlobalPlatform Amendment D,
 * 6.2, at security level 33; the keys come from SCP03's own derivation or from Amendment F's). Used
 * by both sides.
 *
 * Each command is encrypted (AES-CBC, padded 80 00…, vector = AES of the command counter) and
 * carries the first eight bytes of an AES-CMAC over the MAC before it, its header and its data: so
 * commands can be neither changed, left out, repeated nor put in another order. Each successful
 * answer is encrypted and MACed likewise, chained to its command. Answers with an error status
 * carry nothing and are not authentic: a terminal can make a command seem to fail, never to
 * succeed.
 *
 * The counter never starts anew, for no vector may be used twice: its last value, FFFFFFFF, is not
 * used, and ends the channel.
 *
 * A side that finds a MAC wrong gives the channel up; none of these functions can be used after an
 * error.
 */
#ifndef CB_CARDLINK_SECURE_MESSAGING_H
#define CB_CARDLINK_SECURE_MESSAGING_H

#include "base/crypto.h"
#include "cardlink/apdu.h"

enum { CB_SM_MAC = 8, CB_SM_PLAIN_MAX = 239, CB_SM_KEY_MAX = 32 };

typedef struct cb_sm {
    uint8_t key_len; /* of each key: 16, 24 or 32 */
    uint8_t enc[CB_SM_KEY_MAX];
    uint8_t mac[CB_SM_KEY_MAX];
    uint8_t rmac[CB_SM_KEY_MAX];
    uint8_t chain[CB_AES_BLOCK]; /* MAC of the last command; at first the receipt, or zero */
    uint32_t counter;            /* of the next command, from 1 */
} cb_sm;

/* What an answer is checked with: the state after its command. */
typedef struct cb_sm_mark {
    uint8_t chain[CB_AES_BLOCK];
    uint32_t counter;
} cb_sm_mark;

/* The length before the padding (ISO 7816-4: 80 and zeros, within the last block); false if there is
 * none. */
bool cb_sm_unpad(cb_bytes padded, size_t *len);

/* Wraps a command with at most 239 bytes of data, and appends it. mark gets what its answer is
 * opened with. CB_E_TOO_LARGE; CB_E_CRYPTO when the counter is used up. */
cb_error cb_sm_wrap_command(cb_sm *sm, const cb_apdu *plain, cb_buf *out, cb_sm_mark *mark);

/* The card's end: opens a wrapped command; data of *plain borrows from out, which is reset first
 * and must allow 256 bytes. CB_E_CARD_ANSWER when MAC or padding are wrong, or the counter is used
 * up. */
cb_error cb_sm_open_command(cb_sm *sm, const cb_apdu *wrapped, cb_buf *out, cb_apdu *plain);

/* EXTERNAL AUTHENTICATE, with which a channel of SCP03 begins: MACed but neither encrypted nor
 * counted, and its answer carries no MAC. The card's end gets what stands before the MAC, borrowed
 * from the command. CB_E_TOO_LARGE; CB_E_CARD_ANSWER when the MAC is wrong. */
cb_error cb_sm_mac_command(cb_sm *sm, const cb_apdu *plain, cb_buf *out);
cb_error cb_sm_check_command(cb_sm *sm, const cb_apdu *wrapped, cb_bytes *data);

/* The card's end: appends the answer (data, MAC, 9000) to the command that was opened last. */
cb_error cb_sm_wrap_answer(const cb_sm *sm, cb_bytes data, cb_buf *out);

/* Opens an answer whose status is 9000 and appends its data. Needs enc and rmac only.
 * CB_E_CARD_ANSWER. */
cb_error cb_sm_open_answer(const cb_sm *sm, const cb_sm_mark *mark, cb_bytes answer, cb_buf *data);

#endif
