/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of commands.h share.
 */
#ifndef CB_CARDLINK_TERMINAL_COMMANDS_PARTS_H
#define CB_CARDLINK_TERMINAL_COMMANDS_PARTS_H

#include "cardlink/journal.h"
#include "cardlink/terminal/commands.h"
#include "cardlink/terminal/reader.h"

/* Says what went wrong: to people on standard error, to programs on standard output. Returns it. */
cb_error cb_command_say(cb_command_context *context, const cb_problem *problem);
cb_error cb_command_fail(cb_command_context *context, cb_error error, const char *more);

/* Says that something is done. CB_OK. */
cb_error cb_command_done(cb_command_context *context, const char *event, const char *text);

/* Enters it into the terminal's log; the agent brings it to the broker. What fails is said. */
void cb_command_note(cb_command_context *context, cb_journal_event event, const char *text);

/* Commands about the terminal itself: commands_self.c. */
cb_error cb_command_enrol(cb_command_context *context);
cb_error cb_command_activate(cb_command_context *context);
cb_error cb_command_renew(cb_command_context *context);
cb_error cb_command_suspend(cb_command_context *context);
cb_error cb_command_erase(cb_command_context *context);
cb_error cb_command_tamper(cb_command_context *context);
cb_error cb_command_report(cb_command_context *context);

/* The signature certificate of the JPKI card on a reader, to its holder: commands_signer.c. */
cb_error cb_command_read_signer(cb_command_context *context, cb_readers *readers,
                                const char *reader);

#endif
