/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a native card that lies there is over, as far as a terminal can see before it asks the
 * broker: so that the holder is told at once (S0-7.4.3).
 *
 * Two things are looked at, neither of which says more about a card than anybody could read from it
 * anyhow: that the card itself refuses to be selected, because its last day lies before the date
 * that brokers have told it; and the last day of its batch's certificate, which is no earlier than
 * the card's. What says that a card is still good is believed by nobody here: that is the broker's.
 * Of a card whose batch alone is over the broker is asked, too, if it is there: only so does the
 * card learn the date, and is one ended that was revoked.
 */
#ifndef CB_CARDLINK_TERMINAL_EXPIRY_H
#define CB_CARDLINK_TERMINAL_EXPIRY_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

/* For so long after the end of a last day (UTC) a terminal says nothing yet: its clock may be that
 * much ahead, and the broker's is the one that counts. Microseconds. */
#define CB_EXPIRY_TOLERANCE (24 * 3600 * CB_SECOND)

/* When the broker's clock is further from the terminal's, the broker's is taken. */
#define CB_EXPIRY_CLOCK_WRONG (3600 * CB_SECOND)

/* Judges the answers to the first script of a native tap, encoded as in cardlink/script.h, at a
 * wall time (0: by what the card says alone). CB_OK, CB_E_CARD_EXPIRED. Whatever cannot be read is
 * CB_OK. */
cb_error cb_card_expiry(cb_bytes answers, int64_t wall_us);

/* The time to judge by: the own clock, unless the broker's is ahead of it (behind: negative) by
 * more than CB_EXPIRY_CLOCK_WRONG. */
int64_t cb_expiry_time(int64_t wall_us, int64_t broker_ahead_us);

#endif
