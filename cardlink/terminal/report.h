/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What runs here, and by what configuration, as this terminal says it (cardlink/software.h).
 */
#ifndef CB_CARDLINK_TERMINAL_REPORT_H
#define CB_CARDLINK_TERMINAL_REPORT_H

#include "cardlink/software.h"
#include "cardlink/terminal/config.h"
#include "cardlink/terminal/problem.h"
#include "cardlink/terminal/spool.h"

/* Of the program that runs, which is read and hashed. */
void cb_report_software(const cb_terminal_config *config, cb_software *out);

/* Enters it into the log; one that is full is brought to the broker first. As spool.h. */
cb_error cb_report_started(const cb_terminal_config *config, cb_spool *spool);

/* The same, and brings the whole log to the broker. The configuration has to name a log. As
 * ship.h. */
cb_error cb_report(const cb_terminal_config *config, cb_problem *problem);

#endif
