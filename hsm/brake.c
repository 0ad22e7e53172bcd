/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/brake.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

static const cb_brake_rate lines = {.each_us = CB_SECOND, .burst = 20};

bool cb_brake_pass(cb_brake *brake, cb_brake_rate rate, unsigned amount)
{
    int64_t now = cb_clock_monotonic_us();
    int64_t due = (brake->due > now ? brake->due : now) + rate.each_us * amount;
    if (due - now > rate.each_us * rate.burst) {
        brake->held += amount;
        return false;
    }
    brake->due = due;
    return true;
}

bool cb_complain(cb_brake brakes[CB_COMPLAINTS], cb_complaint about, char held[CB_HELD_TEXT])
{
    cb_brake *brake = &brakes[about];
    held[0] = 0;
    if (!cb_brake_pass(brake, lines, 1))
        return false;
    if (brake->held > 0)
        snprintf(held, CB_HELD_TEXT, "%llu", (unsigned long long)brake->held);
    brake->held = 0;
    return true;
}

void cb_complaints_settle(cb_brake brakes[CB_COMPLAINTS])
{
    static const char *const names[CB_COMPLAINTS] = {
        [CB_COMPLAINT_REQUEST] = "requests",
        [CB_COMPLAINT_CONNECTION] = "connections",
        [CB_COMPLAINT_FEED] = "feed",
    };
    char held[CB_HELD_TEXT];
    for (unsigned i = 0; i < CB_COMPLAINTS; i++) {
        if (brakes[i].held > 0 && cb_complain(brakes, (cb_complaint)i, held))
            cb_log(CB_LOG_WARNING, "log.held_back", "Lines were not written, there were too many.",
                   "about", names[i], "lines", held, NULL);
    }
}
