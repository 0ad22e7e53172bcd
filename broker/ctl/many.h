/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A run over a file of lines (lines.h), several at a time.
 *
 * Each line is done or not, whatever becomes of the others, and doing one again must change
 * nothing: so a run that was killed is started again. How far it came stands in a file beside
 * (lines before that are not looked at again); lines that could not be done stand in a report, with
 * the reason; and rows that a run keeps in a file of theirs (kept.h).
 */
#ifndef CB_BROKER_CTL_MANY_H
#define CB_BROKER_CTL_MANY_H

#include <pthread.h>

#include "broker/ctl/issue_progress.h"
#include "broker/ctl/lines.h"

typedef struct cb_many cb_many;

typedef struct cb_many_worker {
    cb_many *m;
    pthread_t thread;
    cb_ctl ctl; /* a connection of its own */
    char *said; /* what went wrong */
    size_t said_len;
    int64_t line; /* in hand; 0: none */
} cb_many_worker;

/* What a command says of its run; the rest is the run's. */
struct cb_many {
    cb_ctl *ctl;
    const cb_ctl_args *args; /* the file; "threads", "report" */
    const void *context;     /* the command's */
    const char *done;        /* what becomes of a line: "issued" */
    const char *heading;     /* of a file that one of these runs wrote, passed over; or NULL */
    const char *rows;        /* what the rows are called: "suspension_codes" */
    const char *count;       /* and their number: "codes" */
    cb_kept kept;            /* with path, option and heading; path NULL: none */
    bool needs_hsm;
    bool looked_at; /* who runs it answers for what the file says: nobody else may write it */
    cb_ctl_status (*each)(cb_many_worker *w, cb_card_line *line, bool *already);

    pthread_mutex_t lock; /* of what follows, and of kept */
    cb_progress progress;
    cb_card_lines file;
    int open;      /* the file, locked */
    int64_t lines; /* in all */
    int64_t did, already, bad;
    int64_t began, shown, marked;
    bool stop;
    unsigned count_of_workers;
    cb_many_worker *workers;
};

/* Does all lines and says what came of them. */
cb_ctl_status cb_ctl_many(cb_many *m);

/* A name by which something that a line makes is known however often the line is tried: RFC 9562,
 * version 8. */
cb_id cb_ctl_made_id(const cb_bytes *parts, size_t count);

/* These options, for the tables of commands. */
#define CB_CTL_MANY_OPTIONS                                                                        \
    {"threads", "NUMBER", "lines at a time (default: 16)", false, false},                          \
    {                                                                                              \
        "report", "FILE", "where bad lines are written (default: FILE.rejected)", false, false     \
    }

#endif
