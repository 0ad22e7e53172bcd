/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/dispatcher.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "connectors/host/wait.h"
#include "connectors/protocol.h"

enum { WAITING_MAX = 128 };
#define FIRST_MESSAGE_TIME (2 * CB_SECOND)
#define REFUSE_TIME (CB_SECOND)
/* Everybody waits meanwhile: long enough for a zygote that makes processes as fast as it can. */
#define HAND_OVER_TIME (300 * CB_MILLISECOND)
#define REST_TIME (100 * CB_MILLISECOND)

/* Connections whose first message has not come yet. */
typedef struct waiting {
    int socket;
    int64_t until;
} waiting;

typedef struct state {
    const cb_dispatcher *about;
    waiting guests[WAITING_MAX];
    struct pollfd polled[WAITING_MAX + 1];
    size_t count;
    bool stuck[CB_DISPATCHER_MOST]; /* did not take an order in time, nor any since */
    int64_t rest_until;      /* nobody is let in before */
    bool starved;            /* which has been said */
} state;

static bool may_connect(const cb_dispatcher *about, int socket)
{
    int pid;
    unsigned uid, gid;
    if (cb_msg_peer(socket, &pid, &uid, &gid) != CB_OK)
        return false;
    bool allowed = uid == 0 || uid == geteuid();
    for (size_t i = 0; i < about->client_count; i++)
        allowed |= about->clients[i] == uid;
    char who[16];
    snprintf(who, sizeof who, "%u", uid);
    if (!allowed)
        cb_log(CB_LOG_WARNING, "client.refused", "A user who is not a client connected.", "uid",
               who, NULL);
    return allowed;
}

/* Whoever waits would wake the loop again and again while there is no descriptor for him. */
static void rest(state *s)
{
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
        return;
    if (!s->starved)
        cb_log(CB_LOG_ERROR, "dispatcher.starved",
               "No connection can be taken: raise the limit of descriptors (LimitNOFILE) or free "
               "memory.",
               "reason", strerror(errno), NULL);
    s->starved = true;
    s->rest_until = cb_deadline_in(REST_TIME);
}

static void take_guest(state *s)
{
    int socket = accept4(s->about->listener, NULL, NULL, SOCK_CLOEXEC);
    if (socket < 0) {
        rest(s);
        return;
    }
    s->starved = false;
    if (!may_connect(s->about, socket)) {
        close(socket);
        return;
    }
    s->guests[s->count++] =
        (waiting){.socket = socket, .until = cb_deadline_in(FIRST_MESSAGE_TIME)};
}

static void refuse(const cb_msg *question, int socket, cb_error error, const char *why)
{
    cb_msg msg;
    cb_msg_init(&msg, question->type);
    msg.id = question->id;
    msg.error = error;
    cb_buf_put_str(&msg.body, why);
    cb_msg_send(socket, &msg, cb_deadline_in(REFUSE_TIME));
    cb_msg_free(&msg);
}

/* The zygote for a first message; an empty name is any. Its number, or the count if there is none.
 */
static size_t zygote_for(const cb_dispatcher *about, const cb_msg *msg)
{
    cb_cursor cursor = cb_msg_cursor(msg);
    cb_bytes name = cb_cursor_var(&cursor, CB_CONN_NAME_MAX);
    size_t i = 0;
    if (!cb_cursor_ok(&cursor) || msg->type < CB_CONN_PING || msg->type > CB_CONN_LOGIN)
        return about->count;
    while (name.len > 0 && i < about->count && !cb_bytes_same(name, cb_bytes_str(about->names[i])))
        i++;
    return i;
}

static void hand_over(state *s, cb_msg *msg, int socket)
{
    const cb_dispatcher *about = s->about;
    size_t i = zygote_for(about, msg);
    if (i == about->count) {
        refuse(msg, socket, CB_E_CONNECTOR_DOWN, "no connector of that name is configured");
        close(socket);
        return;
    }
    cb_log_set_request(&msg->request);
    if (msg->fd >= 0)
        close(msg->fd);
    msg->fd = socket;
    /* One that hangs, or does not come up, keeps the others' guests waiting once. */
    cb_error error =
        cb_msg_send(about->orders[i], msg, s->stuck[i] ? 0 : cb_deadline_in(HAND_OVER_TIME));
    s->stuck[i] = error != CB_OK;
    if (error)
        refuse(msg, socket, CB_E_CONNECTOR_DOWN, "the connector does not take orders");
    cb_log_set_request(NULL);
}

static void drop(state *s, size_t i) { s->guests[i] = s->guests[--s->count]; }

static void hear_guest(state *s, size_t i)
{
    cb_msg msg;
    cb_msg_init(&msg, 0);
    cb_error error = cb_msg_receive(s->guests[i].socket, &msg, 0);
    if (error == CB_E_TIMEOUT)
        return;
    if (error)
        close(s->guests[i].socket);
    else
        hand_over(s, &msg, s->guests[i].socket); /* which owns it now */
    cb_msg_free(&msg);
    drop(s, i);
}

static int next_timeout(const state *s)
{
    int64_t first = cb_deadline_left_ms(s->rest_until) > 0 ? s->rest_until : INT64_MAX;
    for (size_t i = 0; i < s->count; i++)
        first = s->guests[i].until < first ? s->guests[i].until : first;
    return first < INT64_MAX ? cb_deadline_left_ms(first) : -1;
}

static bool step(state *s)
{
    size_t count = s->count;
    bool open = count < WAITING_MAX && cb_deadline_left_ms(s->rest_until) == 0;
    s->polled[0] = (struct pollfd){.fd = open ? s->about->listener : -1, .events = POLLIN};
    for (size_t i = 0; i < count; i++)
        s->polled[i + 1] = (struct pollfd){.fd = s->guests[i].socket, .events = POLLIN};
    if (!cb_wait(s->polled, count + 1, next_timeout(s)))
        return false;
    /* From the end: leaving moves only what has been looked at. */
    for (size_t i = count; i-- > 0;) {
        if (s->polled[i + 1].revents) {
            hear_guest(s, i);
        } else if (cb_deadline_left_ms(s->guests[i].until) == 0) {
            close(s->guests[i].socket);
            drop(s, i);
        }
    }
    if (s->polled[0].revents)
        take_guest(s);
    return true;
}

int cb_dispatcher_main(const cb_dispatcher *dispatcher)
{
    static state s;
    int dropped;
    s.about = dispatcher;
    if (cb_sandbox_become(dispatcher->user, &dropped) != CB_OK)
        return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while (step(&s))
        continue;
    return 1;
}
