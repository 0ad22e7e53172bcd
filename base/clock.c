/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * CB_SECOND + t.tv_nsec / 1000;
}

int64_t cb_clock_monotonic_us(void)
{
    return now(CLOCK_MONOTONIC);
}

int64_t cb_clock_running_us(void)
{
    return now(CLOCK_BOOTTIME);
}

bool cb_clock_steady(cb_clock_watch *watch, int64_t wall, int64_t running, int64_t tolerance,
                     int64_t rest)
{
    int64_t ahead = wall - running, step = ahead - watch->ahead;
    if (!watch->begun)
        watch->set = running - rest;
    else if (step > tolerance || step < -tolerance)
        watch->set = running;
    watch->begun = true;
    watch->ahead = ahead;
    return running - watch->set >= rest;
}

int64_t cb_clock_wall_us(void)
{
    return now(CLOCK_REALTIME);
}

int64_t cb_deadline_in(int64_t us)
{
    return cb_clock_monotonic_us() + us;
}

int64_t cb_deadline_before(int64_t deadline, int64_t us)
{
    return deadline < INT64_MIN + us ? INT64_MIN : deadline - us;
}

int cb_deadline_left_ms(int64_t deadline)
{
    int64_t now_us = cb_clock_monotonic_us();
    if (deadline <= now_us)
        return 0;
    int64_t left = (deadline - now_us - 1) / 1000 + 1;
    return left > INT_MAX ? INT_MAX : (int)left;
}

void cb_pause(int64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = us / CB_SECOND, .tv_nsec = us % CB_SECOND * 1000}, NULL);
}

void cb_time_text(int64_t wall_us, char out[CB_TIME_TEXT])
{
    /* Before 1970 too the fraction counts upwards. */
    int64_t fraction = (wall_us % CB_SECOND + CB_SECOND) % CB_SECOND;
    time_t seconds = (time_t)(wall_us / CB_SECOND) - (wall_us % CB_SECOND < 0 ? 1 : 0);
    struct tm parts = {0};
    char date[21] = "";
    if (!gmtime_r(&seconds, &parts) || parts.tm_year < 0 || parts.tm_year > 8099 ||
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        snprintf(date, sizeof date, "0000-00-00T00:00:00");
    snprintf(out, CB_TIME_TEXT, "%.19s.%06uZ", date, (unsigned)fraction % 1000000u);
}

bool cb_day_end(const char *text, int64_t *end)
{
    static const char form[] = "0000-00-00";
    struct tm parsed = {0};
    *end = 0;
    if (strlen(text) != CB_DAY_TEXT)
        return false;
    for (size_t i = 0; i < CB_DAY_TEXT; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (digit != (form[i] == '0') || (!digit && text[i] != form[i]))
            return false;
    }
    const char *rest = strptime(text, "%Y-%m-%d", &parsed);
    struct tm same = parsed;
    time_t midnight = timegm(&same); /* puts right what there is not: 30 February */
    if (!rest || *rest || same.tm_mday != parsed.tm_mday || same.tm_mon != parsed.tm_mon ||
        midnight <= 0)
        return false;
    *end = ((int64_t)midnight + 24 * 3600) * CB_SECOND;
    return true;
}
