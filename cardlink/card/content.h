/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card's file: what it says when it gets power, and the states of its applications.
 *
 *   version 2   "CBVC" 00 02, u8 length and ATR, u8 count, and for each application: u8 length and
 *               name, u32 length and state; then SHA-256 of all that
 *   version 1   a card with the native application alone and its ATR: that application's state
 *               (native/state.h), which is a file of its own
 *
 * Either is at most 256 kB, in a regular file of one name that only its owner may open, for it
 * holds private keys and PINs. It is replaced whole, by renaming: a power cut leaves the states
 * before or the states after, of all applications alike.
 */
#ifndef CB_CARDLINK_CARD_CONTENT_H
#define CB_CARDLINK_CARD_CONTENT_H

#include "cardlink/card/applet.h"

enum { CB_CARD_FILE_MAX = 256 * 1024, CB_CARD_ATR_MAX = 33 };

typedef struct cb_card_part {
    const cb_applet *applet;
    cb_bytes state; /* borrowed */
} cb_card_part;

typedef struct cb_card_content {
    uint8_t atr[CB_CARD_ATR_MAX];
    size_t atr_len;
    cb_card_part part[CB_CARD_APPLETS_MAX]; /* the first is selected after a reset */
    size_t count;
} cb_card_content;

/* Adds an application. CB_E_EXISTS, CB_E_TOO_LARGE (there are as many as may be). */
cb_error cb_card_content_add(cb_card_content *content, const cb_applet *applet, cb_bytes state);

/* Sets the ATR: 2 to 33 bytes, CB_E_ARGUMENT. */
cb_error cb_card_content_set_atr(cb_card_content *content, cb_bytes atr);

/* Appends the file's content: version 1 where that can say it. Reads it; out borrows from file.
 * CB_E_FORMAT for anything but what was written. */
void cb_card_content_put(cb_buf *file, const cb_card_content *content);
cb_error cb_card_content_parse(cb_bytes file, cb_card_content *out);

/* Reads a card's file: CB_E_NOT_FOUND, CB_E_IO, CB_E_TOO_LARGE, and CB_E_DENIED unless it is a
 * regular file of one name that only its owner may open. */
cb_error cb_card_file_read(const char *path, cb_buf *file);

/* Locks path.lock; CB_E_BUSY when another program has done that. The caller closes *out. */
cb_error cb_card_file_lock(const char *path, int *out);

#endif
