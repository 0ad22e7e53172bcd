/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/zygote.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "connectors/host/login.h"
#include "connectors/host/wait.h"

#define ANSWER_TIME (CB_SECOND)
#define TRY_EVERY (5 * CB_SECOND)

typedef struct child {
    pid_t pid;
    int socket; /* duplicate; -1: the broker is gone, the child was killed */
    cb_id request;
} child;

typedef struct state {
    const cb_zygote *about;
    cb_plugin plugin;
    cb_sandbox_filter calls; /* that the children may make */
    child *children;
    struct pollfd *polled;
    size_t count;
    int signals;
} state;

static void answer(int socket, const cb_msg *question, cb_error error, const char *text)
{
    cb_msg msg;
    cb_msg_init(&msg, question->type);
    msg.id = question->id;
    msg.error = error;
    cb_buf_put_str(&msg.body, text);
    cb_msg_send(socket, &msg, cb_deadline_in(ANSWER_TIME));
    cb_msg_free(&msg);
}

static _Noreturn void run_child(state *s, cb_msg *msg, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(1);
    sigprocmask(SIG_SETMASK, &none, NULL);
    _exit(cb_login_run(&s->plugin, msg, s->about->registrations, &s->about->limits, &s->calls));
}

/* A login's own process has no log: what it says goes to the broker. This line ties its process to
 * the request. */
static void tell_start(const state *s, pid_t pid)
{
    char number[16];
    snprintf(number, sizeof number, "%d", (int)pid);
    cb_log(CB_LOG_INFO, "login.started", "A login got a process of its own.", "connector",
           s->about->name, "process", number, NULL);
}

static void start_child(state *s, cb_msg *msg)
{
    pid_t parent = getpid();
    int keep = fcntl(msg->fd, F_DUPFD_CLOEXEC, 3);
    pid_t pid = keep >= 0 ? fork() : -1;
    if (pid == 0)
        run_child(s, msg, parent);
    if (pid < 0) {
        answer(msg->fd, msg, CB_E_BUSY, "no process could be made for it");
        if (keep >= 0)
            close(keep);
        return;
    }
    s->children[s->count++] = (child){.pid = pid, .socket = keep, .request = msg->request};
    if (msg->type == CB_CONN_LOGIN)
        tell_start(s, pid);
}

static void describe(state *s, const cb_msg *msg)
{
    cb_buf json = CB_BUF(CB_MSG_BODY_MAX);
    cb_error error = cb_plugin_describe(&s->plugin, &json);
    const char *text = error ? NULL : cb_buf_cstr(&json);
    answer(msg->fd, msg, text ? CB_OK : CB_E_MEMORY, text ? text : "");
    cb_buf_free(&json);
}

static void take_order(state *s)
{
    cb_msg msg;
    cb_msg_init(&msg, 0);
    cb_error error = cb_msg_receive(s->about->orders, &msg, 0);
    if (!error && msg.fd >= 0) {
        cb_log_set_request(&msg.request);
        if (msg.type == CB_CONN_PING)
            answer(msg.fd, &msg, CB_OK, "");
        else if (msg.type == CB_CONN_DESCRIBE)
            describe(s, &msg);
        else if (s->count == s->about->sessions)
            answer(msg.fd, &msg, CB_E_BUSY, "this connector has as many sessions as it may");
        else
            start_child(s, &msg);
        cb_log_set_request(NULL);
    }
    cb_msg_free(&msg);
}

static void note_end(const state *s, const child *c, int status)
{
    char how[32];
    /* A child that was killed because its broker went is no news. */
    bool expected = WIFSIGNALED(status) ? c->socket < 0 : WEXITSTATUS(status) == 0;
    if (expected)
        return;
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "status %d", WEXITSTATUS(status));
    cb_log_set_request(&c->request);
    cb_log(CB_LOG_WARNING, "connector.died",
           WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS
               ? "A connector did what it may not and was ended; its login failed."
               : "A connector's process died; its login or session ended.",
           "connector", s->about->name, "how", how, NULL);
    cb_log_set_request(NULL);
}

static void forget(state *s, size_t i, int status)
{
    note_end(s, &s->children[i], status);
    if (s->children[i].socket >= 0)
        close(s->children[i].socket);
    s->children[i] = s->children[--s->count];
}

static void reap(state *s)
{
    int status;
    struct signalfd_siginfo ignored;
    while (read(s->signals, &ignored, sizeof ignored) > 0)
        continue;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (size_t i = 0; i < s->count; i++) {
            if (s->children[i].pid == pid) {
                forget(s, i, status);
                break;
            }
        }
    }
}

/* The broker closed its end: whatever the child is doing, it is over. */
static void end_child(child *c)
{
    kill(c->pid, SIGKILL);
    close(c->socket);
    c->socket = -1;
}

static bool step(state *s)
{
    size_t count = s->count;
    s->polled[0] = (struct pollfd){.fd = s->about->orders, .events = POLLIN};
    s->polled[1] = (struct pollfd){.fd = s->signals, .events = POLLIN};
    for (size_t i = 0; i < count; i++)
        s->polled[i + 2] = (struct pollfd){.fd = s->children[i].socket};
    if (!cb_wait(s->polled, count + 2, -1))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (s->polled[i + 2].revents)
            end_child(&s->children[i]);
    }
    if (s->polled[1].revents)
        reap(s);
    if (s->polled[0].revents)
        take_order(s);
    return !(s->polled[0].revents & POLLHUP); /* no more will come */
}

static bool watch_children(state *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signals >= 0;
}

static cb_error become(const cb_zygote *zygote)
{
    int dropped;
    cb_error error = cb_sandbox_become(zygote->user, &dropped);
    if (error)
        cb_log_failure("connector.unusable", error, "its user cannot be changed to");
    /* A change of user forgets it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return error;
}

static cb_error load(state *s)
{
    cb_buf why = CB_BUF(CB_CONN_TEXT_MAX);
    cb_error error = cb_http_start();
    /* What libraries would open files for later, where a login's process no longer may: a seed, the
     * time zone. */
    json_object_seed(0);
    tzset();
    if (!error)
        error = cb_plugin_load(&s->plugin, s->about->name, s->about->path, &why);
    if (!error)
        error = cb_login_sandbox(&s->calls);
    if (error)
        cb_log_failure("connector.unusable", error, cb_buf_cstr(&why));
    cb_buf_free(&why);
    return error;
}

/* Whether the plug-in can be loaded and described, found out where a crash does no harm. */
static bool try_to_load(const cb_zygote *zygote, bool change_user)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        state s = {.about = zygote};
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        _exit((!change_user || become(zygote) == CB_OK) && load(&s) == CB_OK ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* False when no more will come. */
static bool refuse_orders(const state *s, int64_t until)
{
    cb_error error = CB_OK;
    while (error != CB_E_CLOSED && cb_deadline_left_ms(until) > 0) {
        cb_msg msg;
        cb_msg_init(&msg, 0);
        error = cb_msg_receive(s->about->orders, &msg, until);
        if (!error && msg.fd >= 0)
            answer(msg.fd, &msg, CB_E_CONNECTOR_DOWN, "the connector cannot be loaded");
        cb_msg_free(&msg);
    }
    return error != CB_E_CLOSED;
}

/* At connectord's start the plug-in could be loaded. Should its file be gone or another when the
 * process is made anew, its own logins are refused until that is put right, and nobody else's. */
static bool wait_until_usable(const state *s)
{
    while (!try_to_load(s->about, false)) {
        cb_log(CB_LOG_ERROR, "connector.down", "A connector cannot be loaded; it is tried again.",
               "connector", s->about->name, NULL);
        if (!refuse_orders(s, cb_deadline_in(TRY_EVERY)))
            return false;
    }
    return true;
}

int cb_zygote_main(const cb_zygote *zygote)
{
    state s = {.about = zygote};
    struct rlimit files = {zygote->sessions + 64, zygote->sessions + 64};
    setrlimit(RLIMIT_NOFILE, &files);
    s.children = calloc(zygote->sessions, sizeof *s.children);
    s.polled = calloc((size_t)zygote->sessions + 2, sizeof *s.polled);
    if (!s.children || !s.polled || !watch_children(&s))
        return 1;
    if (become(zygote) != CB_OK || !wait_until_usable(&s) || load(&s) != CB_OK)
        return 1;
    while (step(&s))
        continue;
    return 0;
}

bool cb_zygote_try(const cb_zygote *zygote) { return try_to_load(zygote, true); }
