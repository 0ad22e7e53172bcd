/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Suspension codes for the letters of many cards, each made once and written into a file
 * (kept.h): card, holder, serial, code.
 *
 * The broker makes a code and has its hash only, so one that did not come to the file is made
 * again; one that did is never, for its letter may be on its way. That is why a card that was there
 * before the first run began gets none: nobody can tell whether its holder has one. Nor is a code
 * replaced where no run of this file can have made it: another run, over another file that has the
 * same card, has it in its own.
 */
#ifndef CB_BROKER_CTL_ISSUE_CODE_H
#define CB_BROKER_CTL_ISSUE_CODE_H

#include <pthread.h>

#include "broker/ctl/kept.h"

#define CB_ISSUE_CODE_HEADING "card,holder,serial,code\n"

typedef struct cb_issue_code {
    cb_kept *codes;
    pthread_mutex_t *lock; /* of the codes */
    const char *begun;     /* when the first run began */
    cb_id card, holder;
    const char *serial;
    const char *created; /* NULL: just now */
    bool goes_on;        /* a run before this one may have made a code that did not come here */
} cb_issue_code;

/* With codes->unwritten the code is not in the file, and the run is to end. */
cb_ctl_status cb_ctl_issue_code(cb_ctl *ctl, const cb_issue_code *of);

#endif
