/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How much each terminal may have stored of its own log: bytes that stay for good.
 *
 * An allowance fills up by the minute, and by each of the terminal's taps, to a bound; what is
 * stored comes out of it. So a terminal that taps can say so, one that has been alone for long can
 * bring all that it has kept, and one that is hostile fills no disk. Counts live in memory only; a
 * restart forgives them.
 */
#ifndef CB_BROKER_CORE_ALLOWANCE_H
#define CB_BROKER_CORE_ALLOWANCE_H

#include "base/id.h"

typedef struct cb_allowance cb_allowance;

enum {
    CB_ALLOWANCE_MOST = 1280 * 1024,   /* a full log (cardlink/terminal/spool.h), and its batches */
    CB_ALLOWANCE_A_MINUTE = 16 * 1024, /* 23 MB a day */
    CB_ALLOWANCE_A_TAP = 768,          /* its entries, in a batch of their own */
    CB_ALLOWANCE_BATCH = 512           /* what a batch costs beside its entries: row and leaf */
};

cb_error cb_allowance_open(cb_allowance **out);
void cb_allowance_close(cb_allowance **allowance);

/* Takes so many bytes; now is monotonic. CB_E_TERMINAL_RATE when there is not as much left;
 * CB_E_MEMORY. */
cb_error cb_allowance_take(cb_allowance *allowance, const cb_id *who, int64_t bytes, int64_t now);

/* Adds what comes with a tap. Of one that has taken nothing it is full anyway. */
void cb_allowance_give(cb_allowance *allowance, const cb_id *who, int64_t bytes, int64_t now);

#endif
