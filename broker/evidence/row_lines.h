/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows of a database as lines of leaves, for comparing them with the record.
 */
#ifndef CB_BROKER_EVIDENCE_ROW_LINES_H
#define CB_BROKER_EVIDENCE_ROW_LINES_H

#include "broker/store/txn.h"

/* What stands in a row comes from several acts, of which each says its own: it is compared in
 * parts. */
enum { CB_ROW_PARTS = 3 };

/* A row as the leaves about it have it. Which lines are in which part, and from which leaves,
 * check_rows.c says. */
typedef struct cb_row_lines {
    char kind;
    cb_id id;                    /* of a mismatch: zero, for no leaf has one */
    cb_bytes part[CB_ROW_PARTS]; /* borrowed; empty: nothing of it */
} cb_row_lines;

typedef cb_error (*cb_row_lines_visitor)(void *context, const cb_row_lines *row);

/* All rows of
 *
 *   'h' holder, 'c' card with how it was issued, 'a' application, 'g' registration code,
 *   'm' what did not fit, 't' terminal, 'o' its code, 'p' what it said that it runs,
 *   'u' its last maintenance, 'n' intent, 'v' session */
cb_error cb_row_lines_each(cb_txn *txn, cb_row_lines_visitor each, void *context);

/* Since when there is a row of how each card was issued. */
cb_error cb_row_lines_issues_since(cb_txn *txn, int64_t *out);

/* A card of stock, or a batch. Leaves say how many, and of each only that it was issued. */
typedef struct cb_stock_lines {
    bool is_batch;
    char manufacturer[CB_STOCK_TEXT];
    char name[CB_STOCK_TEXT]; /* a batch's, or a serial number */
    cb_id batch;
    char state[16];
    char delivery[CB_STOCK_TEXT]; /* "": not sent yet */
    bool received;
    bool issued; /* so says a row of how a card was issued, which has been compared */
} cb_stock_lines;

typedef cb_error (*cb_stock_lines_visitor)(void *context, const cb_stock_lines *row);

/* Batches, then cards. issued: of how many cards it is said that they came from stock. */
cb_error cb_stock_lines_each(cb_txn *txn, cb_stock_lines_visitor each, void *context,
                             uint64_t *issued);

#endif
