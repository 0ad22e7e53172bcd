/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Files of lines that administrators give: cards to be issued, and serials of cards in stock. What
 * is in them comes from others; nothing here believes it.
 *
 * A card:    certificate , serial , application , holder       (the holder is the rest of the line;
 *            of a card of others, a reading in the place of the certificate)
 * A serial:  serial [ , identity ]
 *
 * without quotes. Empty lines and those that begin with "#" are passed over, and counted.
 */
#ifndef CB_BROKER_CTL_LINES_H
#define CB_BROKER_CTL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CB_CARD_LINE_MAX = 8192 }; /* with a zero at the end */

typedef struct cb_card_line {
    char text[CB_CARD_LINE_MAX];
    char *certificate, *serial, *application, *holder; /* in it, after cb_card_line_split */
} cb_card_line;

/* A file in memory that is not changed, and may hold anything. Lines end with LF or CR LF. */
typedef struct cb_card_lines {
    const char *text;
    size_t size, at;
    int64_t line; /* the last one's number, from 1 */
} cb_card_lines;

/* How many there are, the last one without an end too. */
int64_t cb_card_lines_count(const char *text, size_t size);

/* The next one after number "settled" that says something; false at the end. *whole: it fits and is
 * text; otherwise it is empty. */
bool cb_card_lines_next(cb_card_lines *lines, int64_t settled, cb_card_line *out, bool *whole);

/* Parts it at its first three commas. NULL, or a sentence on what is wrong. */
const char *cb_card_line_split(cb_card_line *line);

/* A column in quotes (RFC 4180: a quote in it is doubled), parted where it lies; NULL: it is none.
 * *at is then behind its comma, or at the end of the text. */
const char *cb_quoted_next(char **at);

/* A text that is parted where it lies. Lines end with LF, CR LF or CR. */
typedef struct cb_serial_lines {
    char *next; /* what is left; NULL: nothing */
    int64_t line;
} cb_serial_lines;

/* Whether there is another line; its serial, NULL where it says nothing, and its identity, or "".
 */
bool cb_serial_lines_next(cb_serial_lines *lines, const char **serial, const char **identity);

#endif
