/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/session.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* The owner and everybody inside a cb_relay_* function hold the session: the last of them frees it.
 * Ending it shuts the socket down, which wakes whoever waits on it; nobody closes it while somebody
 * may use it. */
struct cb_session {
    pthread_mutex_t mutex;
    pthread_cond_t turn;
    unsigned holders;
    bool ended;  /* nothing of it answers any more */
    bool parted; /* its socket is shut down, or somebody is at it */
    bool busy;   /* an exchange is under way */
    bool relayed;
    int socket;
};

struct cb_relay {
    cb_session *session;
    int64_t deadline;
    uint32_t next_id;
    cb_error error; /* the first; every later call gives it again */
    bool owed;      /* a question has no answer yet */
};

cb_error cb_session_new(int socket, bool relayed, cb_session **out)
{
    pthread_condattr_t attributes;
    cb_session *session = calloc(1, sizeof *session);
    if (!session)
        return CB_E_MEMORY;
    session->socket = socket;
    session->relayed = relayed;
    session->holders = 1;
    pthread_mutex_init(&session->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&session->turn, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = session;
    return CB_OK;
}

static void hold(cb_session *session)
{
    pthread_mutex_lock(&session->mutex);
    session->holders++;
    pthread_mutex_unlock(&session->mutex);
}

static void let_go(cb_session *session)
{
    pthread_mutex_lock(&session->mutex);
    bool last = --session->holders == 0;
    pthread_mutex_unlock(&session->mutex);
    if (!last)
        return;
    close(session->socket);
    pthread_cond_destroy(&session->turn);
    pthread_mutex_destroy(&session->mutex);
    free(session);
}

void cb_session_log(const cb_msg *msg)
{
    cb_cursor cursor = cb_msg_cursor(msg);
    unsigned level = cb_cursor_u8(&cursor);
    cb_bytes event = cb_cursor_var(&cursor, CB_CONN_TEXT_MAX);
    cb_bytes message = cb_cursor_var(&cursor, CB_CONN_TEXT_MAX);
    cb_buf said = CB_BUF(CB_CONN_TEXT_MAX + 1);
    cb_buf name = CB_BUF(CB_CONN_TEXT_MAX + 1);
    cb_buf_put(&said, message);
    cb_buf_put(&name, event);
    if (cb_cursor_done(&cursor))
        cb_log(level <= CB_LOG_ERROR ? (cb_log_level)level : CB_LOG_INFO, "connector.says",
               cb_buf_cstr(&said), "name", cb_buf_cstr(&name), NULL);
    cb_buf_free(&said);
    cb_buf_free(&name);
}

static void free_turn(cb_session *session)
{
    pthread_mutex_lock(&session->mutex);
    session->busy = false;
    pthread_cond_signal(&session->turn);
    pthread_mutex_unlock(&session->mutex);
}

static cb_error wait_for_turn(cb_session *session, int64_t deadline)
{
    struct timespec until = {deadline / CB_SECOND, deadline % CB_SECOND * 1000};
    cb_error error = CB_OK;
    pthread_mutex_lock(&session->mutex);
    while (session->busy && !session->ended && !error) {
        if (pthread_cond_timedwait(&session->turn, &session->mutex, &until) != 0)
            error = CB_E_TIMEOUT;
    }
    if (session->ended)
        error = CB_E_SESSION_ENDED;
    if (!error)
        session->busy = true;
    pthread_mutex_unlock(&session->mutex);
    return error;
}

/* Waits for an answer of this type and id, whose own error stays in it; logs go to the log. */
static cb_error await(cb_session *session, cb_msg *msg, uint16_t type, uint32_t id,
                      int64_t deadline)
{
    cb_error error;
    unsigned logs = 0;
    for (;;) {
        error = cb_msg_receive(session->socket, msg, deadline);
        if (error || msg->type != CB_CONN_LOG || ++logs > CB_CONN_LOGS_MAX)
            break;
        cb_session_log(msg);
    }
    if (!error && (msg->type != type || msg->id != id))
        error = CB_E_CONNECTOR_ANSWER;
    return error;
}

static void log_out(cb_session *session)
{
    int64_t deadline = cb_deadline_in(CB_CONN_LOGOUT_TIME);
    cb_msg msg;
    cb_msg_init(&msg, CB_CONN_LOGOUT);
    msg.id = UINT32_MAX;
    if (cb_msg_send(session->socket, &msg, 0) == CB_OK)
        await(session, &msg, CB_CONN_LOGOUT, UINT32_MAX, deadline);
    cb_msg_free(&msg);
}

void cb_session_silence(cb_session *session)
{
    pthread_mutex_lock(&session->mutex);
    session->ended = true;
    /* In the middle of an exchange there is no orderly way to log out over the same connection. */
    if (session->busy) {
        session->parted = true;
        shutdown(session->socket, SHUT_RDWR);
    }
    pthread_cond_broadcast(&session->turn);
    pthread_mutex_unlock(&session->mutex);
}

void cb_session_cut(cb_session *session, bool logout)
{
    cb_session_silence(session);
    pthread_mutex_lock(&session->mutex);
    bool first = !session->parted;
    session->parted = true;
    pthread_mutex_unlock(&session->mutex);
    if (first && logout)
        log_out(session);
    shutdown(session->socket, SHUT_RDWR);
}

void cb_session_end(cb_session **session)
{
    if (!session || !*session)
        return;
    cb_session_cut(*session, false);
    let_go(*session);
    *session = NULL;
}

bool cb_session_alive(cb_session *session)
{
    /* No events asked for: what its process still says does not matter, only whether it has hung
     * up. */
    struct pollfd p = {.fd = session->socket};
    int ready;
    do
        ready = poll(&p, 1, 0);
    while (ready < 0 && errno == EINTR);
    return ready == 0;
}

/* ---- exchanges ---- */

static bool has_ended(cb_session *session)
{
    pthread_mutex_lock(&session->mutex);
    bool ended = session->ended;
    pthread_mutex_unlock(&session->mutex);
    return ended;
}

/* What a relay's caller is told; remembered, for after a failure the two sides are out of step. An answer that was on
 * its way when the session was silenced is none. */
static cb_error note(cb_relay *relay, cb_error error)
{
    if (relay->error)
        return relay->error;
    if (error == CB_E_CLOSED || error == CB_E_IO || has_ended(relay->session))
        error = CB_E_SESSION_ENDED;
    else if (error == CB_E_PROTOCOL)
        error = CB_E_CONNECTOR_ANSWER;
    relay->error = error;
    return error;
}

static cb_error put_question(cb_msg *msg, const char *method, const char *target,
                             const char *headers, int64_t body_length, int64_t deadline)
{
    if (strlen(method) > CB_CONN_METHOD_MAX || strlen(target) > CB_CONN_TARGET_MAX ||
        strlen(headers) > CB_RELAY_HEADERS_MAX)
        return CB_E_TOO_LARGE;
    cb_buf_put_var(&msg->body, cb_bytes_str(method));
    cb_buf_put_var(&msg->body, cb_bytes_str(target));
    cb_buf_put_var(&msg->body, cb_bytes_str(headers));
    cb_buf_put_u64(&msg->body, (uint64_t)body_length);
    cb_buf_put_u64(&msg->body, (uint64_t)deadline);
    return cb_buf_error(&msg->body);
}

static cb_error start(cb_session *session, cb_msg *msg, int64_t deadline, cb_relay **out)
{
    cb_relay *relay = calloc(1, sizeof *relay);
    cb_error error = relay ? wait_for_turn(session, deadline) : CB_E_MEMORY;
    if (error) {
        free(relay);
        return error;
    }
    *relay = (cb_relay){.session = session, .deadline = deadline, .next_id = 1};
    error = note(relay, cb_msg_send(session->socket, msg, deadline));
    if (error) {
        free_turn(session);
        free(relay);
        return error;
    }
    *out = relay;
    return CB_OK;
}

cb_error cb_relay_open(cb_session *session, const char *method, const char *target,
                       const char *headers, int64_t body_length, int64_t deadline, cb_relay **out)
{
    cb_msg msg;
    *out = NULL;
    hold(session);
    cb_msg_init(&msg, CB_CONN_OPEN);
    cb_error error = session->relayed ? CB_OK : CB_E_STATE;
    if (!error)
        error = put_question(&msg, method, target, headers ? headers : "", body_length, deadline);
    if (!error)
        error = start(session, &msg, deadline, out);
    cb_msg_free(&msg);
    if (error)
        let_go(session);
    return error;
}

cb_error cb_relay_send(cb_relay *relay, cb_bytes chunk)
{
    cb_cursor cursor = cb_cursor_over(chunk);
    cb_error error = relay->error;
    while (cursor.rest.len > 0 && !error) {
        size_t len = cursor.rest.len < CB_CONN_CHUNK_MAX ? cursor.rest.len : CB_CONN_CHUNK_MAX;
        cb_msg msg;
        cb_msg_init(&msg, CB_CONN_SEND);
        cb_buf_put(&msg.body, cb_cursor_take(&cursor, len));
        error = note(relay, cb_msg_send(relay->session->socket, &msg, relay->deadline));
        cb_msg_free(&msg);
    }
    return error;
}

/* Sends a question and waits for its answer, in msg. */
static cb_error ask(cb_relay *relay, cb_msg *msg)
{
    uint16_t type = msg->type;
    uint32_t id = relay->next_id++;
    msg->id = id;
    cb_error error = cb_msg_send(relay->session->socket, msg, relay->deadline);
    relay->owed = !error;
    if (!error)
        error = await(relay->session, msg, type, id, relay->deadline + CB_CONN_GRACE);
    if (!error) {
        relay->owed = false;
        error = msg->error;
    }
    return note(relay, error);
}

cb_error cb_relay_head(cb_relay *relay, unsigned *status, cb_buf *headers)
{
    cb_msg msg;
    if (relay->error)
        return relay->error;
    cb_msg_init(&msg, CB_CONN_HEAD);
    cb_error error = ask(relay, &msg);
    cb_cursor cursor = cb_msg_cursor(&msg);
    if (!error) {
        *status = cb_cursor_u16(&cursor);
        cb_buf_put(headers, cb_cursor_var(&cursor, CB_RELAY_HEADERS_MAX));
        error =
            note(relay, cb_cursor_done(&cursor) ? cb_buf_error(headers) : CB_E_CONNECTOR_ANSWER);
    }
    cb_msg_free(&msg);
    return error;
}

cb_error cb_relay_read(cb_relay *relay, void *out, size_t size, size_t *got)
{
    cb_msg msg;
    *got = 0;
    if (relay->error || size == 0)
        return relay->error;
    cb_msg_init(&msg, CB_CONN_READ);
    cb_buf_put_u32(&msg.body, size < CB_CONN_CHUNK_MAX ? (uint32_t)size : CB_CONN_CHUNK_MAX);
    cb_error error = ask(relay, &msg);
    if (!error && msg.body.len > size)
        error = note(relay, CB_E_CONNECTOR_ANSWER);
    if (!error && msg.body.len > 0) {
        memcpy(out, msg.body.data, msg.body.len);
        *got = msg.body.len;
    }
    cb_msg_free(&msg);
    return error;
}

void cb_relay_close(cb_relay **relay)
{
    cb_msg msg;
    if (!relay || !*relay)
        return;
    cb_session *session = (*relay)->session;
    cb_error error = (*relay)->error;
    cb_msg_init(&msg, CB_CONN_CLOSE);
    /* Whoever did not get the answer to a question is out of step with the process for good: it
     * would be taken for the answer to the next. */
    if (cb_msg_send(session->socket, &msg, cb_deadline_in(CB_SECOND)) != CB_OK || (*relay)->owed ||
        error == CB_E_TIMEOUT || error == CB_E_CONNECTOR_ANSWER)
        shutdown(session->socket, SHUT_RDWR);
    cb_msg_free(&msg);
    free_turn(session);
    let_go(session);
    free(*relay);
    *relay = NULL;
}
