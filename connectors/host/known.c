/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/known.h"

#include <pthread.h>
#include <string.h>

enum { KNOWN_MAX = 64 };

typedef struct known {
    cb_origin origin;
    cb_address address;
    int64_t until; /* 0: free */
} known;

static known all[KNOWN_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The origin's place; NULL: it has none. */
static known *place_of(const cb_origin *origin)
{
    for (size_t i = 0; i < KNOWN_MAX; i++) {
        if (all[i].until != 0 && cb_origin_same(&all[i].origin, origin))
            return &all[i];
    }
    return NULL;
}

/* A place for one more: a free one, or that which is known the longest. */
static known *oldest(void)
{
    known *found = &all[0];
    for (size_t i = 1; i < KNOWN_MAX; i++) {
        if (all[i].until < found->until)
            found = &all[i];
    }
    return found;
}

bool cb_known_find(const cb_origin *origin, cb_address *out)
{
    pthread_mutex_lock(&lock);
    const known *found = place_of(origin);
    bool usable = found && found->until > cb_clock_monotonic_us();
    if (usable)
        *out = found->address;
    pthread_mutex_unlock(&lock);
    return usable;
}

void cb_known_keep(const cb_origin *origin, const struct sockaddr *at, socklen_t size)
{
    if (size > sizeof(struct sockaddr_storage))
        return;
    pthread_mutex_lock(&lock);
    known *place = place_of(origin);
    if (!place)
        place = oldest();
    place->origin = *origin;
    memcpy(&place->address.at, at, size);
    place->address.size = size;
    place->until = cb_clock_monotonic_us() + CB_KNOWN_FOR;
    pthread_mutex_unlock(&lock);
}

void cb_known_forget(const cb_origin *origin)
{
    pthread_mutex_lock(&lock);
    known *place = place_of(origin);
    if (place)
        place->until = 0;
    pthread_mutex_unlock(&lock);
}
