/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inside status.h; its own files' only. Everything that changes is under the lock.
 */
#ifndef CB_BROKER_STATUS_PARTS_H
#define CB_BROKER_STATUS_PARTS_H

#include <pthread.h>

#include "broker/status/crl.h"
#include "broker/status/ocsp.h"
#include "broker/status/status.h"

enum { CB_STATUS_PATH = 512 };

/* Where a list comes from, and what came. */
typedef struct cb_source {
    const char *url;
    char path[CB_STATUS_PATH]; /* of the kept one; "": none */
    cb_crl *crl;               /* NULL: none yet */
    int64_t due;               /* when to fetch, seconds since 1970 */
    unsigned failures;         /* in a row */
    cb_error error;
} cb_source;

typedef struct cb_issuer {
    struct cb_status *status;
    const cb_status_issuer *about;
    cb_x509 certificate;
    cb_digest name, key;
    cb_source sources[CB_STATUS_LISTS_MAX];
    pthread_t threads[1 + CB_STATUS_CONNECTIONS_MAX]; /* the first is for lists */
    unsigned thread_count;
    pthread_cond_t work; /* somebody waits for an answer */
    int64_t quiet;       /* until then nobody waits for the responder: it was silent */
} cb_issuer;

/* What a responder said of one certificate. */
typedef struct cb_remembered {
    cb_issuer *issuer; /* NULL: an empty place */
    uint8_t serial[CB_X509_SERIAL_MAX];
    size_t serial_len;
    bool known; /* of the next four */
    cb_ocsp_status said;
    uint8_t reason;
    int64_t this_update, next_update; /* seconds since 1970 */
    int64_t due;                      /* when to ask again, if somebody used it */
    int64_t retry;                    /* after a failure, when a question may wait again */
    int64_t used, asked;              /* when a question came last; when its responder was asked */
    uint64_t turn;                    /* of all questions, the number of the last one for it */
    unsigned failures;                /* in a row */
    unsigned waiting;                 /* so many wait now; such a place is not given away */
    bool wanted, asking;
} cb_remembered;

struct cb_status {
    cb_status_config config;
    cb_issuer issuers[CB_STATUS_ISSUERS_MAX];
    size_t issuer_count;
    cb_remembered *answers;
    size_t answer_count;
    uint64_t turns;
    cb_status_counts counts;
    bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t answered; /* an answer came, or will not; also wakes threads to stop */
};

int64_t cb_status_now(const cb_status *status);

/* lists.c: takes kept lists up; the thread that fetches lists; whether a list is fresh. */
void cb_lists_restore(cb_issuer *issuer);
void *cb_lists_run(void *issuer);
bool cb_list_is_fresh(const cb_status *status, const cb_source *source);

/* What the lists say. CB_OK: a fresh one that covers it, and does not have it. */
cb_error cb_lists_check(const cb_issuer *issuer, const cb_status_question *question,
                        cb_status_reason *reason);

/* answers.c: the threads that ask a responder. */
void *cb_answers_run(void *issuer);

/* What the responder says; waits for it. Called under the lock. */
cb_error cb_answers_check(cb_issuer *issuer, cb_bytes serial, cb_status_reason *reason);

/* When something is to be fetched again that counts until then: before it gets stale, and no later
 * than the configured time. */
int64_t cb_status_due(const cb_status *status, int64_t until);

/* Whether a moment has come that is at most so many seconds ahead; one further ahead was noted
 * before the clock was set back. */
static inline bool cb_status_is_past(int64_t moment, int64_t now, int64_t most)
{
    return moment <= now || moment - now > most;
}

/* How long to leave a server alone that has failed so often in a row, in seconds. */
int64_t cb_status_pause(unsigned failures);

#endif
