/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of commands.h share.
 */
#ifndef CB_CARDLINK_TERMINAL_COMMANDS_PARTS_H
#define CB_CARDLINK_TERMINAL_COMMANDS_PARTS_H

#include "cardlink/journal.h"
#include "cardlink/terminal/commands.h"
#include "cardlink/terminal/pin_entry.h"
#include "cardlink/terminal/reader.h"
#include "cardlink/terminal/registering.h"
#include "cardlink/terminal/spool.h"
#include "cardlink/terminal/tap.h"

/* Says what went wrong: to people on standard error, to programs on standard output. Returns it. */
cb_error cb_command_say(cb_command_context *context, const cb_problem *problem);
cb_error cb_command_fail(cb_command_context *context, cb_error error, const char *more);

/* Says that something is done. CB_OK. */
cb_error cb_command_done(cb_command_context *context, const char *event, const char *text);

/* Enters it into the terminal's log; the agent brings it to the broker. What fails is said. */
void cb_command_note(cb_command_context *context, cb_journal_event event, const char *text);

/* A card that was waited for. */
typedef struct cb_command_card {
    char reader[CB_READER_NAME_MAX + 1];
    cb_profile_order profiles;
} cb_command_card;

/* Opens the terminal's log, and sees that a tap has room in it: one that is full is brought to the
 * broker. To be called before the broker is asked for anything, and before the connection is opened
 * on which it is: what is brought is brought with the key that the terminal has by now, and once a
 * renewed key was used the one of before is not heard any more. What went wrong is said. *log: NULL
 * after an error, and where no log is kept. */
cb_error cb_command_open_log(cb_command_context *context, cb_spool **log);

/* Enter the begin and the end of a tap into it, as the agent does, which may run beside this. What
 * is not written down is not done: unless cb_command_begin gives CB_OK (otherwise it has said why),
 * the tap is not to be begun. tap: zero where it has no identifier yet. cb_command_end returns the
 * error that it is given, or why the end could not be entered, and closes the log. log NULL:
 * nothing is kept. */
cb_error cb_command_begin(cb_command_context *context, const cb_id *tap, cb_spool *log);
cb_error cb_command_end(cb_command_context *context, cb_spool **log, const cb_tap_report *report,
                        cb_error error);

/* As the configuration says. */
cb_error cb_command_open_readers(const cb_command_context *context, cb_readers **out);
cb_error cb_command_open_relay(const cb_command_context *context, cb_relay **out);

/* Waits for a card and says on which reader, and what is looked for on it. relay NULL: for nothing
 * that the broker is asked about; otherwise first is kept fresh meanwhile. */
cb_error cb_command_wait(cb_command_context *context, cb_readers *readers, cb_relay *relay,
                         cb_relay_tap *first, cb_command_card *card, cb_problem *problem);

/* Asks for what the form wants to be typed, waits for a card and taps it. What went wrong is said:
 * commands_card.c. */
cb_error cb_command_tap(cb_command_context *context, cb_tap_order *order, cb_pin_form form);

/* Waits for a card and registers it, likewise. */
cb_error cb_command_register(cb_command_context *context, cb_registering_order *order);

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
