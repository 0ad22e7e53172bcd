/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/session_table.h"

#include <string.h>

static unsigned bucket_of_label(const char *label)
{
    unsigned hash = 5381;
    for (; *label; label++)
        hash = hash * 33 ^ (unsigned char)*label;
    return hash % CB_SESSION_BUCKETS;
}

/* Identifiers are drawn at random. */
static unsigned bucket_of_card(const cb_id *card)
{
    unsigned drawn = card->bytes[CB_ID_SIZE - 1] | (unsigned)card->bytes[CB_ID_SIZE - 2] << 8;
    return drawn % CB_SESSION_BUCKETS;
}

void cb_session_table_init(cb_session_table *table)
{
    memset(table, 0, sizeof *table);
    TAILQ_INIT(&table->live);
    TAILQ_INIT(&table->ended);
}

void cb_session_table_add(cb_session_table *table, cb_session_entry *e)
{
    cb_session_entry **bucket = &table->by_label[bucket_of_label(e->label)];
    e->next_of_label = *bucket;
    *bucket = e;
    LIST_INSERT_HEAD(&table->by_card[bucket_of_card(&e->facts.card)], e, of_card);
    TAILQ_INSERT_TAIL(&table->live, e, order);
    table->live_count++;
}

cb_session_entry *cb_session_table_find(const cb_session_table *table, const char *label)
{
    cb_session_entry *e = table->by_label[bucket_of_label(label)];
    while (e && strcmp(e->label, label) != 0)
        e = e->next_of_label;
    return e;
}

unsigned cb_session_table_count(const cb_session_table *table, const cb_id *card,
                                cb_session_entry **oldest)
{
    unsigned count = 0;
    cb_session_entry *e;
    *oldest = NULL;
    LIST_FOREACH (e, &table->by_card[bucket_of_card(card)], of_card) {
        if (e->superseded || !cb_id_same(&e->facts.card, card))
            continue;
        count++;
        if (!*oldest || e->opened < (*oldest)->opened)
            *oldest = e;
    }
    return count;
}

static void leave_live(cb_session_table *table, cb_session_entry *e)
{
    LIST_REMOVE(e, of_card);
    TAILQ_REMOVE(&table->live, e, order);
    table->live_count--;
}

void cb_session_table_end(cb_session_table *table, cb_session_entry *e)
{
    leave_live(table, e);
    e->ended = true;
    TAILQ_INSERT_TAIL(&table->ended, e, order);
    table->ended_count++;
}

void cb_session_table_forget(cb_session_table *table, cb_session_entry *e)
{
    cb_session_entry **at = &table->by_label[bucket_of_label(e->label)];
    while (*at != e)
        at = &(*at)->next_of_label;
    *at = e->next_of_label;
    if (e->ended) {
        TAILQ_REMOVE(&table->ended, e, order);
        table->ended_count--;
    } else {
        leave_live(table, e);
    }
    e->listed = false;
}
