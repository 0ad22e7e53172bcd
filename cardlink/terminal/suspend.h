/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardlink suspend: a holder who has lost his card stops it himself, with the code from his letter,
 * from any machine that reaches the broker.
 */
#ifndef CB_CARDLINK_TERMINAL_SUSPEND_H
#define CB_CARDLINK_TERMINAL_SUSPEND_H

#include "cardlink/terminal/commands.h"
#include "cardlink/terminal/problem.h"
#include "cardlink/terminal/relay.h"

/* Asks for the code and says it to the broker. */
cb_error cb_suspend(const cb_command_context *context, cb_relay_suspended *out,
                    cb_problem *problem);

#endif
