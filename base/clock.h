/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two clocks. Deadlines, lifetimes and rates use the monotonic one, which no administrator and no
 * time server can step; the wall clock is for records and certificates only. Microseconds.
 */
#ifndef CB_BASE_CLOCK_H
#define CB_BASE_CLOCK_H

#include <stdint.h>

#define CB_SECOND INT64_C(1000000)
#define CB_MILLISECOND INT64_C(1000)

enum { CB_TIME_TEXT = 28 /* "2026-01-31T12:00:00.000000Z" and a zero */ };

int64_t cb_clock_monotonic_us(void);
int64_t cb_clock_wall_us(void);

/* A moment this far from now; see cb_deadline_left_ms. */
int64_t cb_deadline_in(int64_t us);

/* A deadline this much earlier, whatever it is: one that came in a message may be no time at all. */
int64_t cb_deadline_before(int64_t deadline, int64_t us);

/* Milliseconds until the deadline, at least 0, rounded up; for poll(2). */
int cb_deadline_left_ms(int64_t deadline);

/* A wall time in UTC as RFC 3339 text with microseconds. */
void cb_time_text(int64_t wall_us, char out[CB_TIME_TEXT]);

#endif
