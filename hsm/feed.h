/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What hsmd remembers of the revocation feed (records.h), so that a database that was set back
 * cannot make it forget.
 *
 * One file, shared by all workers of an hsmd: the head that was last made durable (durable.h), then
 * one record of 65 bytes for each entry, chained by its hash. Entries are appended under an
 * exclusive lock, synced, and then the head is moved, and synced: what the head covers was
 * acknowledged and must be whole; what lies behind it is what a crash left of an append that nobody
 * was told of, and is cut off. A worker learns of what another one appended by a single fstat(2):
 * the length of a file with nothing behind its head grows with every append.
 *
 *   record: u64 number ‖ u8 kind ‖ subject (16) ‖ i64 time ‖ hash (32)
 *
 * Nobody signs the entries: whoever has the front end can add some. That a card is revoked or
 * suspended is believed at once, for it opens nothing. That a suspended card is resumed counts only
 * when the manage lane has said so too (cb_feed_resume): a second file (memo.h, the path and
 * CB_FEED_RESUMED) holds for each such card the hash of the entry that had suspended it, so that no
 * resumption lifts a later suspension.
 *
 * A cb_feed belongs to one thread.
 */
#ifndef CB_HSM_FEED_H
#define CB_HSM_FEED_H

#include "hsm/records.h"

enum { CB_FEED_RECORD = 65, CB_FEED_EXTEND_MAX = 1000 };

#define CB_FEED_RESUMED ".resumed"

typedef struct cb_feed cb_feed;

/* Makes an empty memory where there is none: see cb_durable_make. */
cb_error cb_feed_make(const char *path);

/* Opens the memory and reads all of it. CB_E_HSM_RECORD: the file was damaged or edited; CB_E_IO
 * (also when there is none), CB_E_MEMORY. */
cb_error cb_feed_open(const char *path, cb_feed **out);
void cb_feed_close(cb_feed **feed);

/* How many entries are remembered at most (UINT32_MAX, if never called); memory and file are
 * bounded by it. */
void cb_feed_limit(cb_feed *feed, uint32_t most);

/* Takes in what other processes appended. Call before each question below. CB_E_HSM_ROLLED_BACK
 * when the file became shorter or was removed; CB_E_HSM_RECORD, CB_E_IO, CB_E_MEMORY. After an
 * error nothing may be decided from this memory. */
cb_error cb_feed_refresh(cb_feed *feed);

/* The last entry remembered. */
cb_feed_head cb_feed_now(const cb_feed *feed);

/* Compares the head that the database has with what is remembered: CB_OK if it is the same,
 * CB_E_HSM_FEED_BEHIND if it is longer, CB_E_HSM_ROLLED_BACK if it is shorter or of another
 * history. */
cb_error cb_feed_compare(const cb_feed *feed, const cb_feed_head *database);

/* Remembers entries, in order, at most CB_FEED_EXTEND_MAX; returns after they are durable. Entries
 * that are remembered already are compared. CB_E_HSM_FEED_BEHIND: there is a gap before the first;
 * CB_E_HSM_ROLLED_BACK: they are of another history; CB_E_ARGUMENT: numbers or kinds are wrong;
 * CB_E_IO, CB_E_STORE_FULL (also when there would be more than the limit): nothing was remembered.
 */
cb_error cb_feed_extend(cb_feed *feed, const cb_feed_entry *entries, size_t count);

/* CB_OK, or CB_E_CARD_REVOKED / CB_E_CARD_SUSPENDED, CB_E_TERMINAL_REVOKED, CB_E_HSM_KEY_RETIRED.
 */
cb_error cb_feed_card(const cb_feed *feed, const cb_id *card);
cb_error cb_feed_terminal(const cb_feed *feed, const cb_id *terminal);
cb_error cb_feed_key(const cb_feed *feed, const cb_id *key);

/* Lifts a card's last suspension for good, if the feed says that the card was resumed after it;
 * returns after that is durable. For the manage lane only. Call cb_feed_refresh before.
 * CB_E_HSM_FEED_BEHIND: the feed does not say so, or not yet; CB_E_CARD_REVOKED; CB_E_HSM_RECORD,
 * CB_E_IO, CB_E_STORE_FULL. */
cb_error cb_feed_resume(cb_feed *feed, const cb_id *card);

/* The number of the last entry of a file, for reports; CB_E_HSM_RECORD, CB_E_IO. */
cb_error cb_feed_peek(const char *path, uint64_t *number);

#endif
