/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The end of a terminal, by its own hand: it tells the broker, and erases its keys.
 *
 * The broker is told first, for afterwards nobody believes that it is this terminal; but only for
 * CB_ENDING_TIME, and what comes of it changes nothing: the keys are erased.
 */
#ifndef CB_CARDLINK_TERMINAL_ENDING_H
#define CB_CARDLINK_TERMINAL_ENDING_H

#include "base/clock.h"
#include "cardlink/terminal/config.h"
#include "cardlink/terminal/output.h"

#define CB_ENDING_TIME (3 * CB_SECOND)

/* Why: the words that the broker knows. */
#define CB_ENDING_ERASED "erased" /* a person wants it; the broker revokes the terminal */
#define CB_ENDING_TAMPER "tamper" /* the housing was opened; the broker de-activates it */

/* The last entry of the terminal's log goes to the broker first, if that takes no time to speak of.
 * Says what came of both parts as one event. CB_OK when nothing of the keys is left. */
cb_error cb_ending(const cb_terminal_config *config, const char *why, cb_output *output);

/* Whether the configured source says that the housing was opened: something is at its path. */
bool cb_ending_tampered(const cb_terminal_config *config);

#endif
