/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/tap_table.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

enum { BUCKETS = 4096 };

struct cb_tap_table {
    pthread_mutex_t lock;
    unsigned count;
    unsigned most;
    unsigned per_terminal;
    cb_tap_entry *bucket[BUCKETS];
};

void cb_tap_entry_free(cb_tap_entry *tap)
{
    if (tap)
        cb_buf_free(&tap->certificates);
    free(tap);
}

/* Tap ids are random but for their first byte. */
static cb_tap_entry **bucket_of(cb_tap_table *table, const cb_id *tap)
{
    return &table->bucket[(tap->bytes[14] << 8 | tap->bytes[15]) % BUCKETS];
}

cb_error cb_tap_table_open(unsigned most, unsigned per_terminal, cb_tap_table **out)
{
    cb_tap_table *table = calloc(1, sizeof *table);
    if (!table)
        return CB_E_MEMORY;
    table->most = most;
    table->per_terminal = per_terminal;
    pthread_mutex_init(&table->lock, NULL);
    *out = table;
    return CB_OK;
}

void cb_tap_table_close(cb_tap_table **table)
{
    if (!*table)
        return;
    for (unsigned b = 0; b < BUCKETS; b++) {
        while ((*table)->bucket[b]) {
            cb_tap_entry *tap = (*table)->bucket[b];
            (*table)->bucket[b] = tap->next;
            cb_tap_entry_free(tap);
        }
    }
    pthread_mutex_destroy(&(*table)->lock);
    free(*table);
    *table = NULL;
}

unsigned cb_tap_table_count(cb_tap_table *table)
{
    pthread_mutex_lock(&table->lock);
    unsigned count = table->count;
    pthread_mutex_unlock(&table->lock);
    return count;
}

/* Unlinks what *at points to; the lock is held. */
static cb_tap_entry *unlink_at(cb_tap_table *table, cb_tap_entry **at)
{
    cb_tap_entry *tap = *at;
    *at = tap->next;
    tap->next = NULL;
    table->count--;
    return tap;
}

/* Of a terminal's taps how many there are, and where the oldest is linked that was only begun
 * (NULL: none). The lock is held. */
static unsigned taps_of(cb_tap_table *table, const cb_id *terminal, cb_tap_entry ***oldest)
{
    unsigned own = 0;
    *oldest = NULL;
    for (unsigned b = 0; b < BUCKETS; b++) {
        for (cb_tap_entry **at = &table->bucket[b]; *at; at = &(*at)->next) {
            if (!cb_id_same(&(*at)->context.terminal, terminal))
                continue;
            own++;
            if ((*at)->stage == CB_TAP_BEGUN && (!*oldest || (*at)->expires < (**oldest)->expires))
                *oldest = at;
        }
    }
    return own;
}

cb_error cb_tap_table_room(cb_tap_table *table, const cb_id *terminal, cb_tap_entry **dropped)
{
    cb_tap_entry **oldest = NULL;
    *dropped = NULL;
    pthread_mutex_lock(&table->lock);
    cb_error error = table->count >= table->most ? CB_E_BUSY : CB_OK;
    if (!error && taps_of(table, terminal, &oldest) >= table->per_terminal) {
        if (oldest)
            *dropped = unlink_at(table, oldest);
        else
            error = CB_E_BUSY;
    }
    pthread_mutex_unlock(&table->lock);
    return error;
}

void cb_tap_table_put(cb_tap_table *table, cb_tap_entry *tap)
{
    pthread_mutex_lock(&table->lock);
    cb_tap_entry **bucket = bucket_of(table, &tap->context.tap);
    tap->next = *bucket;
    *bucket = tap;
    table->count++;
    pthread_mutex_unlock(&table->lock);
}

cb_error cb_tap_table_take(cb_tap_table *table, const cb_id *tap, const cb_id *terminal,
                           cb_tap_stage stage, cb_tap_entry **out)
{
    *out = NULL;
    pthread_mutex_lock(&table->lock);
    cb_tap_entry **at = bucket_of(table, tap);
    while (*at && !cb_id_same(&(*at)->context.tap, tap))
        at = &(*at)->next;
    if (*at && cb_id_same(&(*at)->context.terminal, terminal))
        *out = unlink_at(table, at);
    pthread_mutex_unlock(&table->lock);
    if (!*out)
        return CB_E_TAP_UNKNOWN;
    if (cb_clock_monotonic_us() > (*out)->expires)
        return CB_E_TAP_EXPIRED;
    return (*out)->stage == stage ? CB_OK : CB_E_TAP_ORDER;
}

cb_tap_entry *cb_tap_table_expired(cb_tap_table *table)
{
    cb_tap_entry *list = NULL;
    int64_t now = cb_clock_monotonic_us();
    pthread_mutex_lock(&table->lock);
    for (unsigned b = 0; b < BUCKETS; b++) {
        for (cb_tap_entry **at = &table->bucket[b]; *at;) {
            if (now <= (*at)->expires) {
                at = &(*at)->next;
                continue;
            }
            cb_tap_entry *tap = unlink_at(table, at);
            tap->next = list;
            list = tap;
        }
    }
    pthread_mutex_unlock(&table->lock);
    return list;
}
