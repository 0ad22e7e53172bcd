/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How much SQLite does for each statement, as it counts that itself: of every connection and thread
 * of the process that links this, until the statement is reset or finalized. Time is not looked at,
 * so that it is the same on every machine.
 */
#ifndef CB_TESTS_SUPPORT_STATEMENT_WORK_H
#define CB_TESTS_SUPPORT_STATEMENT_WORK_H

#include <stddef.h>
#include <stdint.h>

enum { WORK_STATEMENTS = 256, WORK_TEXT = 1024 };

typedef struct work_statement {
    char text[WORK_TEXT];
    uint64_t runs;
    uint64_t steps, most; /* of SQLite's machine, in all runs; in the one that took most */
    uint64_t scanned;     /* rows that were come to on the way through a whole table */
    uint64_t sorted;      /* how often rows were sorted */
    uint64_t indexed;     /* rows put into an index that was made for one run */
} work_statement;

typedef struct work {
    size_t count;
    work_statement statement[WORK_STATEMENTS];
} work;

/* Counts from now on, into what stays where it is until work_end: added to what is there. */
void work_begin(work *into);
void work_end(void);

/* NULL: it did not run. */
const work_statement *work_of(const work *w, const char *text);

#endif
