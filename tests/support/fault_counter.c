/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/fault_counter.h"

#include <execinfo.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void fault_counter_make(fault_counter *counter)
{
    counter->shared = mmap(NULL, sizeof *counter->shared, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counter->shared == MAP_FAILED)
        abort();
}

void fault_counter_arm(fault_counter *counter, unsigned nth, bool lasting)
{
    void *frame[FAULT_FRAMES];
    backtrace(frame, FAULT_FRAMES); /* loads what it needs the first time */
    counter->shared->frames = 0;
    atomic_store(&counter->shared->counted, 0);
    atomic_store(&counter->shared->unlucky, nth);
    atomic_store(&counter->shared->for_good, lasting);
    atomic_store(&counter->shared->armed, true);
}

unsigned fault_counter_disarm(fault_counter *counter)
{
    atomic_store(&counter->shared->armed, false);
    return atomic_load(&counter->shared->counted);
}

/* One by one, for the thread sanitizer does not see how this file orders what it does, and would
 * notice a copy. */
static void keep_stack(fault_state *state)
{
    void *frame[FAULT_FRAMES];
    int count = backtrace(frame, FAULT_FRAMES);
    for (int i = 0; i < count; i++)
        state->frame[i] = frame[i];
    state->frames = count;
}

void fault_counter_map(fault_counter *counter, bool maps)
{
    fault_map *map = &counter->shared->map;
    if (maps) {
        for (size_t i = 0; i < FAULT_STACKS; i++)
            atomic_store(&map->stack[i], 0);
        for (size_t i = 0; i < FAULT_MAPPED; i++)
            atomic_store(&map->known[i], false);
    }
    atomic_store(&counter->shared->maps, maps);
}

/* FNV-1a, over the addresses of all that called. */
static uint64_t stack_now(void)
{
    void *frame[4 * FAULT_FRAMES];
    int count = backtrace(frame, 4 * FAULT_FRAMES);
    uint64_t hash = 0xcbf29ce484222325;
    for (int i = 0; i < count; i++)
        hash = (hash ^ (uintptr_t)frame[i]) * 0x100000001b3;
    return hash ? hash : 1;
}

/* A table that is full has every stack be a new one. */
static void map_call(fault_map *map, unsigned number)
{
    uint64_t hash = stack_now();
    if (number >= FAULT_MAPPED)
        return;
    for (size_t i = 0; i < FAULT_STACKS; i++) {
        uint64_t there = 0;
        if (atomic_compare_exchange_strong(&map->stack[(hash + i) % FAULT_STACKS], &there, hash))
            return;
        if (there == hash) {
            atomic_store(&map->known[number], true);
            return;
        }
    }
}

bool fault_counter_is_new(const fault_counter *counter, unsigned nth)
{
    return nth >= FAULT_MAPPED || !atomic_load(&counter->shared->map.known[nth]);
}

bool fault_counter_strikes(fault_counter *counter)
{
    static _Thread_local bool looking; /* what looks at the stack may allocate */
    if (!counter->shared || looking || !atomic_load(&counter->shared->armed))
        return false;
    unsigned mine = atomic_fetch_add(&counter->shared->counted, 1) + 1;
    unsigned unlucky = atomic_load(&counter->shared->unlucky);
    if (atomic_load(&counter->shared->maps)) {
        looking = true;
        map_call(&counter->shared->map, mine);
        looking = false;
    }
    if (unlucky == 0 || mine < unlucky ||
        (mine > unlucky && !atomic_load(&counter->shared->for_good)))
        return false;
    if (mine == unlucky) {
        looking = true;
        keep_stack(counter->shared);
        looking = false;
    }
    return true;
}

void fault_counter_where(const fault_counter *counter)
{
    void *frame[FAULT_FRAMES];
    int count = counter->shared->frames;
    for (int i = 0; i < count; i++)
        frame[i] = counter->shared->frame[i];
    backtrace_symbols_fd(frame, count, STDERR_FILENO);
}
