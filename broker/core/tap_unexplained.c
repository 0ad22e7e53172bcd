/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/tap_unexplained.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct unexplained {
    cb_failed_proof failed;
    int64_t until; /* monotonic; 0: none is here */
} unexplained;

struct cb_tap_unexplained {
    pthread_mutex_t lock;
    unexplained place[CB_TAP_UNEXPLAINED_MOST];
};

cb_error cb_tap_unexplained_open(cb_tap_unexplained **out)
{
    cb_tap_unexplained *table = calloc(1, sizeof *table);
    if (!table)
        return CB_E_MEMORY;
    pthread_mutex_init(&table->lock, NULL);
    *out = table;
    return CB_OK;
}

void cb_tap_unexplained_close(cb_tap_unexplained **table)
{
    if (!*table)
        return;
    pthread_mutex_destroy(&(*table)->lock);
    free(*table);
    *table = NULL;
}

static bool is_of(const unexplained *u, const cb_id *card, const cb_id *terminal)
{
    return u->until != 0 && cb_id_same(&u->failed.card, card) &&
           cb_id_same(&u->failed.terminal, terminal);
}

/* The place of that card at that terminal, or else the one that is forgotten for it. The lock is
 * held. */
static unexplained *place_for(cb_tap_unexplained *table, const cb_failed_proof *failed)
{
    unexplained *oldest = &table->place[0];
    for (size_t i = 0; i < CB_TAP_UNEXPLAINED_MOST; i++) {
        unexplained *u = &table->place[i];
        if (is_of(u, &failed->card, &failed->terminal))
            return u;
        if (u->until < oldest->until)
            oldest = u;
    }
    return oldest;
}

void cb_tap_unexplained_put(cb_tap_unexplained *table, const cb_failed_proof *failed)
{
    if (cb_id_is_zero(&failed->tap) || cb_id_is_zero(&failed->card))
        return;
    pthread_mutex_lock(&table->lock);
    *place_for(table, failed) = (unexplained){*failed, cb_deadline_in(CB_TAP_EXPLAINED_FOR)};
    pthread_mutex_unlock(&table->lock);
}

bool cb_tap_unexplained_has(cb_tap_unexplained *table, const cb_id *tap, const cb_id *terminal)
{
    bool has = false;
    pthread_mutex_lock(&table->lock);
    for (size_t i = 0; i < CB_TAP_UNEXPLAINED_MOST && !has; i++) {
        const unexplained *u = &table->place[i];
        has = u->until > cb_clock_monotonic_us() && cb_id_same(&u->failed.tap, tap) &&
              cb_id_same(&u->failed.terminal, terminal);
    }
    pthread_mutex_unlock(&table->lock);
    return has;
}

void cb_tap_unexplained_take(cb_tap_unexplained *table, const cb_id *card, const cb_id *terminal,
                             cb_failed_proof *out)
{
    *out = (cb_failed_proof){.time = 0};
    pthread_mutex_lock(&table->lock);
    for (size_t i = 0; i < CB_TAP_UNEXPLAINED_MOST; i++) {
        unexplained *u = &table->place[i];
        if (!is_of(u, card, terminal))
            continue;
        if (u->until > cb_clock_monotonic_us())
            *out = u->failed;
        u->until = 0;
    }
    pthread_mutex_unlock(&table->lock);
}
