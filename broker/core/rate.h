/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How often each terminal may tap: a budget that refills by the minute.
 *
 * A terminal that misuses what passes through it is limited in how much it can do before it is noticed (S0-7.3.3). Counts live in
 * memory only; a restart forgives at most a minute.
 */
#ifndef CB_BROKER_CORE_RATE_H
#define CB_BROKER_CORE_RATE_H

#include "base/id.h"

typedef struct cb_rate cb_rate;

cb_error cb_rate_open(cb_rate **out);
void cb_rate_close(cb_rate **rate);

/* Takes one from the budget of per_minute (0: no limit). CB_E_TERMINAL_RATE when it is used up. */
cb_error cb_rate_take(cb_rate *rate, const cb_id *who, uint32_t per_minute);

#endif
