/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal says that it runs: the text of the entry "started" in its log (journal.h).
 *
 *   version=0.1.0 program=<SHA-256 of the program> config=<SHA-256 of its configuration>
 *
 * A terminal that cannot read its own program says "unreadable" in that place. It is the terminal's
 * word: one that was taken over says what it likes.
 */
#ifndef CB_CARDLINK_SOFTWARE_H
#define CB_CARDLINK_SOFTWARE_H

#include "cardlink/journal.h"

enum { CB_SOFTWARE_VERSION_MAX = 32 };

typedef struct cb_software {
    char version[CB_SOFTWARE_VERSION_MAX + 1]; /* letters, digits and . _ : - */
    cb_digest program;                         /* zero: it could not read it */
    cb_digest config;
} cb_software;

bool cb_software_version_ok(const char *version);

/* The text of an entry. A version that cannot stand there becomes "unknown". */
void cb_software_write(const cb_software *software, char text[CB_JOURNAL_TEXT_MAX + 1]);

/* CB_E_FORMAT for a text that is none; *out is then a software that is on no list. */
cb_error cb_software_read(const char *text, cb_software *out);

#endif
