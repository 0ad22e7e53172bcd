/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/rate.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

#define MINUTE (60 * CB_SECOND)

enum { BUCKETS = 1024 };

/* budget is counted in microseconds of a minute: one tap costs MINUTE / per_minute. */
typedef struct account {
    struct account *next;
    cb_id who;
    int64_t budget;
    int64_t seen;
} account;

struct cb_rate {
    pthread_mutex_t lock;
    account *bucket[BUCKETS];
};

cb_error cb_rate_open(cb_rate **out)
{
    cb_rate *rate = calloc(1, sizeof *rate);
    if (!rate)
        return CB_E_MEMORY;
    pthread_mutex_init(&rate->lock, NULL);
    *out = rate;
    return CB_OK;
}

void cb_rate_close(cb_rate **rate)
{
    if (!*rate)
        return;
    for (unsigned b = 0; b < BUCKETS; b++) {
        while ((*rate)->bucket[b]) {
            account *gone = (*rate)->bucket[b];
            (*rate)->bucket[b] = gone->next;
            free(gone);
        }
    }
    pthread_mutex_destroy(&(*rate)->lock);
    free(*rate);
    *rate = NULL;
}

/* The account of a terminal, a full one if it is new. Those of others in the same bucket that are full again are dropped, so
 * that the table never holds more than a minute's worth. */
static account *account_of(cb_rate *rate, const cb_id *who, int64_t now)
{
    account **at = &rate->bucket[(who->bytes[14] << 8 | who->bytes[15]) % BUCKETS];
    account *found = NULL;
    while (*at) {
        account *a = *at;
        if (cb_id_same(&a->who, who)) {
            found = a;
        } else if (now - a->seen > MINUTE) {
            *at = a->next;
            free(a);
            continue;
        }
        at = &a->next;
    }
    if (!found && (found = calloc(1, sizeof *found)) != NULL) {
        *found = (account){.who = *who, .budget = MINUTE, .seen = now};
        *at = found;
    }
    return found;
}

cb_error cb_rate_take(cb_rate *rate, const cb_id *who, uint32_t per_minute)
{
    if (per_minute == 0)
        return CB_OK;
    cb_error error = CB_OK;
    int64_t now = cb_clock_monotonic_us();
    pthread_mutex_lock(&rate->lock);
    account *a = account_of(rate, who, now);
    if (!a) {
        error = CB_E_MEMORY;
    } else {
        a->budget += now - a->seen;
        if (a->budget > MINUTE)
            a->budget = MINUTE;
        a->seen = now;
        if (a->budget < MINUTE / per_minute)
            error = CB_E_TERMINAL_RATE;
        else
            a->budget -= MINUTE / per_minute;
    }
    pthread_mutex_unlock(&rate->lock);
    return error;
}
