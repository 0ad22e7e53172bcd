/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The files of one run, each of which is to be a file of its own: whatever the run makes anew it
 * unlinks first, or writes over.
 */
#ifndef CB_BROKER_CTL_NAMES_APART_H
#define CB_BROKER_CTL_NAMES_APART_H

#include <limits.h>

#include "broker/ctl/ctl.h"

enum { CB_RUN_NAMES_MAX = 8 };

typedef struct cb_run_name {
    const char *path;   /* which may be nothing yet, a link, or no file */
    const char *what;   /* for the sentence: "the report" */
    const char *option; /* by which another is named; NULL: none */
} cb_run_name;

/* The place of a file, whatever way it is named, as realpath; also of one that is not there yet,
 * and at the end of a link that leads nowhere yet. False: nothing can be there. */
bool cb_run_place(const char *path, char out[PATH_MAX]);

/* Refuses (CB_CTL_USAGE) where two are one file, by place or by device and inode, with what to do:
 * before anything is written. At most CB_RUN_NAMES_MAX. */
cb_ctl_status cb_run_names_apart(cb_ctl *ctl, const cb_run_name *names, size_t count);

#endif
