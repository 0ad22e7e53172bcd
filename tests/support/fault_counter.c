/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/fault_counter.h"

#include <execinfo.h>
#include <unistd.h>

void fault_counter_arm(fault_counter *counter, unsigned nth, bool lasting)
{
    backtrace(counter->frame, FAULT_FRAMES); /* loads what it needs the first time */
    counter->frames = 0;
    atomic_store(&counter->counted, 0);
    atomic_store(&counter->unlucky, nth);
    atomic_store(&counter->for_good, lasting);
    atomic_store(&counter->armed, true);
}

unsigned fault_counter_disarm(fault_counter *counter)
{
    atomic_store(&counter->armed, false);
    return atomic_load(&counter->counted);
}

bool fault_counter_strikes(fault_counter *counter)
{
    if (!atomic_load(&counter->armed))
        return false;
    unsigned mine = atomic_fetch_add(&counter->counted, 1) + 1;
    unsigned unlucky = atomic_load(&counter->unlucky);
    if (unlucky == 0 || mine < unlucky || (mine > unlucky && !atomic_load(&counter->for_good)))
        return false;
    if (mine == unlucky) {
        atomic_store(&counter->armed, false); /* what looks at the stack may allocate */
        counter->frames = backtrace(counter->frame, FAULT_FRAMES);
        atomic_store(&counter->armed, true);
    }
    return true;
}

void fault_counter_where(const fault_counter *counter)
{
    backtrace_symbols_fd(counter->frame, counter->frames, STDERR_FILENO);
}
