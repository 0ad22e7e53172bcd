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

bool fault_counter_strikes(fault_counter *counter)
{
    static _Thread_local bool looking; /* what looks at the stack may allocate */
    if (!counter->shared || looking || !atomic_load(&counter->shared->armed))
        return false;
    unsigned mine = atomic_fetch_add(&counter->shared->counted, 1) + 1;
    unsigned unlucky = atomic_load(&counter->shared->unlucky);
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
