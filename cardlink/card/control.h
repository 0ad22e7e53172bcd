/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Telling a running cardlink-vcard what to do: one line to its control socket (a Unix stream socket
 * of mode 0600), one or more lines back, the last of them "ok" or "error …".
 *
 *   insert READER CARD    put a card on a reader; both are numbers from 0, in the order of the
 * command line remove READER         take away what lies there list                  a line a card:
 * number, state file, card id, reader or "-"
 */
#ifndef CB_CARDLINK_CARD_CONTROL_H
#define CB_CARDLINK_CARD_CONTROL_H

#include "cardlink/card/reader.h"

enum { CB_VCARD_MAX = 64 }; /* cards, and readers, of one process */

typedef struct cb_vcards {
    size_t card_count;
    cb_vcard *card[CB_VCARD_MAX];
    const char *file[CB_VCARD_MAX];
    size_t reader_count;
    cb_vcard_reader reader[CB_VCARD_MAX];
} cb_vcards;

/* Puts card on reader. CB_E_ARGUMENT for numbers out of range, CB_E_STATE when either is taken. */
cb_error cb_vcards_insert(cb_vcards *all, size_t reader, size_t card);

/* Puts card i on reader i, wherever both are free; takes all away. */
void cb_vcards_insert_all(cb_vcards *all);
void cb_vcards_remove_all(cb_vcards *all);

/* Makes the control socket (CB_E_CONFIG, CB_E_IO, CB_E_EXISTS: something else is there); answers
 * one caller on it (at most a second). */
cb_error cb_vcard_control_listen(const char *path, int *out);
void cb_vcard_control_serve(int listener, cb_vcards *all);

/* The other end: sends a line, prints the answer to standard output. CB_E_CLOSED; CB_E_ARGUMENT
 * when it says "error". */
cb_error cb_vcard_control_tell(const char *path, const char *line);

#endif
