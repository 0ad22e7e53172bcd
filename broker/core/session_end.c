/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How sessions end: by a cut, or by the sweeper when they are overdue.
 */
#include "broker/core/session_parts.h"

#include <stdlib.h>

#include "base/secret.h"

/* How long a browser is told "ended" and not "unknown", while there are not too many of them. */
#define ENDED_KEPT (10 * 60 * CB_SECOND)
#define SWEEP_EVERY CB_SECOND
/* For logging out at services, of all sessions that end together: one that dawdles must not keep the others open. */
#define LOGOUTS_TIME CB_SECOND

typedef cb_session_entry entry;

static void destroy(entry *e)
{
    if (e->session)
        cb_session_end(&e->session);
    cb_wipe(e, sizeof *e);
    free(e);
}

void cb_session_release(cb_sessions *sessions, entry *e)
{
    cb_session *idle = NULL;
    pthread_mutex_lock(&sessions->lock);
    unsigned left = --e->references;
    if (left == 1 && e->listed && e->ended) {
        idle = e->session;
        e->session = NULL;
    }
    pthread_mutex_unlock(&sessions->lock);
    if (idle)
        cb_session_end(&idle);
    if (left == 0)
        destroy(e);
}

static bool matches(const cb_id *wanted, const cb_id *have)
{
    return cb_id_is_zero(wanted) || cb_id_same(wanted, have);
}

static bool matches_all(const cb_session_match *m, const cb_session_facts *f)
{
    return matches(&m->session, &f->session) && matches(&m->card, &f->card) &&
           matches(&m->holder, &f->holder) && matches(&m->terminal, &f->terminal) &&
           matches(&m->enrolment, &f->enrolment);
}

/* Why a live session must end now, or NULL. */
static const char *overdue(const cb_sessions *sessions, const entry *e, int64_t now)
{
    if (e->superseded)
        return "superseded";
    if (!cb_session_alive(e->session))
        return "closed";
    if (now - e->opened > e->facts.life)
        return "expired";
    if (!e->claimed && e->facts.kind == CB_SESSION_RELAYED && now - e->opened > sessions->claim)
        return "unclaimed";
    if (now - e->used > e->facts.idle)
        return "idle";
    return NULL;
}

/* What ends together: a transaction for all of them is as dear as one for each. */
typedef struct endings {
    unsigned count;
    entry **entry; /* of each a reference */
    cb_session_over *over;
} endings;

/* Room for all that live; false without memory. The lock is held. */
static bool endings_begin(const cb_sessions *sessions, endings *list)
{
    list->count = 0;
    list->entry = calloc(sessions->table.live_count + 1, sizeof(entry *));
    list->over = calloc(sessions->table.live_count + 1, sizeof *list->over);
    return list->entry && list->over;
}

/* Marks an entry as ended and lists it. The lock is held. Whoever finds a session no longer among the live may say that
 * it was cut: so it is silent from here on, and not when its turn comes to be logged out. */
static void mark_ended(cb_sessions *sessions, entry *e, const char *why, endings *list)
{
    cb_session_silence(e->session);
    cb_session_table_end(&sessions->table, e);
    e->ended_at = cb_clock_monotonic_us();
    e->references++;
    list->entry[list->count] = e;
    list->over[list->count++] = (cb_session_over){e->facts.session, why};
}

/* Ends the processes of what is listed, politely while there is time, and frees the list; returns how many. Without the lock, because a
 * cut waits for a process and the callback writes to the database. */
static unsigned finish_all(cb_sessions *sessions, endings *list)
{
    int64_t deadline = cb_deadline_in(LOGOUTS_TIME);
    for (unsigned i = 0; i < list->count; i++) {
        bool closed = strcmp(list->over[i].why, "closed") == 0;
        cb_session_cut(list->entry[i]->session, !closed && cb_deadline_left_ms(deadline) > 0);
    }
    if (sessions->ended && list->count > 0)
        sessions->ended(sessions->context, list->over, list->count);
    for (unsigned i = 0; i < list->count; i++)
        cb_session_release(sessions, list->entry[i]);
    free(list->entry);
    free(list->over);
    return list->count;
}

unsigned cb_sessions_cut(cb_sessions *sessions, const cb_session_match *match, const char *why)
{
    static const cb_session_match nothing;
    if (match && memcmp(match, &nothing, sizeof nothing) == 0)
        return 0;
    unsigned count = 0;
    pthread_mutex_lock(&sessions->lock);
    endings list;
    bool room = endings_begin(sessions, &list);
    entry *next;
    for (entry *e = TAILQ_FIRST(&sessions->table.live); e; e = next) {
        next = TAILQ_NEXT(e, order);
        if (match && !matches_all(match, &e->facts))
            continue;
        count++;
        /* Without memory for the list the cut still happens, one process at a time under the lock. */
        if (room)
            mark_ended(sessions, e, why, &list);
        else
            cb_session_cut(e->session, false);
    }
    pthread_mutex_unlock(&sessions->lock);
    finish_all(sessions, &list);
    return count;
}

/* Of those whose end was long ago, or that are too many, the next one, out of the table; NULL: none. */
static entry *forget_one(cb_sessions *sessions)
{
    pthread_mutex_lock(&sessions->lock);
    entry *e = TAILQ_FIRST(&sessions->table.ended);
    if (e && (sessions->table.ended_count > CB_SESSIONS_REMEMBERED ||
              cb_clock_monotonic_us() - e->ended_at > ENDED_KEPT))
        cb_session_table_forget(&sessions->table, e);
    else
        e = NULL;
    pthread_mutex_unlock(&sessions->lock);
    return e;
}

/* Ends what is overdue, forgets what ended long ago. */
static void sweep(cb_sessions *sessions)
{
    int64_t now = cb_clock_monotonic_us();
    endings list;
    pthread_mutex_lock(&sessions->lock);
    bool room = endings_begin(sessions, &list);
    entry *next;
    for (entry *e = TAILQ_FIRST(&sessions->table.live); room && e; e = next) {
        next = TAILQ_NEXT(e, order);
        const char *why = overdue(sessions, e, now);
        if (why)
            mark_ended(sessions, e, why, &list);
    }
    pthread_mutex_unlock(&sessions->lock);
    finish_all(sessions, &list);
    for (entry *e; (e = forget_one(sessions));)
        cb_session_release(sessions, e);
}

void *cb_session_sweeper(void *argument)
{
    cb_sessions *sessions = argument;
    pthread_mutex_lock(&sessions->lock);
    while (!sessions->stopping) {
        int64_t now = cb_clock_monotonic_us();
        if (now < sessions->sweep_at) {
            struct timespec t = {sessions->sweep_at / CB_SECOND, sessions->sweep_at % CB_SECOND * 1000};
            pthread_cond_timedwait(&sessions->wake, &sessions->lock, &t);
            continue;
        }
        sessions->swept = now;
        sessions->sweep_at = now + SWEEP_EVERY;
        pthread_mutex_unlock(&sessions->lock);
        sweep(sessions);
        pthread_mutex_lock(&sessions->lock);
    }
    pthread_mutex_unlock(&sessions->lock);
    return NULL;
}
