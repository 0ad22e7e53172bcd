/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Command APDUs (ISO/IEC 7816-3, 12.1) in their short form: a header of four bytes, then nothing,
 * Le, or Lc and 1..255 bytes of data with or without Le. Extended lengths are not used by any card
 * here.
 */
#ifndef CB_CARDLINK_APDU_H
#define CB_CARDLINK_APDU_H

#include "base/buf.h"
#include "base/cursor.h"

enum { CB_APDU_DATA_MAX = 255 };

typedef struct cb_apdu {
    uint8_t cla, ins, p1, p2;
    cb_bytes data; /* borrowed */
    bool le;       /* whether an answer is expected; its length always as much as there is (00) */
} cb_apdu;

/* CB_E_FORMAT for anything but a short APDU whose lengths add up. Any Le is taken. */
cb_error cb_apdu_read(cb_bytes bytes, cb_apdu *out);

/* How much of an answer a command wants (its Le): 1 to 256; 0 when it has none, or is no command. */
size_t cb_apdu_expected(cb_bytes bytes);

/* Appends a command; data longer than 255 bytes fails the buffer. */
void cb_apdu_put(cb_buf *buf, const cb_apdu *apdu);

/* Status words that both sides of a card protocol use (ISO/IEC 7816-4, 5.6). */
enum {
    CB_SW_OK = 0x9000,
    CB_SW_MORE = 0x6100,    /* the second byte says how much more there is; 00: 256 or more */
    CB_SW_EXPIRED = 0x6283, /* the card's last day lies before the date that it knows */
    CB_SW_TERMINATED = 0x6285,
    CB_SW_TRIES_LEFT = 0x63C0, /* the last digit is their number */
    CB_SW_MEMORY = 0x6581,
    CB_SW_LENGTH = 0x6700,
    CB_SW_SECURITY = 0x6982,
    CB_SW_BLOCKED = 0x6983,
    CB_SW_CONDITIONS = 0x6985,
    CB_SW_SM_DATA = 0x6988,
    CB_SW_DATA = 0x6A80,
    CB_SW_FILE_NOT_FOUND = 0x6A82,
    CB_SW_FULL = 0x6A84,
    CB_SW_PARAMETERS = 0x6A86,
    CB_SW_NOT_FOUND = 0x6A88,
    CB_SW_INS = 0x6D00,
    CB_SW_CLA = 0x6E00,
    CB_SW_FAULT = 0x6F00
};

#endif
