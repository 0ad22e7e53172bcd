/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The command line of cardbroker-hsmd.
 */
#ifndef CB_HSM_OPTIONS_H
#define CB_HSM_OPTIONS_H

#include <stdbool.h>

typedef struct cb_hsmd_command {
    const char *config;
    const char *public_key; /* print it and end */
    bool terminal_ca;       /* print its certificate and end */
    bool initialise;
    bool new_generation;
    bool new_card_keys;
    int pin_fd;
    int so_pin_fd;
} cb_hsmd_command;

/* Reads it; the words are argv's. 0 to go on, otherwise 1 + the exit status. */
int cb_hsmd_options(int argc, char **argv, cb_hsmd_command *out);

#endif
