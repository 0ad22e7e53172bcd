/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The command line, against a table of what is allowed.
 *
 * A command is named by one or two words ("status", "card issue"). After them come options ("--name
 * VALUE", "--name=VALUE", "--flag") and operands, in any order; "--" ends the options. Nothing is
 * abbreviated and nothing unknown is ignored: an administrator's hand that slips must not do
 * something else.
 */
#ifndef CB_BROKER_CTL_ARGS_H
#define CB_BROKER_CTL_ARGS_H

#include <stdint.h>

#include "base/buf.h"

enum { CB_CTL_VALUES_MAX = 128, CB_CTL_OPERANDS_MAX = 2 };

typedef struct cb_ctl_option {
    const char *name;  /* without dashes; NULL ends a table */
    const char *value; /* what the help calls its value; NULL: a flag */
    const char *help;
    bool required;
    bool many; /* may be given more than once */
} cb_ctl_option;

typedef struct cb_ctl_args {
    struct {
        const cb_ctl_option *option;
        const char *value; /* "" for flags */
    } given[CB_CTL_VALUES_MAX];
    unsigned count;
    const char *operand[CB_CTL_OPERANDS_MAX];
    unsigned operands;
    bool help;
} cb_ctl_args;

/* Reads argc words with an option table, and a second one that may be NULL. Strings are borrowed.
 * least and most are the numbers of operands. CB_E_ARGUMENT with a sentence in why. --help anywhere
 * stops the reading and is no error. */
cb_error cb_ctl_args_read(int argc, const char *const *argv, const cb_ctl_option *options,
                          const cb_ctl_option *common, unsigned least, unsigned most,
                          cb_ctl_args *out, cb_buf *why);

/* The value of an option (the first, if it may be given often); NULL when it was not given. */
const char *cb_ctl_arg(const cb_ctl_args *args, const char *name);

/* The value number index of an option; NULL when there are not so many. */
const char *cb_ctl_arg_at(const cb_ctl_args *args, const char *name, unsigned index);

/* A decimal number of at most max. CB_E_ARGUMENT; *out is left alone when text is NULL. */
cb_error cb_ctl_number(const char *text, uint64_t max, uint64_t *out);

/* A duration as seconds: "90", "90s", "15m", "8h", "2d"; at most 366 days. CB_E_ARGUMENT. */
cb_error cb_ctl_duration(const char *text, uint64_t *seconds);

#endif
