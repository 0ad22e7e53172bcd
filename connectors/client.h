/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's end of connectord, which runs the connectors.
 *
 * A login happens in a process of its own, made for it and sandboxed: it holds one holder's session at one service and
 * nothing else, has no way to open a socket or a file, and reaches the holder's key only by asking back through the
 * functions of cb_login_keys. What it was given dies with it. If it crashes, hangs or answers nonsense, that login fails
 * and nothing else notices.
 */
#ifndef CB_CONNECTORS_CLIENT_H
#define CB_CONNECTORS_CLIENT_H

#include "base/buf.h"
#include "base/id.h"

enum {
    CB_LOGIN_CONFIG_MAX = 16 * 1024,
    CB_LOGIN_VALUE_MAX = 16 * 1024, /* of a token, URL or cookies */
    CB_RELAY_HEADERS_MAX = 32 * 1024
};

typedef struct cb_connectors cb_connectors;
typedef struct cb_session cb_session;

cb_error cb_connectors_open(const char *run, cb_connectors **out);
void cb_connectors_close(cb_connectors **connectors);

/* CB_OK when connectord answers and the named connector (NULL: any) is ready. */
cb_error cb_connectors_ping(cb_connectors *connectors, const char *connector);

/* Checks a service's configuration as its connector declares it. JSON text; why gets a sentence. CB_E_ARGUMENT. */
cb_error cb_connectors_check(cb_connectors *connectors, const char *connector, const char *config,
                             cb_buf *why);

/* What a connector says of itself, as JSON: name, title, version, kinds, algorithms, fields. */
cb_error cb_connectors_describe(cb_connectors *connectors, const char *connector, cb_buf *json);

typedef struct cb_login_request {
    const char *connector;
    const char *service;
    const char *config;    /* the service's configuration, JSON text */
    const char *enrolment; /* the enrolment's own data, JSON text ("{}" if none): e.g. subject, client id */
    cb_bytes certificate;  /* DER end-entity certificate, or empty */
    cb_bytes chain;        /* DER certificates one after another, or empty */
    cb_bytes public_key;   /* DER SubjectPublicKeyInfo, or empty */
    uint8_t algorithm;     /* cb_key_algorithm of hsm/records.h */
    cb_id session;         /* names the session in logs */
} cb_login_request;

/* What an administrator hands to the service so that it accepts this key, as JSON (e.g. a JSON Web Key Set). No key is used. */
cb_error cb_connectors_enrol(cb_connectors *connectors, const cb_login_request *request,
                             cb_buf *json, cb_buf *why);

/* How the login reaches the holder's key; called in the thread that called cb_connector_login. operation and hash as in
 * hsm/client.h. Returning an error makes the connector's call fail; the login then fails with that error. */
typedef struct cb_login_keys {
    void *context;
    cb_error (*use)(void *context, uint8_t operation, uint8_t hash, cb_bytes data, cb_buf *result);
} cb_login_keys;

typedef enum cb_session_kind {
    CB_SESSION_TOKEN = 1,   /* value: JSON object, e.g. {"access_token":…,"token_type":…,"expires_in":…} */
    CB_SESSION_URL = 2,     /* value: a one-time URL for the citizen's browser */
    CB_SESSION_COOKIES = 3, /* value: JSON {"origin":…,"cookies":[…]} */
    CB_SESSION_RELAYED = 4  /* value: empty; the session stays open and is reached by cb_relay_* */
} cb_session_kind;

typedef struct cb_login_result {
    uint8_t kind;
    cb_buf value;    /* wiped by cb_login_result_free: it may be a bearer token */
    int64_t expires; /* wall clock, microseconds; 0: unknown */
} cb_login_result;

void cb_login_result_free(cb_login_result *result);

/* Logs in. On CB_OK *session (never NULL) stays until cb_session_end. Errors: CB_E_SERVICE_*, CB_E_CONNECTOR_*, CB_E_TIMEOUT,
 * or what use() returned. */
cb_error cb_connector_login(cb_connectors *connectors, const cb_login_request *request,
                            const cb_login_keys *keys, int64_t deadline, cb_login_result *result,
                            cb_session **session);

/* From any thread, and without waiting for anybody: from now on nothing of this session answers, every cb_relay_* call
 * under way or yet to come returns CB_E_SESSION_ENDED. cb_session_cut still is to end its process, and may log out first
 * where no exchange was under way. */
void cb_session_silence(cb_session *session);

/* Cuts a session at once, from any thread: silences it and ends its process. The pointer stays valid until cb_session_end. With logout, the connector is first given a second to log out at the
 * service; the caller waits for it. */
void cb_session_cut(cb_session *session, bool logout);

/* Cuts (without logout) if that was not done, and frees. No other thread may be using the session; relays must be closed. */
void cb_session_end(cb_session **session);

/* Whether the session's process lives. */
bool cb_session_alive(cb_session *session);

/* ---- One HTTP exchange through a relayed session. One at a time: another waits for its turn. ---- */

typedef struct cb_relay cb_relay;

/* headers: "Name: value\r\n"… as the citizen's browser sent them; hop-by-hop ones, Host, Cookie of the broker's own and
 * Connection are the caller's to leave out; or it gives Host, the relay's own, which is not sent on: then an Origin or Referer that
 * names it is made to name the service's origin. target starts with "/". body_length -1: chunked; 0: none.
 * An exchange broken off in the middle (a body not sent to its end, more than 4 MiB of an answer not read) ends the session, for it has one
 * connection only. */
cb_error cb_relay_open(cb_session *session, const char *method, const char *target,
                       const char *headers, int64_t body_length, int64_t deadline, cb_relay **out);
cb_error cb_relay_send(cb_relay *relay, cb_bytes chunk);

/* After the last chunk: the response's status and headers ("Name: value\r\n"…). */
cb_error cb_relay_head(cb_relay *relay, unsigned *status, cb_buf *headers);

/* Next bytes of the body; *got 0 at the end. */
cb_error cb_relay_read(cb_relay *relay, void *out, size_t size, size_t *got);
void cb_relay_close(cb_relay **relay);

#endif
