/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sessions that taps opened at services and that the broker can still cut.
 *
 * A relayed session is reached by the citizen's browser under a host name of its own,
 * "<label>.<relay domain>". The one-time code in its first URL is exchanged for a cookie; both are
 * random 32 bytes, kept only as SHA-256. Every request looks the session up here, so that a cut
 * takes effect at the next byte.
 *
 * A session ends by a cut (revocation, suspension, removal, an administrator), by its life or idle
 * limit, because nobody came with its URL, because the service or its process ended it, or because
 * its card opened CB_SESSIONS_PER_CARD newer ones. Each end is recorded (kind "session.ended")
 * through the callback given at open.
 */
#ifndef CB_BROKER_CORE_SESSION_H
#define CB_BROKER_CORE_SESSION_H

#include "base/clock.h"
#include "broker/core/decide.h"
#include "connectors/client.h"

enum { CB_SESSIONS_PER_CARD = 8 };
/* So many that ended are told from unknown ones, for ten minutes. */
enum { CB_SESSIONS_REMEMBERED = 8192 };
/* How long a relayed session waits until somebody comes with its cookie: the answer with its URL, or
 * with the cookie, may have been lost on its way. */
#define CB_SESSION_CLAIM (120 * CB_SECOND)
enum { CB_SESSION_LABEL = 27 /* 26 characters and a zero */, CB_SESSION_SECRET = 65 /* 64 hex digits and a zero */ };

typedef struct cb_sessions cb_sessions;

typedef struct cb_session_facts {
    cb_id session;
    cb_id tap;
    cb_id card;
    cb_id holder;
    cb_id terminal;
    cb_id enrolment;
    char service[64];
    uint8_t kind;         /* cb_session_kind */
    int64_t life;         /* microseconds at most; 0: 8 hours */
    int64_t idle;         /* microseconds without a request; 0: 15 minutes */
} cb_session_facts;

typedef struct cb_sessions_parts {
    const char *relay_domain; /* e.g. "relay.localhost"; copied */
    unsigned relay_port;      /* of the public URL; 443 is left out of it */
    unsigned most;            /* sessions at a time; 0: 1024 */
    /* Called with each end once, and with all that come together at a time, by any thread, without
     * locks held; why is a short word: "revoked", "expired", "idle", "closed" (by the service),
     * "unclaimed" (nobody came with its cookie), "superseded", "stopped" (the broker stops), "ended"
     * (by request). */
    void (*ended)(void *context, const cb_session_over *over, size_t count);
    void *context;
} cb_sessions_parts;

cb_error cb_sessions_open(const cb_sessions_parts *parts, cb_sessions **out);

/* Cuts all of them ("stopped"). */
void cb_sessions_close(cb_sessions **sessions);

unsigned cb_sessions_count(cb_sessions *sessions);

/* Takes a live session over (on failure it stays the caller's). Appends the one-time URL to url when it is a relayed one. CB_E_BUSY. */
cb_error cb_sessions_add(cb_sessions *sessions, const cb_session_facts *facts, cb_session *session,
                         cb_buf *url);

/* Which sessions to cut: all that match every field that is not zero. At least one must be given; match NULL: all
 * sessions, for a broker that stops. Returns how many were cut; when it
 * returns, none of them answers any more, nor does one that matches and that another thread is ending. Logging out at services takes two seconds at most, however many they are: those whose turn
 * does not come are cut without it. */
typedef struct cb_session_match {
    cb_id session, card, holder, terminal, enrolment;
} cb_session_match;
unsigned cb_sessions_cut(cb_sessions *sessions, const cb_session_match *match, const char *why);

/* ---- For the relay ---- */

typedef struct cb_session_use cb_session_use; /* a reference to a live session */

/* Exchanges the one-time code for a cookie secret. The code is used up once somebody has come with the secret, for the answer that
 * brings it may be lost; until then each exchange makes another one, and the one before is worth nothing. CB_E_SESSION_UNKNOWN,
 * CB_E_SESSION_ENDED. */
cb_error cb_sessions_enter(cb_sessions *sessions, const char *label, const char *code,
                           char cookie[CB_SESSION_SECRET]);

/* The session of a label, if the cookie secret is its own. CB_E_SESSION_UNKNOWN, CB_E_SESSION_ENDED; CB_E_BUSY while it has 16 uses
 * already, for nobody's session may take all places. End with cb_session_put. */
cb_error cb_sessions_get(cb_sessions *sessions, const char *label, const char *cookie,
                         cb_session_use **out);
cb_session *cb_session_of(cb_session_use *use);
const cb_session_facts *cb_session_facts_of(cb_session_use *use);
void cb_session_put(cb_session_use **use);

#endif
