/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The set of what was revoked, suspended or retired: identifiers with a few marks each, in memory.
 *
 * Open addressing, at most two thirds full, 21 bytes a place: 10^6 revocations take 44 MB. The
 * places are chosen with a secret of the process, so that nobody can choose identifiers that pile
 * up.
 */
#ifndef CB_HSM_FEED_SET_H
#define CB_HSM_FEED_SET_H

#include "base/id.h"

enum {
    CB_MARK_CARD_REVOKED = 1,
    CB_MARK_CARD_SUSPENDED = 2,
    CB_MARK_TERMINAL_REVOKED = 4,
    CB_MARK_KEY_RETIRED = 8,
    CB_MARK_CARD_RESUMED = 16 /* after it was suspended, as the feed says */
};

typedef struct cb_feed_set {
    cb_id *id;
    uint8_t *used; /* 0: free; otherwise the marks and TAKEN */
    uint32_t *number; /* of the entry that suspended a card last */
    size_t places; /* a power of two, or 0 */
    size_t count;
    uint64_t secret;
} cb_feed_set;

void cb_feed_set_init(cb_feed_set *set);
void cb_feed_set_free(cb_feed_set *set);

/* Makes room for so many more, so that marking them cannot fail. CB_E_MEMORY. */
cb_error cb_feed_set_reserve(cb_feed_set *set, size_t more);

/* Adds and takes away marks. There must be room for one more (see above). */
void cb_feed_set_mark(cb_feed_set *set, const cb_id *id, uint8_t add, uint8_t take);

/* Notes the number of the entry that suspended a card, which must have been marked. */
void cb_feed_set_suspended(cb_feed_set *set, const cb_id *id, uint32_t number);

/* The marks of an identifier, 0 for an unknown one; and that number, which may be NULL. */
uint8_t cb_feed_set_marks(const cb_feed_set *set, const cb_id *id, uint32_t *suspended);

#endif
