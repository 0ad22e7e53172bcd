/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The terminal's log on its own disk, until the broker has taken it.
 *
 * A file of mode 0600: a head (the last entry that the broker has taken), and the entries after it,
 * each with the beginning of its hash. An entry is on the disk when cb_spool_add returns; one that
 * a power cut left half written at the end was never acknowledged, and is cut off. Entries leave
 * the file only when the broker has said that it has them. Several threads and programs may add:
 * they take turns by a lock on a file beside it (".lock").
 *
 * When there is no room, CB_E_TERMINAL_LOG: the terminal rather stops than does what is not written
 * down. The beginning of a tap finds no room before other entries do, so that what is under way can
 * be brought to its end.
 */
#ifndef CB_CARDLINK_TERMINAL_SPOOL_H
#define CB_CARDLINK_TERMINAL_SPOOL_H

#include "cardlink/journal.h"

enum { CB_SPOOL_MAX = 1024 * 1024, CB_SPOOL_RESERVE = 64 * 1024 };

typedef struct cb_spool cb_spool;

/* Makes the file if there is none. CB_E_CONFIG: what is there is no log, or was changed; CB_E_IO,
 * CB_E_STORE_FULL, CB_E_MEMORY. */
cb_error cb_spool_open(const char *path, cb_spool **out);
void cb_spool_close(cb_spool **spool);

/* Adds an entry with the time of now (0 for a clock that is before 1970); what journal.h does not
 * let stand in a text becomes a "-", and what is too long is cut. As cb_spool_open, and
 * CB_E_TERMINAL_LOG. */
cb_error cb_spool_add(cb_spool *spool, cb_journal_event event, const char *text);

/* Whether a tap could be begun: CB_OK, CB_E_TERMINAL_LOG; as cb_spool_open. */
cb_error cb_spool_room(cb_spool *spool);

/* Whether anything waits for the broker. */
bool cb_spool_waits(cb_spool *spool);

/* The oldest entries that the broker has not taken, at most a batch, appended to entries, and the
 * heads around them; none: entries stays as it is. */
cb_error cb_spool_batch(cb_spool *spool, cb_journal_head *before, cb_buf *entries,
                        cb_journal_head *after);

/* The broker has everything up to this head: those entries leave the file. CB_E_PROTOCOL when no
 * entry of this log has that head. */
cb_error cb_spool_taken(cb_spool *spool, const cb_journal_head *head);

/* Removes the file and its lock. */
void cb_spool_remove(const char *path);

#endif
