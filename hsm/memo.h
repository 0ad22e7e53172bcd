/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A table in a file: identifiers, each with 32 bytes, that survive a crash and a power cut. What
 * hsmd must never forget of a card, for as many cards as there are, without holding them in memory.
 *
 * Segments follow one another, each of twice as many pages as the one before it; an identifier's
 * digest names one page in each. An entry goes to the first of these pages that has room, and
 * nothing is ever moved or taken out: so a page with room ends every search, and there is nothing
 * that a crash could leave half done. An entry is 64 bytes within one sector, written in place and
 * synced before it counts. What is read may be another process's, whose sync has not come yet or
 * has failed: who acts on what is there already, puts it once more.
 *
 *   entry: identifier (16, not zero) ‖ value (32) ‖ the first 16 bytes of SHA-256("cardbroker memo
 * 1" 00 ‖ identifier ‖ value)
 *
 * 10^8 entries take about 13 GB, and one search at most 20 reads. Several processes may read; those
 * that write take turns.
 */
#ifndef CB_HSM_MEMO_H
#define CB_HSM_MEMO_H

#include "base/crypto.h"
#include "base/id.h"

enum { CB_MEMO_PAGE = 4096, CB_MEMO_ENTRY = 64, CB_MEMO_FIRST_PAGES = 16, CB_MEMO_SEGMENTS = 22 };

typedef struct cb_memo cb_memo;

/* Opens the file, which cb_durable_make has made. CB_E_IO, CB_E_MEMORY. */
cb_error cb_memo_open(const char *path, cb_memo **out);
void cb_memo_close(cb_memo **memo);

/* The identifier under which something is remembered that has none of its own, or one under which
 * something else is remembered already: the first 16 bytes of SHA-256(domain 00 ‖ what). */
cb_id cb_memo_place(const char *domain, cb_bytes what);

/* What is remembered. CB_E_NOT_FOUND; CB_E_HSM_RECORD: the entry was damaged; CB_E_IO. */
cb_error cb_memo_get(const cb_memo *memo, const cb_id *id, cb_digest *value);

/* Remembers a value, in place of one that was there; returns after it is durable. CB_E_HSM_RECORD
 * when the one that was there is damaged; CB_E_IO, CB_E_STORE_FULL. */
cb_error cb_memo_put(cb_memo *memo, const cb_id *id, const cb_digest *value);

/* Reads a value, zero if there was none, lets change write another into it, and remembers that: all
 * of it while no other process does the same. Errors as put. */
cb_error cb_memo_change(cb_memo *memo, const cb_id *id,
                        void (*change)(void *context, cb_digest *value), void *context);

#endif
