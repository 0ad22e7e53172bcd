/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The PIN pad of a reader (PC/SC part 10, revision 2.02.09, "IFDs with Secure PIN Entry
 * Capabilities"): the reader takes the digits from its own keys, puts them into the command and
 * sends it to the card. The computer sees the status alone.
 *
 *   CM_IOCTL_GET_FEATURE_REQUEST  lists the reader's features: tag, length 4, control code
 *   FEATURE_VERIFY_PIN_DIRECT     takes a PIN_VERIFY structure with the command in it, and answers
 *                                 with the card's status, or one of its own: 6400 nobody typed in
 *                                 time, 6401 cancelled, 6403 too few or too many digits, 6B80 the
 *                                 structure is not to its liking
 */
#ifndef CB_CARDLINK_TERMINAL_PAD_H
#define CB_CARDLINK_TERMINAL_PAD_H

#include "base/buf.h"
#include "base/cursor.h"

enum {
    CB_PAD_FEATURES_MAX = 256, /* bytes of a list of features that are looked at */
    CB_PAD_BLOCK_MAX = 64,
    CB_PAD_SECONDS = 30, /* for the first digit; then half of that between two */
    CB_PAD_ASCII_LEAST = 4,
    CB_PAD_ASCII_MOST = 16,
    CB_PAD_PADDED_LEAST = 6, /* FIPS 201-3, 2.7: six to eight digits */
    CB_PAD_PADDED_MOST = 8
};

/* Where the PIN of a card that takes it in the clear is typed, if no digits were typed before. */
typedef enum cb_pad_use {
    CB_PAD_AUTO = 0,    /* on the reader's PIN pad, if it has one */
    CB_PAD_REQUIRE = 1, /* there and nowhere else */
    CB_PAD_NEVER = 2
} cb_pad_use;

/* The control code by which the reader verifies a PIN; false: it has no pad, or the list is none.
 */
bool cb_pad_find(cb_bytes features, uint32_t *code);

/* Appends the structure for a VERIFY of which header is the first four bytes. padded: filled up to
 * eight bytes with FF (NIST SP 800-73-4, part 2, 2.4.3); otherwise the digits alone, and the reader
 * sets Lc. CB_E_FORMAT: the header is not of four bytes. */
cb_error cb_pad_block(cb_bytes header, bool padded, cb_buf *out);

/* What the reader's answer means. CB_OK: it is the card's status. CB_E_PIN_CANCELLED,
 * CB_E_PIN_FORMAT, CB_E_READER. */
cb_error cb_pad_outcome(cb_bytes answer);

#endif
