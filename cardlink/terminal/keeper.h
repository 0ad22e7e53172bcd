/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the agent does beside taps, in threads of its own: it looks whether the housing was opened
 * (ending.h), whatever else waits for the broker, and renews the terminal's certificate in time
 * (certify.h); while the broker cannot be reached it tries again.
 */
#ifndef CB_CARDLINK_TERMINAL_KEEPER_H
#define CB_CARDLINK_TERMINAL_KEEPER_H

#include "cardlink/terminal/config.h"
#include "cardlink/terminal/output.h"

typedef struct cb_keeper cb_keeper;

/* Config and output must live as long. CB_E_MEMORY. */
cb_error cb_keeper_start(const cb_terminal_config *config, cb_output *output, cb_keeper **out);

/* Ends the threads, within about the broker's time limit. Takes NULL. */
void cb_keeper_stop(cb_keeper **keeper);

/* How often the key was renewed: connections that were opened before show the key of before. */
unsigned cb_keeper_renewals(cb_keeper *keeper);

/* Why the agent has to end: CB_E_TERMINAL_DISPOSED (the broker has said so), CB_E_TERMINAL_TAMPERED
 * (the keys are being erased, which is done when cb_keeper_stop returns); CB_OK: it goes on. */
cb_error cb_keeper_over(cb_keeper *keeper);

#endif
