/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A brake on what others can make hsmd do: so much at once, and then no more than a rate. What is
 * held back is counted.
 */
#ifndef CB_HSM_BRAKE_H
#define CB_HSM_BRAKE_H

#include <stdbool.h>
#include <stdint.h>

/* Zero it before use. */
typedef struct cb_brake {
    int64_t due;   /* monotonic; when all that was let through will have been earned */
    uint64_t held; /* since the last that was let through */
} cb_brake;

typedef struct cb_brake_rate {
    int64_t each_us; /* one more is earned in this time */
    unsigned burst;  /* what can be saved up */
} cb_brake_rate;

/* Whether an amount may pass now. */
bool cb_brake_pass(cb_brake *brake, cb_brake_rate rate, unsigned amount);

/* What the log is told at most: of each of these twenty lines at once, then one a second. */
typedef enum cb_complaint {
    CB_COMPLAINT_REQUEST,    /* illegal or malformed */
    CB_COMPLAINT_CONNECTION, /* of somebody who may not, or one too many */
    CB_COMPLAINT_FEED,       /* more entries than the rate */
    CB_COMPLAINTS
} cb_complaint;

enum { CB_HELD_TEXT = 24 };

/* Whether to write a line about this, and how many went unwritten before it ("" for none). */
bool cb_complain(cb_brake brakes[CB_COMPLAINTS], cb_complaint about, char held[CB_HELD_TEXT]);

/* Writes how many lines were held back, of each kind that may be written about again. Called about
 * once a second. */
void cb_complaints_settle(cb_brake brakes[CB_COMPLAINTS]);

#endif
