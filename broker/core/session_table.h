/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The sessions of session.h: which there are, by label, by card and by age. Each step takes the same time however many
 * there are. The caller locks.
 */
#ifndef CB_BROKER_CORE_SESSION_TABLE_H
#define CB_BROKER_CORE_SESSION_TABLE_H

#include <sys/queue.h>

#include "broker/core/session.h"

enum { CB_SESSION_BUCKETS = 1024 };

/* One session. The table owns one reference, each use another; the last one frees it. While ended is false the entry
 * is live; afterwards it only remembers that it was. */
typedef struct cb_session_entry {
    struct cb_session_entry *next_of_label; /* in the same bucket */
    LIST_ENTRY(cb_session_entry) of_card; /* in the same bucket, while live */
    TAILQ_ENTRY(cb_session_entry) order; /* of those that live, or of those that ended */
    cb_session_facts facts;
    cb_session *session;
    char label[CB_SESSION_LABEL];
    cb_digest code;
    cb_digest cookie;
    bool entered; /* there is a cookie */
    bool claimed; /* somebody came with it: the code is used up */
    bool ended; /* silent, and to be cut by whoever ended it */
    bool superseded; /* to be ended by the sweeper: its card has newer ones */
    bool listed; /* the table owns one of the references */
    unsigned references;
    int64_t opened;
    int64_t used;
    int64_t ended_at;
} cb_session_entry;

TAILQ_HEAD(cb_session_queue, cb_session_entry);
LIST_HEAD(cb_session_list, cb_session_entry);

typedef struct cb_session_table {
    cb_session_entry *by_label[CB_SESSION_BUCKETS];
    struct cb_session_list by_card[CB_SESSION_BUCKETS];
    struct cb_session_queue live; /* the oldest first */
    struct cb_session_queue ended; /* whose end is the longest ago first */
    unsigned live_count;
    unsigned ended_count;
} cb_session_table;

void cb_session_table_init(cb_session_table *table);

/* Takes a live one in. */
void cb_session_table_add(cb_session_table *table, cb_session_entry *e);

/* NULL: none has it. */
cb_session_entry *cb_session_table_find(const cb_session_table *table, const char *label);

/* Of a card's live sessions, those already superseded left out: how many, and the oldest (NULL: none). */
unsigned cb_session_table_count(const cb_session_table *table, const cb_id *card,
                                cb_session_entry **oldest);

/* From the live to the ended. */
void cb_session_table_end(cb_session_table *table, cb_session_entry *e);

/* Leaves the table for good, live or ended; listed becomes false, and the table's reference the caller's. */
void cb_session_table_forget(cb_session_table *table, cb_session_entry *e);

#endif
