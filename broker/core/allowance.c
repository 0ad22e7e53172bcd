/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/allowance.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

#define MINUTE (60 * CB_SECOND)
#define FULL_AFTER ((int64_t)CB_ALLOWANCE_MOST / CB_ALLOWANCE_A_MINUTE * MINUTE)

enum { BUCKETS = 1024 };

typedef struct account {
    struct account *next;
    cb_id who;
    int64_t left;
    int64_t seen;
} account;

struct cb_allowance {
    pthread_mutex_t lock;
    account *bucket[BUCKETS];
};

cb_error cb_allowance_open(cb_allowance **out)
{
    cb_allowance *allowance = calloc(1, sizeof *allowance);
    if (!allowance)
        return CB_E_MEMORY;
    pthread_mutex_init(&allowance->lock, NULL);
    *out = allowance;
    return CB_OK;
}

void cb_allowance_close(cb_allowance **allowance)
{
    if (!*allowance)
        return;
    for (unsigned b = 0; b < BUCKETS; b++) {
        while ((*allowance)->bucket[b]) {
            account *gone = (*allowance)->bucket[b];
            (*allowance)->bucket[b] = gone->next;
            free(gone);
        }
    }
    pthread_mutex_destroy(&(*allowance)->lock);
    free(*allowance);
    *allowance = NULL;
}

/* NULL for one that is full. Those of others in the same bucket that are full again are dropped.
 * Lock held. */
static account *find(cb_allowance *allowance, const cb_id *who, int64_t now)
{
    account **at = &allowance->bucket[(who->bytes[14] << 8 | who->bytes[15]) % BUCKETS];
    account *found = NULL;
    while (*at) {
        account *a = *at;
        if (now - a->seen > FULL_AFTER) {
            *at = a->next;
            free(a);
            continue;
        }
        if (cb_id_same(&a->who, who))
            found = a;
        at = &a->next;
    }
    return found;
}

static account *make(cb_allowance *allowance, const cb_id *who, int64_t now)
{
    account **at = &allowance->bucket[(who->bytes[14] << 8 | who->bytes[15]) % BUCKETS];
    account *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    *made = (account){.next = *at, .who = *who, .left = CB_ALLOWANCE_MOST, .seen = now};
    *at = made;
    return made;
}

static void fill(account *a, int64_t more, int64_t now)
{
    int64_t grown = (now - a->seen) * CB_ALLOWANCE_A_MINUTE / MINUTE;
    a->seen += grown * MINUTE / CB_ALLOWANCE_A_MINUTE; /* less than a byte is not lost */
    a->left += grown + more;
    if (a->left >= CB_ALLOWANCE_MOST) {
        a->left = CB_ALLOWANCE_MOST;
        a->seen = now;
    }
}

cb_error cb_allowance_take(cb_allowance *allowance, const cb_id *who, int64_t bytes, int64_t now)
{
    cb_error error = CB_OK;
    pthread_mutex_lock(&allowance->lock);
    account *a = find(allowance, who, now);
    if (!a)
        a = make(allowance, who, now);
    if (a)
        fill(a, 0, now);
    if (!a)
        error = CB_E_MEMORY;
    else if (a->left < bytes)
        error = CB_E_TERMINAL_RATE;
    else
        a->left -= bytes;
    pthread_mutex_unlock(&allowance->lock);
    return error;
}

void cb_allowance_give(cb_allowance *allowance, const cb_id *who, int64_t bytes, int64_t now)
{
    pthread_mutex_lock(&allowance->lock);
    account *a = find(allowance, who, now);
    if (a)
        fill(a, bytes, now);
    pthread_mutex_unlock(&allowance->lock);
}
