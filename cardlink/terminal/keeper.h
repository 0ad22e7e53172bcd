/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the agent does beside taps, in threads of its own: it looks whether the housing was opened
 * (ending.h), whatever else waits for the broker; it renews the terminal's certificate in time
 * (certify.h), and brings the terminal's log to the broker (ship.h); while the broker cannot be
 * reached it tries again.
 */
#ifndef CB_CARDLINK_TERMINAL_KEEPER_H
#define CB_CARDLINK_TERMINAL_KEEPER_H

#include "cardlink/terminal/config.h"
#include "cardlink/terminal/output.h"
#include "cardlink/terminal/spool.h"

typedef struct cb_keeper cb_keeper;

/* Opens the terminal's log and enters that the agent has started. Config and output must live as
 * long. CB_E_MEMORY, or as spool.h: an agent that cannot write down what it does does nothing. */
cb_error cb_keeper_start(const cb_terminal_config *config, cb_output *output, cb_keeper **out);

/* Ends the threads, within about the broker's time limit, enters why the agent ends, and brings that
 * to the broker if it answers soon. Takes NULL. */
void cb_keeper_stop(cb_keeper **keeper, cb_error why);

/* Enters something into the terminal's log (journal.h). When that fails, the agent has to end
 * (cb_keeper_over), but for a tap's beginning for which there is no room. */
cb_error cb_keeper_note(cb_keeper *keeper, cb_journal_event event, const char *text);

/* Whether a tap's beginning could be entered now. */
bool cb_keeper_room(cb_keeper *keeper);

/* Says that a tap begins, and that it is over: meanwhile the keeper does not use a key for the
 * first time. */
void cb_keeper_tap(cb_keeper *keeper, bool begins);

/* How often the key was renewed: connections that were opened before show the key of before. */
unsigned cb_keeper_renewals(cb_keeper *keeper);

/* Why the agent has to end: CB_E_TERMINAL_DISPOSED (the broker has said so), CB_E_TERMINAL_TAMPERED
 * (the keys are being erased, which is done when cb_keeper_stop returns), what keeps the log from
 * being written; CB_OK: it goes on. */
cb_error cb_keeper_over(cb_keeper *keeper);

#endif
