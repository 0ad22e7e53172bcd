/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/feed_set.h"

#include <stdlib.h>

#include "base/secret.h"

enum { TAKEN = 0x80, FIRST_PLACES = 1024 };

void cb_feed_set_init(cb_feed_set *set)
{
    *set = (cb_feed_set){0};
    cb_random(&set->secret, sizeof set->secret);
}

void cb_feed_set_free(cb_feed_set *set)
{
    free(set->id);
    free(set->used);
    free(set->number);
    *set = (cb_feed_set){0};
}

static size_t first_place(const cb_feed_set *set, const cb_id *id)
{
    uint64_t half[2];
    memcpy(half, id->bytes, sizeof half);
    uint64_t h = (half[0] ^ set->secret) * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ (h >> 32) ^ half[1]) * UINT64_C(0xD6E8FEB86659FD93);
    h = (h ^ (h >> 29) ^ set->secret) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(h >> 20) & (set->places - 1);
}

/* The place of an identifier, or the free one where it belongs. */
static size_t place_of(const cb_feed_set *set, const cb_id *id)
{
    size_t at = first_place(set, id);
    while (set->used[at] && !cb_id_same(&set->id[at], id))
        at = (at + 1) & (set->places - 1);
    return at;
}

static cb_error grow(cb_feed_set *set, size_t places)
{
    cb_feed_set next = {.places = places, .secret = set->secret};
    next.id = malloc(places * sizeof *next.id);
    next.used = calloc(places, 1);
    next.number = calloc(places, sizeof *next.number);
    if (!next.id || !next.used || !next.number) {
        cb_feed_set_free(&next);
        return CB_E_MEMORY;
    }
    for (size_t i = 0; i < set->places; i++) {
        if (!set->used[i])
            continue;
        cb_feed_set_mark(&next, &set->id[i], set->used[i], 0);
        cb_feed_set_suspended(&next, &set->id[i], set->number[i]);
    }
    cb_feed_set_free(set);
    *set = next;
    return CB_OK;
}

cb_error cb_feed_set_reserve(cb_feed_set *set, size_t more)
{
    size_t places = set->places ? set->places : FIRST_PLACES;
    while (places / 3 * 2 < set->count + more) {
        if (places > SIZE_MAX / 64)
            return CB_E_MEMORY;
        places *= 2;
    }
    return places == set->places ? CB_OK : grow(set, places);
}

void cb_feed_set_mark(cb_feed_set *set, const cb_id *id, uint8_t add, uint8_t take)
{
    size_t at = place_of(set, id);
    if (!set->used[at]) {
        set->id[at] = *id;
        set->count++;
    }
    set->used[at] = (uint8_t)(((set->used[at] | add) & ~take) | TAKEN);
}

void cb_feed_set_suspended(cb_feed_set *set, const cb_id *id, uint32_t number)
{
    set->number[place_of(set, id)] = number;
}

uint8_t cb_feed_set_marks(const cb_feed_set *set, const cb_id *id, uint32_t *suspended)
{
    if (set->places == 0)
        return 0;
    size_t at = place_of(set, id);
    if (suspended)
        *suspended = set->number[at];
    return set->used[at] & (uint8_t)~TAKEN;
}
