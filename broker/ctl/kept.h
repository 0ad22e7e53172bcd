/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows that a run over a file of lines writes into a file of its own (CSV, one a line done), and
 * that a later run over the same file goes on with: suspension codes, applications.
 *
 * It is for its owner alone (0600). It is made where nothing is, or is the one that the mark of the
 * run before names (issue_progress.h), and then all of it that was on the disk at that mark must be
 * there; what came after it and is no whole row, as of a power cut, is cut off. A row that was not
 * added whole is not there at all. The caller locks.
 */
#ifndef CB_BROKER_CTL_KEPT_H
#define CB_BROKER_CTL_KEPT_H

#include <limits.h>

#include "broker/ctl/ctl.h"
#include "broker/evidence/id_map.h"

enum { CB_KEPT_ROW_MAX = 2048 };

typedef struct cb_kept {
    const char *path;    /* as it was named */
    const char *option;  /* by which it is named, for errors: "--suspension-codes" */
    const char *heading; /* with its newline; each row begins with the identifier that it is for */
    char place[PATH_MAX];
    int fd; /* 0: none */
    int64_t size;
    int64_t rows;   /* that are there */
    bool unwritten; /* a row, or some of the disk */
    cb_id_map of;   /* identifiers that have a row, or somebody who makes it */
} cb_kept;

/* before: the place that the mark names, with its size then; NULL: no run goes on. */
cb_ctl_status cb_kept_open(cb_ctl *ctl, cb_kept *kept, const char *before, int64_t size);
void cb_kept_close(cb_kept *kept);

/* Whether the caller is to make the row of this identifier: false if it has one, or somebody else
 * is at it. CB_E_MEMORY. */
cb_error cb_kept_claim(cb_kept *kept, const cb_id *id, bool *mine);

/* It was not made. */
void cb_kept_release(cb_kept *kept, const cb_id *id);

/* Appends a whole row with its newline. false: it is not there, and nothing more is to be done. */
bool cb_kept_add(cb_kept *kept, cb_bytes row);

/* Whether all rows are on the disk. */
bool cb_kept_sync(cb_kept *kept);

/* Has the name of the file at this place, a whole path, outlast a power cut as well; "" is none. */
bool cb_kept_sync_name(const char *place);

/* A column that may hold anything but control characters: in quotes, which are doubled. */
void cb_kept_quoted(cb_buf *out, const char *text);

#endif
