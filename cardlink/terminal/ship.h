/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bringing the terminal's log to the broker, batch by batch, over a connection of its own. Each
 * batch ends with a head that the terminal's key signs. What the broker has taken leaves the spool;
 * whatever is cut off on the way is brought again, and taken once.
 */
#ifndef CB_CARDLINK_TERMINAL_SHIP_H
#define CB_CARDLINK_TERMINAL_SHIP_H

#include "cardlink/terminal/config.h"
#include "cardlink/terminal/problem.h"
#include "cardlink/terminal/spool.h"

/* Brings what waits; timeout (microseconds) for each answer of the broker, and after so long no
 * other batch is begun: what is left then is brought the next time. CB_OK, or as relay.h, or as
 * spool.h; CB_E_LOG_GAP, CB_E_LOG_FORK, CB_E_LOG_SIGNATURE. */
cb_error cb_ship(const cb_terminal_config *config, cb_spool *spool, int64_t timeout,
                 cb_problem *problem);

#endif
