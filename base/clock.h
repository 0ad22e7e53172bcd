/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two clocks. Deadlines, lifetimes and rates use the monotonic one, which no administrator and no
 * time server can step; the wall clock is for records and certificates only. Microseconds.
 */
#ifndef CB_BASE_CLOCK_H
#define CB_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CB_SECOND INT64_C(1000000)
#define CB_MILLISECOND INT64_C(1000)

enum {
    CB_TIME_TEXT = 28, /* "2026-01-31T12:00:00.000000Z" and a zero */
    CB_DAY_TEXT = 10   /* "2031-03-31" without one */
};

int64_t cb_clock_monotonic_us(void);
int64_t cb_clock_wall_us(void);

/* As the monotonic one, and it goes on while the machine sleeps. */
int64_t cb_clock_running_us(void);

/* What the wall clock was compared with when it was last looked at. */
typedef struct cb_clock_watch {
    bool begun;
    int64_t ahead; /* of the other clock */
    int64_t set;   /* when it was last found to be set, by the other clock */
} cb_clock_watch;

/* Whether the wall clock has gone on as the other one does, cb_clock_running_us, since the first
 * look and for so long as rest: not if it was set by more than tolerance, forward or back, in
 * between. Slow corrections do not count, however much they come to: look often. For what cannot be
 * undone when the clock is put right. A clock that was wrong at the first look is not noticed. */
bool cb_clock_steady(cb_clock_watch *watch, int64_t wall, int64_t running, int64_t tolerance,
                     int64_t rest);

/* A moment this far from now; see cb_deadline_left_ms. */
int64_t cb_deadline_in(int64_t us);

/* A deadline this much earlier, whatever it is: one that came in a message may be no time at all. */
int64_t cb_deadline_before(int64_t deadline, int64_t us);

/* Milliseconds until the deadline, at least 0, rounded up; for poll(2). */
int cb_deadline_left_ms(int64_t deadline);

/* Nothing for that long, or until a signal came. */
void cb_pause(int64_t us);

/* A wall time in UTC as RFC 3339 text with microseconds. */
void cb_time_text(int64_t wall_us, char out[CB_TIME_TEXT]);

/* When a day in UTC, as "2031-03-31", is over. False: there is no such day, or it is not one
 * after the first of 1970. */
bool cb_day_end(const char *text, int64_t *end);

#endif
