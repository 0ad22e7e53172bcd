/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/session_parts.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/secret.h"
#include "base/text.h"

#define DEFAULT_LIFE (8 * 3600 * CB_SECOND)
#define DEFAULT_IDLE (15 * 60 * CB_SECOND)
/* Browsers use six connections to a host. Each use is a thread, of which all sessions together have a limited number. */
enum { DEFAULT_MOST = 1024, SECRET_BYTES = 32, USES_MOST = 16 };

typedef cb_session_entry entry;

struct cb_session_use {
    cb_sessions *sessions;
    entry *entry;
};

static void init_locks(cb_sessions *sessions)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&sessions->lock, NULL);
    pthread_cond_init(&sessions->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

cb_error cb_sessions_open(const cb_sessions_parts *parts, cb_sessions **out)
{
    if (!parts->relay_domain || strlen(parts->relay_domain) >= sizeof((cb_sessions *)0)->relay_domain)
        return CB_E_CONFIG;
    cb_sessions *sessions = calloc(1, sizeof *sessions);
    if (!sessions)
        return CB_E_MEMORY;
    cb_session_table_init(&sessions->table);
    strcpy(sessions->relay_domain, parts->relay_domain);
    sessions->relay_port = parts->relay_port;
    sessions->most = parts->most ? parts->most : DEFAULT_MOST;
    sessions->claim = CB_SESSION_CLAIM;
    sessions->ended = parts->ended;
    sessions->context = parts->context;
    init_locks(sessions);
    if (pthread_create(&sessions->sweeper, NULL, cb_session_sweeper, sessions) != 0) {
        free(sessions);
        return CB_E_MEMORY;
    }
    *out = sessions;
    return CB_OK;
}

static void end_everything(cb_sessions *sessions)
{
    cb_sessions_cut(sessions, NULL, "stopped");
    struct cb_session_queue *const queues[] = {&sessions->table.live, &sessions->table.ended};
    for (unsigned i = 0; i < 2; i++) {
        for (entry *e; (e = TAILQ_FIRST(queues[i]));) {
            cb_session_table_forget(&sessions->table, e);
            cb_session_release(sessions, e);
        }
    }
}

void cb_sessions_close(cb_sessions **sessions)
{
    cb_sessions *s = *sessions;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->sweeper, NULL);
    end_everything(s);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    free(s);
    *sessions = NULL;
}

unsigned cb_sessions_count(cb_sessions *sessions)
{
    pthread_mutex_lock(&sessions->lock);
    unsigned live = sessions->table.live_count;
    pthread_mutex_unlock(&sessions->lock);
    return live;
}

/* A host name's label: 26 characters of [a-z2-7], so 128 bits that nobody can guess. */
static void draw_label(char label[CB_SESSION_LABEL])
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t drawn[CB_SESSION_LABEL - 1];
    cb_random(drawn, sizeof drawn);
    for (size_t i = 0; i < sizeof drawn; i++)
        label[i] = digits[drawn[i] % 32];
    label[sizeof drawn] = 0;
}

/* Draws a secret as text and keeps only its digest. */
static cb_digest draw_secret(char text[CB_SESSION_SECRET])
{
    uint8_t drawn[SECRET_BYTES];
    cb_random(drawn, sizeof drawn);
    cb_hex(CB_BYTES_OF(drawn), text);
    cb_wipe(drawn, sizeof drawn);
    return cb_sha256(cb_bytes_str(text));
}

static void put_url(const cb_sessions *sessions, const char *label, const char *code, cb_buf *url)
{
    cb_buf_printf(url, "https://%s.%s", label, sessions->relay_domain);
    if (sessions->relay_port != 443)
        cb_buf_printf(url, ":%u", sessions->relay_port);
    cb_buf_printf(url, "/.cardbroker/enter?code=%s", code);
}

/* Makes place for a card's next session: of those it has, the oldest goes when there are too many. So nobody can take all places by
 * tapping on and on. The sweeper ends it, for that may take a while. The lock is held. */
static void supersede(cb_sessions *sessions, const cb_id *card)
{
    entry *oldest;
    if (cb_session_table_count(&sessions->table, card, &oldest) < CB_SESSIONS_PER_CARD)
        return;
    oldest->superseded = true;
    if (sessions->swept + CB_SESSION_SWEEP_SOONEST < sessions->sweep_at) {
        sessions->sweep_at = sessions->swept + CB_SESSION_SWEEP_SOONEST;
        pthread_cond_signal(&sessions->wake);
    }
}

cb_error cb_sessions_add(cb_sessions *sessions, const cb_session_facts *facts, cb_session *session,
                         cb_buf *url)
{
    char code[CB_SESSION_SECRET];
    cb_error error = CB_OK;
    entry *e = calloc(1, sizeof *e);
    if (!e)
        return CB_E_MEMORY;
    *e = (entry){.facts = *facts, .session = session, .listed = true, .references = 1};
    e->facts.life = facts->life ? facts->life : DEFAULT_LIFE;
    e->facts.idle = facts->idle ? facts->idle : DEFAULT_IDLE;
    e->opened = e->used = cb_clock_monotonic_us();
    draw_label(e->label);
    e->code = draw_secret(code);
    if (facts->kind == CB_SESSION_RELAYED)
        put_url(sessions, e->label, code, url);
    cb_wipe(code, sizeof code);
    pthread_mutex_lock(&sessions->lock);
    if (sessions->stopping)
        error = CB_E_STOPPING;
    else if (sessions->table.live_count >= sessions->most)
        error = CB_E_BUSY;
    else if ((error = cb_buf_error(url)) == CB_OK) {
        supersede(sessions, &facts->card);
        cb_session_table_add(&sessions->table, e);
    }
    pthread_mutex_unlock(&sessions->lock);
    if (error)
        free(e);
    return error;
}

static bool secret_is(const cb_digest *kept, const char *offered)
{
    cb_digest digest = cb_sha256(cb_bytes_str(offered));
    return cb_equal(cb_digest_bytes(kept), cb_digest_bytes(&digest));
}

cb_error cb_sessions_enter(cb_sessions *sessions, const char *label, const char *code,
                           char cookie[CB_SESSION_SECRET])
{
    cb_error error = CB_E_SESSION_UNKNOWN;
    pthread_mutex_lock(&sessions->lock);
    entry *e = cb_session_table_find(&sessions->table, label);
    if (e && !e->claimed && secret_is(&e->code, code)) {
        error = e->ended ? CB_E_SESSION_ENDED : CB_OK;
        e->entered = true;
        e->cookie = draw_secret(cookie);
        e->used = cb_clock_monotonic_us();
    }
    pthread_mutex_unlock(&sessions->lock);
    return error;
}

cb_error cb_sessions_get(cb_sessions *sessions, const char *label, const char *cookie,
                         cb_session_use **out)
{
    cb_error error = CB_E_SESSION_UNKNOWN;
    cb_session_use *use = calloc(1, sizeof *use);
    if (!use)
        return CB_E_MEMORY;
    pthread_mutex_lock(&sessions->lock);
    entry *e = cb_session_table_find(&sessions->table, label);
    bool own = e && e->entered && secret_is(&e->cookie, cookie);
    if (own) {
        error = e->ended ? CB_E_SESSION_ENDED : e->references > USES_MOST ? CB_E_BUSY : CB_OK;
        e->claimed = true;
    }
    if (!error) {
        e->references++;
        e->used = cb_clock_monotonic_us();
        *use = (cb_session_use){sessions, e};
    }
    pthread_mutex_unlock(&sessions->lock);
    if (error)
        free(use);
    else
        *out = use;
    return error;
}

cb_session *cb_session_of(cb_session_use *use)
{
    return use->entry->session;
}

const cb_session_facts *cb_session_facts_of(cb_session_use *use)
{
    return &use->entry->facts;
}

void cb_session_put(cb_session_use **use)
{
    if (!*use)
        return;
    cb_sessions *sessions = (*use)->sessions;
    entry *e = (*use)->entry;
    pthread_mutex_lock(&sessions->lock);
    e->used = cb_clock_monotonic_us();
    pthread_mutex_unlock(&sessions->lock);
    cb_session_release(sessions, e);
    free(*use);
    *use = NULL;
}
