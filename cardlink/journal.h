/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The log that a terminal keeps of itself: how its entries are written, and chained.
 *
 *   entry  time (8, microseconds since 1970) ‖ event (1) ‖ length (1) ‖ text
 *   hash   SHA-256 (domain ‖ hash of the entry before ‖ number (8) ‖ entry)
 *
 * Entries are numbered from 1 on; before the first, number and hash are zero. A head is the number
 * and the hash of an entry, and stands for it and all before it. What the terminal signs is the
 * head of what it sends. A text is identifiers, codes and digests, never what a person is called,
 * typed or was given.
 */
#ifndef CB_CARDLINK_JOURNAL_H
#define CB_CARDLINK_JOURNAL_H

#include "base/crypto.h"
#include "base/cursor.h"
#include "base/id.h"

enum {
    CB_JOURNAL_TEXT_MAX = 200,
    CB_JOURNAL_ENTRY_MAX = 10 + CB_JOURNAL_TEXT_MAX,
    CB_JOURNAL_BATCH_ENTRIES = 100,
    CB_JOURNAL_BATCH_MAX = CB_JOURNAL_BATCH_ENTRIES * CB_JOURNAL_ENTRY_MAX
};

/* The numbers are on disks and in databases: they stay. */
typedef enum cb_journal_event {
    CB_JOURNAL_STARTED = 1,       /* version, digests of program and configuration */
    CB_JOURNAL_STOPPED = 2,       /* code */
    CB_JOURNAL_TAP_BEGUN = 3,     /* tap; "-": it has no identifier yet */
    CB_JOURNAL_TAP_ENDED = 4,     /* tap, code */
    CB_JOURNAL_READER_FAILED = 5, /* code */
    CB_JOURNAL_BROKER_LOST = 6,   /* code */
    CB_JOURNAL_BROKER_BACK = 7,
    CB_JOURNAL_RENEWED = 8,
    CB_JOURNAL_RENEWAL_FAILED = 9, /* code */
    CB_JOURNAL_TAMPERED = 10,
    CB_JOURNAL_ERASED = 11,
    CB_JOURNAL_MAINTENANCE = 12, /* reason */
    CB_JOURNAL_MAINTAINED = 13   /* reason */
} cb_journal_event;

typedef struct cb_journal_entry {
    int64_t time;
    uint8_t event;
    char text[CB_JOURNAL_TEXT_MAX + 1];
} cb_journal_entry;

typedef struct cb_journal_head {
    uint64_t number;
    cb_digest hash;
} cb_journal_head;

/* "tap.begun" and the like; NULL for a number that is none. */
const char *cb_journal_event_name(uint8_t event);

/* The text of a tap's begin and end. tap zero: it has no identifier; code "": none. */
void cb_journal_tap(const cb_id *tap, const char *code, char out[CB_JOURNAL_TEXT_MAX + 1]);

/* Whether a character may stand in a text: letters, digits, space and . _ : = - */
bool cb_journal_char_ok(char c);

/* Appends an entry. CB_E_ARGUMENT for an event that is none, or a text with other
 * characters. */
cb_error cb_journal_put(const cb_journal_entry *entry, cb_buf *out);

/* Reads the next entry, and makes of the head before it its own. CB_E_FORMAT. */
cb_error cb_journal_take(cb_cursor *from, cb_journal_entry *out, cb_journal_head *head);

/* Reads 1 to CB_JOURNAL_BATCH_ENTRIES entries with nothing behind them, on from a head.
 * CB_E_FORMAT. */
cb_error cb_journal_follow(cb_bytes entries, cb_journal_head *head);

bool cb_journal_same(const cb_journal_head *a, const cb_journal_head *b);

/* What is signed of a head. */
cb_digest cb_journal_digest(const cb_journal_head *head);

/* Whether it was, by the key of that point. CB_E_CRYPTO, CB_E_MEMORY. */
cb_error cb_journal_check(const cb_journal_head *head, cb_bytes point, cb_bytes signature);

#endif
