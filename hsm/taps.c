/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/taps.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/secret.h"

cb_error cb_taps_new(const cb_taps_setup *setup, cb_taps **out)
{
    cb_taps *taps = calloc(1, sizeof *taps);
    *out = NULL;
    if (!taps)
        return CB_E_MEMORY;
    taps->setup = *setup;
    taps->boot = cb_id_new();
    taps->tap = calloc(setup->capacity, sizeof *taps->tap);
    taps->free_place = calloc(setup->capacity, sizeof *taps->free_place);
    if (!taps->tap || !taps->free_place) {
        cb_taps_free(&taps);
        return CB_E_MEMORY;
    }
    while (taps->free_count < setup->capacity) {
        taps->free_place[taps->free_count] = (uint16_t)taps->free_count;
        taps->free_count++;
    }
    *out = taps;
    return CB_OK;
}

static void wipe(cb_tap *tap)
{
    if (tap->profile_state) {
        tap->profile->end(tap->profile_state);
        cb_wipe(tap->profile_state, tap->profile->state_size);
        free(tap->profile_state);
    }
    cb_host_release(&tap->host);
    cb_buf_free(&tap->sealed);
    free(tap->registering);
    free(tap->renewing);
    cb_wipe(tap, sizeof *tap);
}

void cb_taps_free(cb_taps **taps)
{
    cb_taps *old = *taps;
    *taps = NULL;
    if (!old)
        return;
    for (size_t i = 0; old->tap && i < old->setup.capacity; i++)
        wipe(&old->tap[i]);
    free(old->tap);
    free(old->free_place);
    free(old);
}

static uint16_t place_in(const cb_id *id) { return (uint16_t)(id->bytes[1] << 8 | id->bytes[2]); }

void cb_taps_end(cb_taps *taps, cb_tap *tap)
{
    if (tap->state == CB_TAP_FREE)
        return;
    uint16_t place = place_in(&tap->id);
    wipe(tap);
    taps->free_place[taps->free_count++] = place;
}

/* Wipes all but the identifier. The place is given away again when no free one is left. */
static void expire(cb_tap *tap)
{
    cb_id id = tap->id;
    wipe(tap);
    tap->id = id;
    tap->state = CB_TAP_EXPIRED;
}

static bool is_over(const cb_taps *taps, const cb_tap *tap)
{
    int64_t age = cb_clock_monotonic_us() - tap->begun;
    return age >= taps->setup.lifetime_us ||
           (tap->state == CB_TAP_BEGUN && age >= taps->setup.prefetch_us);
}

void cb_taps_sweep(cb_taps *taps)
{
    for (size_t i = 0; i < taps->setup.capacity; i++) {
        cb_tap *tap = &taps->tap[i];
        if (tap->state != CB_TAP_FREE && tap->state != CB_TAP_EXPIRED && is_over(taps, tap))
            expire(tap);
    }
}

size_t cb_taps_live(const cb_taps *taps)
{
    size_t live = 0;
    for (size_t i = 0; i < taps->setup.capacity; i++)
        live += taps->tap[i].state != CB_TAP_FREE && taps->tap[i].state != CB_TAP_EXPIRED;
    return live;
}

bool cb_taps_worn(const cb_taps *taps)
{
    return taps->setup.most > 0 && taps->begun >= taps->setup.most;
}

bool cb_taps_worn_out(const cb_taps *taps)
{
    return cb_taps_worn(taps) && taps->begun - taps->setup.most >= taps->setup.most / 10;
}

bool cb_taps_under_way(const cb_taps *taps, int64_t since)
{
    unsigned inside = CB_TAP_CHALLENGED | CB_TAP_FINISHED | CB_TAP_ACTIVE | CB_TAP_OPEN;
    for (size_t i = 0; i < taps->setup.capacity; i++) {
        const cb_tap *tap = &taps->tap[i];
        if ((tap->state & inside) || (tap->state == CB_TAP_BEGUN && tap->begun >= since))
            return true;
    }
    return false;
}

/* Frees one place that an expired tap still has, going round. */
static void reuse_expired(cb_taps *taps)
{
    for (size_t i = 0; i < taps->setup.capacity; i++) {
        size_t at = (taps->oldest_expired + i) % taps->setup.capacity;
        if (taps->tap[at].state != CB_TAP_EXPIRED)
            continue;
        cb_taps_end(taps, &taps->tap[at]);
        taps->oldest_expired = at + 1;
        return;
    }
}

static cb_id new_id(const cb_taps *taps, uint16_t place)
{
    cb_id id = cb_id_random();
    id.bytes[0] = taps->setup.worker;
    id.bytes[1] = (uint8_t)(place >> 8);
    id.bytes[2] = (uint8_t)place;
    return id;
}

cb_error cb_taps_add(cb_taps *taps, cb_host *host, uint8_t profile, const cb_id *terminal,
                     cb_tap **out)
{
    const cb_card_profile *card = taps->setup.profile_find(profile);
    if (!card)
        return CB_E_ARGUMENT;
    if (taps->free_count == 0)
        reuse_expired(taps);
    if (taps->free_count == 0 || cb_taps_worn_out(taps))
        return CB_E_BUSY;
    void *state = calloc(1, card->state_size);
    if (!state)
        return CB_E_MEMORY;
    uint16_t place = taps->free_place[--taps->free_count];
    taps->begun++;
    cb_tap *tap = &taps->tap[place];
    *tap = (cb_tap){.id = new_id(taps, place),
                    .state = CB_TAP_BEGUN,
                    .begun = cb_clock_monotonic_us(),
                    .terminal = *terminal,
                    .profile = card,
                    .profile_state = state,
                    .host = cb_host_hold(host),
                    .sealed = CB_BUF(CB_SEALED_MAX)};
    *out = tap;
    return CB_OK;
}

cb_error cb_taps_enter(cb_taps *taps, const cb_id *id, unsigned states, cb_tap **out)
{
    uint16_t place = place_in(id);
    if (id->bytes[0] != taps->setup.worker || place >= taps->setup.capacity)
        return CB_E_TAP_UNKNOWN;
    cb_tap *tap = &taps->tap[place];
    if (tap->state == CB_TAP_FREE || !cb_id_same(&tap->id, id))
        return CB_E_TAP_UNKNOWN;
    if (tap->state != CB_TAP_EXPIRED && is_over(taps, tap))
        expire(tap);
    if (tap->state == CB_TAP_EXPIRED)
        return CB_E_TAP_EXPIRED;
    if (!(tap->state & states)) {
        cb_taps_end(taps, tap);
        return CB_E_TAP_ORDER;
    }
    *out = tap;
    return CB_OK;
}
