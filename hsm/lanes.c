/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/lanes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/msg.h"
#include "hsm/request.h"

enum { EVENTS = 32, ACCEPTS = 64, SWEEP_MS = 1000 };
/* What is left to taps for which a card lies at a reader, and to those that the card has answered.
 */
#define RENEWAL_BEGUN (3 * CB_SECOND)
#define RENEWAL_UNDER_WAY (10 * CB_SECOND)

typedef struct loop {
    cb_lane *lane;
    int poller;
    int listener;
    unsigned connections;
    int64_t sweep_at;
    int64_t worn_out_at; /* 0: not yet */
} loop;

static volatile sig_atomic_t told_to_end;
static volatile sig_atomic_t told_to_reload;

static void note_signal(int number)
{
    if (number == SIGHUP)
        told_to_reload = 1;
    else
        told_to_end = 1;
}

static void caught(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

void cb_lane_catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t set;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    /* They arrive only while the loop waits. */
    caught(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

void cb_lane_name(cb_lane_kind kind, unsigned index, char out[16])
{
    if (kind == CB_LANE_USE)
        snprintf(out, 16, "use-%u", index);
    else
        snprintf(out, 16, "%s", kind == CB_LANE_LOG ? "log" : "manage");
}

bool cb_lane_admits(const cb_hsmd_config *config, cb_lane_kind kind, uid_t uid)
{
    const cb_hsmd_users *users = &config->users;
    if (kind != CB_LANE_MANAGE)
        return uid == users->front_end;
    for (size_t i = 0; i < users->managers; i++) {
        if (users->manager[i] == uid)
            return true;
    }
    return false;
}

static bool watch(const loop *l, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(l->poller, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool welcome(loop *l, int fd)
{
    int pid;
    unsigned uid, gid;
    char text[24], held[CB_HELD_TEXT];
    if (cb_msg_peer(fd, &pid, &uid, &gid))
        return false;
    if (!cb_lane_admits(l->lane->config, l->lane->kind, uid)) {
        snprintf(text, sizeof text, "%u", uid);
        if (cb_complain(l->lane->complaints, CB_COMPLAINT_CONNECTION, held))
            cb_log(CB_LOG_WARNING, "connection.refused", "A user who may not connected.", "uid",
                   text, "held_back", held[0] ? held : NULL, NULL);
        return false;
    }
    if (l->connections >= CB_LANE_CONNECTIONS_MAX) {
        if (cb_complain(l->lane->complaints, CB_COMPLAINT_CONNECTION, held))
            cb_log(CB_LOG_WARNING, "connection.limit", "Too many connections: one was closed.",
                   "held_back", held[0] ? held : NULL, NULL);
        return false;
    }
    return true;
}

/* Out of descriptors: the waiting connection would wake the loop again and again. */
static void starved(loop *l)
{
    char held[CB_HELD_TEXT];
    if (cb_complain(l->lane->complaints, CB_COMPLAINT_CONNECTION, held))
        cb_log(CB_LOG_ERROR, "connection.starved",
               "No connection can be taken: raise the limit of descriptors (LimitNOFILE).",
               "held_back", held[0] ? held : NULL, NULL);
    usleep(10000);
}

/* False when nobody waits. */
static bool accept_one(loop *l)
{
    int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            starved(l);
        return false;
    }
    if (welcome(l, fd) && watch(l, fd))
        l->connections++;
    else
        close(fd);
    return true;
}

/* Those who may not come are sent away faster than they can come, so that they keep nobody waiting;
 * but not for ever at a time. */
static void accept_some(loop *l)
{
    for (unsigned i = 0; i < ACCEPTS && accept_one(l); i++)
        ;
}

static void drop(loop *l, int fd)
{
    close(fd);
    l->connections--;
}

/* Takes one message and answers it. An answer that the other side does not take ends its
 * connection. */
static void serve_one(loop *l, int fd)
{
    cb_msg question, answer;
    cb_msg_init(&question, 0);
    cb_msg_init(&answer, 0);
    bool keep = false;
    char held[CB_HELD_TEXT];
    cb_error error = cb_msg_receive(fd, &question, 0);
    if (error == CB_E_TIMEOUT) {
        keep = true;
    } else if (error == CB_E_PROTOCOL) {
        if (cb_complain(l->lane->complaints, CB_COMPLAINT_REQUEST, held))
            cb_log(CB_LOG_WARNING, "request.malformed", "A packet that is no message.", "held_back",
                   held[0] ? held : NULL, NULL);
    } else if (!error) {
        cb_log_set_request(&question.request);
        keep = cb_request_handle(l->lane, &question, &answer);
        if (cb_msg_send(fd, &answer, 0))
            keep = false;
        cb_log_set_request(NULL);
    }
    cb_msg_free(&question);
    cb_msg_free(&answer);
    if (!keep)
        drop(l, fd);
}

static void sweep(loop *l)
{
    int64_t now = cb_clock_monotonic_us();
    if (now < l->sweep_at)
        return;
    if (l->lane->taps)
        cb_taps_sweep(l->lane->taps);
    cb_complaints_settle(l->lane->complaints);
    l->sweep_at = now + SWEEP_MS * CB_MILLISECOND;
}

/* Libraries of tokens are seen to keep a little memory of every object that there ever was. So a
 * worker ends after very many taps, and its supervisor begins a fresh one: in a quiet moment, or,
 * when none comes, after some time in which new taps go to other workers. Scripts that terminals
 * hold in advance are lost. */
static bool is_renewed(loop *l)
{
    const cb_taps *taps = l->lane->taps;
    if (!taps || !cb_taps_worn(taps))
        return false;
    int64_t now = cb_clock_monotonic_us();
    if (l->worn_out_at == 0 && cb_taps_worn_out(taps))
        l->worn_out_at = now;
    bool late = l->worn_out_at > 0 && now - l->worn_out_at >= RENEWAL_UNDER_WAY;
    if (!late && cb_taps_under_way(taps, now - RENEWAL_BEGUN))
        return false;
    cb_log(CB_LOG_INFO, "worker.renewed",
           "A worker that has served very many taps makes room for a fresh one.", NULL);
    return true;
}

/* What was asked is answered; what is asked next waits for the process that comes after this one.
 */
static bool given_up(const cb_lane *lane)
{
    return lane->vault->given_up && lane->vault->given_up(lane->vault->context);
}

static cb_error run(loop *l, void (*reload)(cb_lane *lane))
{
    struct epoll_event event[EVENTS];
    sigset_t open;
    sigemptyset(&open);
    while (!told_to_end && !is_renewed(l)) {
        int count = epoll_pwait(l->poller, event, EVENTS, SWEEP_MS, &open);
        if (count < 0 && errno != EINTR)
            return CB_E_IO;
        for (int i = 0; i < count; i++) {
            if (event[i].data.fd == l->listener)
                accept_some(l);
            else
                serve_one(l, event[i].data.fd);
        }
        if (given_up(l->lane))
            return CB_E_HSM_TOKEN;
        if (told_to_reload) {
            told_to_reload = 0;
            reload(l->lane);
        }
        sweep(l);
    }
    return CB_OK;
}

cb_error cb_lane_serve(cb_lane *lane, int listener, void (*reload)(cb_lane *lane))
{
    loop l = {.lane = lane, .listener = listener, .poller = epoll_create1(EPOLL_CLOEXEC)};
    /* The socket is shared with the processes before and after this one: never wait in accept. */
    int flags = fcntl(listener, F_GETFL);
    if (l.poller < 0 || flags < 0 || fcntl(listener, F_SETFL, flags | O_NONBLOCK) != 0 ||
        !watch(&l, listener))
        return CB_E_IO;
    cb_error error = run(&l, reload);
    close(l.poller);
    return error;
}
