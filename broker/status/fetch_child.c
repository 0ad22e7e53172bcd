/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/status/fetch_child.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/sandbox.h"
#include "broker/status/fetch_rights.h"
#include "broker/status/http.h"

enum { REQUEST_MAX = 16 * 1024, PIECE = 16 * 1024 };

typedef struct order {
    char url[CB_URL_MAX + 1];
    cb_buf question;
    size_t most;
    int64_t deadline;
    int out;
} order;

/* ---- connecting ---- */

static bool wait_for(int fd, short events, int64_t deadline)
{
    int ready, left;
    do {
        struct pollfd p = {.fd = fd, .events = events};
        left = cb_deadline_left_ms(deadline);
        ready = left > 0 ? poll(&p, 1, left) : 0;
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static int connect_to(const struct addrinfo *a, int64_t deadline)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    int fault = 0;
    socklen_t len = sizeof fault;
    if (fd < 0)
        return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    if (errno == EINPROGRESS && wait_for(fd, POLLOUT, deadline) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0 && fault == 0)
        return fd;
    close(fd);
    return -1;
}

static cb_error connect_url(const cb_url *url, int64_t deadline, int *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    struct addrinfo *all = NULL;
    int64_t left = 0;
    if (getaddrinfo(url->host, url->port, &hints, &all) != 0)
        return CB_E_SERVICE_DOWN;
    for (const struct addrinfo *a = all; a; a = a->ai_next)
        left++;
    *out = -1;
    /* Each address gets its share of the time. */
    for (const struct addrinfo *a = all; a && *out < 0; a = a->ai_next, left--) {
        int64_t share = (deadline - cb_clock_monotonic_us()) / left;
        if (share > 0)
            *out = connect_to(a, cb_deadline_in(share));
    }
    freeaddrinfo(all);
    if (*out >= 0)
        return CB_OK;
    return cb_deadline_left_ms(deadline) > 0 ? CB_E_SERVICE_DOWN : CB_E_SERVICE_SLOW;
}

/* ---- one fetch ---- */

static cb_error send_all(int connection, cb_bytes bytes, int64_t deadline)
{
    cb_cursor left = cb_cursor_over(bytes);
    while (left.rest.len > 0) {
        ssize_t sent = send(connection, left.rest.data, left.rest.len, MSG_NOSIGNAL);
        if (sent > 0)
            cb_cursor_take(&left, (size_t)sent);
        else if (errno != EINTR && errno != EAGAIN)
            return CB_E_SERVICE_DOWN;
        else if (!wait_for(connection, POLLOUT, deadline))
            return CB_E_SERVICE_SLOW;
    }
    return CB_OK;
}

static cb_error receive_all(int connection, int64_t deadline, cb_buf *out)
{
    static uint8_t piece[PIECE];
    for (;;) {
        if (!wait_for(connection, POLLIN, deadline))
            return CB_E_SERVICE_SLOW;
        ssize_t got = recv(connection, piece, sizeof piece, 0);
        if (got == 0)
            return CB_OK;
        if (got > 0)
            cb_buf_put(out, cb_bytes_make(piece, (size_t)got));
        else if (errno != EINTR && errno != EAGAIN)
            return CB_E_SERVICE_DOWN;
        if (cb_buf_error(out))
            return cb_buf_error(out);
    }
}

static void hand_over(int out, cb_error error, cb_bytes body)
{
    cb_buf heading = CB_BUF(CB_FETCH_HEADING);
    body = error ? (cb_bytes){0} : body;
    cb_buf_put_u32(&heading, (uint32_t)error);
    cb_buf_put_u64(&heading, body.len);
    cb_bytes parts[] = {cb_buf_bytes(&heading), body};
    for (size_t i = 0; i < 2; i++) {
        cb_cursor left = cb_cursor_over(parts[i]);
        while (left.rest.len > 0) {
            ssize_t put = write(out, left.rest.data, left.rest.len);
            if (put < 0 && errno != EINTR)
                return;
            cb_cursor_take(&left, put > 0 ? (size_t)put : 0);
        }
    }
}

static cb_error exchange(const order *o, const cb_url *url, int connection, cb_buf *whole,
                         cb_bytes *body)
{
    cb_buf request = CB_BUF(REQUEST_MAX);
    cb_error error = cb_status_http_ask(url, cb_buf_bytes(&o->question), &request);
    if (!error)
        error = send_all(connection, cb_buf_bytes(&request), o->deadline);
    if (!error)
        error = receive_all(connection, o->deadline, whole);
    if (!error)
        error = cb_status_http_read(cb_buf_bytes(whole), body);
    return !error && body->len > o->most ? CB_E_TOO_LARGE : error;
}

static _Noreturn void fetch(order *o, bool sandbox)
{
    cb_url url;
    cb_bytes body = {0};
    int connection = -1;
    cb_buf whole = CB_BUF(o->most + CB_STATUS_HEADERS_MAX);
    cb_error error = cb_url_parse(o->url, &url);
    if (!error)
        error = connect_url(&url, o->deadline, &connection);
    if (!error)
        error = cb_fetch_confine(&connection, &o->out, o->most, sandbox);
    if (!error)
        error = exchange(o, &url, connection, &whole, &body);
    hand_over(o->out, error, body);
    _exit(0);
}

/* ---- the keeper ---- */

static bool read_order(cb_msg *msg, order *out)
{
    cb_cursor in = cb_msg_cursor(msg);
    cb_bytes url = cb_cursor_var(&in, CB_URL_MAX);
    cb_bytes question = cb_cursor_var(&in, CB_FETCH_QUESTION_MAX);
    *out = (order){.question = CB_BUF(CB_FETCH_QUESTION_MAX), .out = msg->fd};
    out->most = cb_cursor_u64(&in);
    out->deadline = (int64_t)cb_cursor_u64(&in);
    if (msg->type != CB_FETCH_ORDER || msg->fd < 0 || !cb_cursor_done(&in))
        return false;
    memcpy(out->url, url.data, url.len);
    cb_buf_put(&out->question, question);
    return cb_buf_error(&out->question) == CB_OK;
}

static void collect(unsigned *running)
{
    while (*running > 0 && waitpid(-1, NULL, WNOHANG) > 0)
        (*running)--;
}

/* An order of which no process can be made is answered, so that nobody waits for it in vain. */
static void follow(cb_msg *msg, int orders, bool sandbox, unsigned *running)
{
    static order o;
    pid_t keeper = getpid();
    if (!read_order(msg, &o))
        return;
    collect(running);
    pid_t pid = *running < CB_FETCHES_MAX ? fork() : -1;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != keeper)
            _exit(1);
        close(orders);
        fetch(&o, sandbox);
    }
    if (pid < 0)
        hand_over(o.out, CB_E_BUSY, (cb_bytes){0});
    else
        (*running)++;
    cb_buf_free(&o.question);
}

int cb_fetch_keep(int orders, bool sandbox)
{
    unsigned running = 0;
    cb_msg msg;
    signal(SIGPIPE, SIG_IGN);
    if (cb_sandbox_no_dumps() != CB_OK || (sandbox && cb_fetch_confine_keeper() != CB_OK))
        return 1;
    cb_msg_init(&msg, 0);
    for (;;) {
        struct pollfd p = {.fd = orders, .events = POLLIN};
        /* Woken now and then for those who have ended. */
        int ready = poll(&p, 1, running > 0 ? 1000 : -1);
        collect(&running);
        if (ready <= 0)
            continue;
        cb_error error = cb_msg_receive(orders, &msg, cb_deadline_in(CB_SECOND));
        if (error == CB_E_CLOSED || error == CB_E_IO)
            return 0;
        if (!error)
            follow(&msg, orders, sandbox, &running);
        cb_msg_free(&msg);
    }
}
