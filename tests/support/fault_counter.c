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
    backtrace(counter->shared->frame, FAULT_FRAMES); /* loads what it needs the first time */
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

bool fault_counter_strikes(fault_counter *counter)
{
    if (!counter->shared || !atomic_load(&counter->shared->armed))
        return false;
    unsigned mine = atomic_fetch_add(&counter->shared->counted, 1) + 1;
    unsigned unlucky = atomic_load(&counter->shared->unlucky);
    if (unlucky == 0 || mine < unlucky ||
        (mine > unlucky && !atomic_load(&counter->shared->for_good)))
        return false;
    if (mine == unlucky) {
        atomic_store(&counter->shared->armed, false); /* what looks at the stack may allocate */
        counter->shared->frames = backtrace(counter->shared->frame, FAULT_FRAMES);
        atomic_store(&counter->shared->armed, true);
    }
    return true;
}

void fault_counter_where(const fault_counter *counter)
{
    backtrace_symbols_fd(counter->shared->frame, counter->shared->frames, STDERR_FILENO);
}
