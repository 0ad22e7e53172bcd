/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The command line of cardlink(1).
 */
#ifndef CB_CARDLINK_TERMINAL_OPTIONS_H
#define CB_CARDLINK_TERMINAL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct cb_options {
    const char *config;
    const char *service; /* NULL: not given, as all that follow */
    const char *text;
    const char *reader;
    const char *reason; /* of maintenance */
    const char *name;
    const char *delivery;
    const char *card;
    int64_t timeout; /* microseconds */
    int pin_fd;      /* -1: the terminal */
    int password_fd; /* likewise */
    int code_fd;     /* likewise */
    bool pin, json, help, version;
    bool signature; /* read: the certificate behind the signature PIN */
    const char *command[2]; /* "pin", "change" */
} cb_options;

/* Reads argv. CB_E_ARGUMENT after it has said on standard error what is wrong. */
cb_error cb_options_read(int argc, char **argv, cb_options *out);

void cb_options_usage(void);

#endif
