/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How far a run over a file of lines came (FILE.progress: lines up to that one are settled), and
 * why lines of it could not be done (FILE.rejected, or the report that was asked for: CSV, line and
 * reason). The caller locks.
 */
#ifndef CB_BROKER_CTL_ISSUE_PROGRESS_H
#define CB_BROKER_CTL_ISSUE_PROGRESS_H

#include <limits.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "broker/ctl/ctl.h"
#include "broker/ctl/kept.h"

enum { CB_PROGRESS_PATH = 1024 };

typedef struct cb_progress {
    const char *file; /* the caller's */
    char mark_path[CB_PROGRESS_PATH], report_path[CB_PROGRESS_PATH];
    char digest[2 * CB_SHA256_SIZE + 1]; /* of the file: another one begins anew */
    char place[PATH_MAX]; /* of the report, whatever way it was named; "": it is no file */
    bool named; /* it was asked for: then it may be a link, or a terminal */
    FILE *report;
    int64_t settled; /* by runs before this one; 0: none */
    int64_t bad;     /* of these */
    bool unwritten;  /* some of the report, or of the rows that are kept */
    cb_kept *kept;   /* rows that this run writes besides, the caller's; NULL: none */
    char begun[CB_TIME_TEXT]; /* with them: when the first run began */
    bool goes_on;             /* likewise: that was another */
} cb_progress;

/* Names the files: of FILE, and the report (NULL: beside it). */
cb_ctl_status cb_progress_name(cb_ctl *ctl, const char *file, const char *report, cb_progress *out);

/* CB_CTL_USAGE, before anything is written, where a file that the run writes, or makes for a
 * moment, is FILE or another of them (names_apart.h). Reads what runs before came to, and opens the
 * report, in which their reasons stay: a crash leaves the old report or the new one. Without them
 * (the report is gone, cannot be read, or is another) nothing is begun; nor without the rows that
 * they kept, or if they kept none and this one is to, or the other way round; a run that is refused
 * because of rows leaves mark and report as they were. The mark of another file goes before the
 * report is begun anew. With kept rows the first mark stands before it returns. */
cb_ctl_status cb_progress_open(cb_ctl *ctl, const cb_digest *digest, cb_progress *progress);
void cb_progress_close(cb_progress *progress);

/* Why this line could not be done; newlines in it become spaces. */
void cb_progress_reason(cb_progress *progress, int64_t line, const char *reason);

/* Lines up to this one are settled. A crash leaves the old mark or the new one, of the machine too.
 * Nothing counts as settled whose reason or row is not on the disk: false when that cannot be
 * written. */
bool cb_progress_mark(cb_progress *progress, int64_t settled);

#endif
