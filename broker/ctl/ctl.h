/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cardbrokerctl, the administrator's hand.
 *
 * It asks hsmd (manage lane) to bind a card or to make a key, and cardbrokerd (administration
 * socket) to record the result. It holds neither keys nor database, and keeps nothing between two
 * runs. A command returns the exit status; whatever went wrong it has said on standard error, in
 * the form "error [code]: sentence".
 */
#ifndef CB_BROKER_CTL_CTL_H
#define CB_BROKER_CTL_CTL_H

#include <jansson.h>
#include <stdio.h>

#include "broker/ctl/args.h"
#include "hsm/client.h"

typedef enum cb_ctl_status {
    CB_CTL_DONE = 0,
    CB_CTL_FAILED = 1, /* refused, failed, or an audit with findings */
    CB_CTL_USAGE = 2,
    CB_CTL_UNREACHABLE = 69, /* cardbrokerd or hsmd does not answer */
    CB_CTL_CONFIG = 78
} cb_ctl_status;

typedef struct cb_ctl_http cb_ctl_http;

typedef struct cb_ctl {
    FILE *out, *err;
    bool json;         /* print JSON, not tables */
    char *run;         /* folder of the sockets */
    char *origin;      /* of the log, from the configuration; NULL: not given */
    char *log_key;     /* file with the log's public key, likewise */
    cb_ctl_http *http; /* opened at first use */
    cb_hsm *hsm;       /* likewise */
    bool for_now;      /* what failed last was no fault of what was asked: later it may do */
} cb_ctl;

typedef struct cb_ctl_command {
    const char *group;    /* first word */
    const char *verb;     /* second word; NULL: there is none */
    const char *operands; /* as the help shows them */
    unsigned least, most; /* number of operands */
    const cb_ctl_option *options;
    const char *summary;
    cb_ctl_status (*run)(cb_ctl *ctl, const cb_ctl_args *args);
} cb_ctl_command;

/* The tables of commands, each ended by a row without a group; the list ends with NULL. */
extern const cb_ctl_command *const cb_ctl_commands[];

/* Finds and runs what the command line asks for; the whole program but its name and its end. */
cb_ctl_status cb_ctl_main(int argc, char **argv, FILE *out, FILE *err);

/* hsmd's client, opened at first use; NULL for want of memory. */
cb_hsm *cb_ctl_hsm(cb_ctl *ctl);

/* Says on standard error what failed, with the error's code and sentence, and returns the exit
 * status it means. what may be NULL and holds no secret. */
cb_ctl_status cb_ctl_fail(cb_ctl *ctl, cb_error error, const char *what);

/* The same for an answer of hsmd: CB_E_HSM_DOWN and the like are CB_CTL_UNREACHABLE. */
cb_ctl_status cb_ctl_fail_hsm(cb_ctl *ctl, cb_error error, const char *what);

/* A wrong command line. */
cb_ctl_status cb_ctl_misuse(cb_ctl *ctl, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* No JSON could be made with this text (NULL: none): it is not UTF-8, which is a misuse of what it
 * is called here, or there is no memory. */
cb_ctl_status cb_ctl_fail_text(cb_ctl *ctl, const char *name, const char *text);

/* A line for the administrator on standard error: a warning, or what to do next. */
void cb_ctl_note(cb_ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
