/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What cardlink(1) does, a function for each command. All return what the exit status is made of
 * (cb_problem_exit), after they have said what there is to say.
 */
#ifndef CB_CARDLINK_TERMINAL_COMMANDS_H
#define CB_CARDLINK_TERMINAL_COMMANDS_H

#include <stdatomic.h>

#include "cardlink/terminal/config.h"
#include "cardlink/terminal/options.h"
#include "cardlink/terminal/output.h"

typedef struct cb_command_context {
    const cb_options *options;
    const cb_terminal_config *config;
    cb_output *output;
    atomic_bool *stop; /* set by SIGINT and SIGTERM */
} cb_command_context;

typedef struct cb_command {
    const char *words[2];
    cb_error (*run)(cb_command_context *context);
    bool broker; /* needs the terminal's identity */
} cb_command;

/* The command of these words, or NULL. */
const cb_command *cb_command_find(const char *const words[2]);

#endif
