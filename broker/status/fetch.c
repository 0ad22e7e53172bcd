/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/status/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/sandbox.h"
#include "base/supervise.h"
#include "broker/status/fetch_child.h"
#include "broker/status/url.h"

enum { PIECE = 64 * 1024 };
#define SEND_TIME (CB_SECOND)

struct cb_fetcher {
    int orders;
    pid_t process; /* who keeps the keeper running */
};

/* ---- processes ---- */

typedef struct order {
    int orders;
    bool sandbox;
} order;

static int keep(void *context, unsigned index)
{
    const order *o = context;
    (void)index;
    signal(SIGCHLD, SIG_DFL);
    return cb_fetch_keep(o->orders, o->sandbox);
}

static _Noreturn void run_apart(const char *user, order *o, pid_t parent)
{
    sigset_t none;
    int dropped;
    cb_worker worker = {.name = "fetch", .main = keep, .context = o};
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (getppid() != parent || cb_sandbox_become(user, &dropped) != CB_OK)
        _exit(1);
    /* A change of user forgets it. */
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != parent)
        _exit(1);
    _exit(cb_supervise(&worker, 1, NULL, NULL) == CB_OK ? 0 : 1);
}

cb_error cb_fetcher_open(const char *user, bool sandbox, cb_fetcher **out)
{
    int pair[2];
    pid_t parent = getpid();
    cb_fetcher *fetcher = calloc(1, sizeof *fetcher);
    if (!fetcher)
        return CB_E_MEMORY;
    cb_error error = cb_msg_pair(pair);
    if (error) {
        free(fetcher);
        return error;
    }
    fetcher->process = fork();
    if (fetcher->process == 0) {
        order o = {pair[1], sandbox};
        close(pair[0]);
        run_apart(user, &o, parent);
    }
    close(pair[1]);
    fetcher->orders = pair[0];
    *out = fetcher;
    if (fetcher->process > 0)
        return CB_OK;
    cb_fetcher_close(out);
    return CB_E_MEMORY;
}

bool cb_fetcher_ended(cb_fetcher *fetcher)
{
    if (!fetcher || fetcher->process <= 0 ||
        waitpid(fetcher->process, NULL, WNOHANG) != fetcher->process)
        return false;
    fetcher->process = 0;
    return true;
}

void cb_fetcher_stop(cb_fetcher *fetcher)
{
    if (!fetcher || fetcher->process <= 0)
        return;
    shutdown(fetcher->orders, SHUT_RDWR);
    /* Not kill: confined programs have only this one. */
    syscall(SYS_tgkill, fetcher->process, fetcher->process, SIGTERM);
    while (waitpid(fetcher->process, NULL, 0) < 0 && errno == EINTR)
        continue;
    fetcher->process = 0;
}

void cb_fetcher_close(cb_fetcher **fetcher)
{
    if (!*fetcher)
        return;
    cb_fetcher_stop(*fetcher);
    close((*fetcher)->orders);
    free(*fetcher);
    *fetcher = NULL;
}

int cb_fetcher_process(const cb_fetcher *fetcher) { return fetcher->process; }

/* ---- fetching ---- */

static cb_error send_order(const cb_fetcher *fetcher, const cb_fetch *what, size_t most, int end)
{
    cb_msg msg;
    cb_url url;
    if (cb_url_parse(what->url, &url) != CB_OK || what->question.len > CB_FETCH_QUESTION_MAX)
        return CB_E_FORMAT;
    cb_msg_init(&msg, CB_FETCH_ORDER);
    cb_buf_put_var(&msg.body, cb_bytes_str(what->url));
    cb_buf_put_var(&msg.body, what->question);
    cb_buf_put_u64(&msg.body, most);
    cb_buf_put_u64(&msg.body, (uint64_t)what->deadline);
    msg.fd = end;
    cb_error error = cb_msg_send(fetcher->orders, &msg, cb_deadline_in(SEND_TIME));
    msg.fd = -1;
    cb_msg_free(&msg);
    return error == CB_E_CLOSED || error == CB_E_TIMEOUT ? CB_E_BUSY : error;
}

/* Reads what there is. False at the end, or on a failure. */
static bool read_piece(int from, cb_buf *out, uint8_t *piece)
{
    ssize_t got = read(from, piece, PIECE);
    if (got > 0)
        cb_buf_put(out, cb_bytes_make(piece, (size_t)got));
    return got > 0 ? cb_buf_error(out) == CB_OK : got < 0 && (errno == EINTR || errno == EAGAIN);
}

/* Until there is something, or its end. Who cannot wait must not read: that waits for ever. */
static cb_error wait_for(int from, int64_t deadline)
{
    struct pollfd p = {.fd = from, .events = POLLIN};
    int ready;
    do {
        int left = cb_deadline_left_ms(deadline);
        ready = left > 0 ? poll(&p, 1, left) : 0;
    } while (ready < 0 && errno == EINTR);
    return ready > 0 ? CB_OK : ready < 0 ? CB_E_MEMORY : CB_E_SERVICE_SLOW;
}

static cb_error read_all(int from, int64_t deadline, cb_buf *out)
{
    cb_error error;
    uint8_t *piece = malloc(PIECE);
    if (!piece)
        return CB_E_MEMORY;
    do
        error = wait_for(from, deadline);
    while (!error && read_piece(from, out, piece));
    free(piece);
    return error ? error : cb_buf_error(out);
}

/* The heading goes into a buffer of its own first, so that the body need not be moved. */
static cb_error read_heading(int from, int64_t deadline, uint64_t *length)
{
    uint8_t bytes[CB_FETCH_HEADING];
    size_t len = 0;
    while (len < sizeof bytes) {
        cb_error error = wait_for(from, deadline);
        if (error)
            return error;
        ssize_t got = read(from, bytes + len, sizeof bytes - len);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return CB_E_CLOSED;
        len += got > 0 ? (size_t)got : 0;
    }
    cb_cursor in = cb_cursor_over(CB_BYTES_OF(bytes));
    cb_error error = cb_error_from_wire(cb_cursor_u32(&in));
    *length = cb_cursor_u64(&in);
    return error == CB_E_PROTOCOL ? CB_E_SERVICE_ANSWER : error;
}

/* CB_E_CLOSED: whoever fetched it ended before it had handed over all. */
static cb_error fetch_once(const cb_fetcher *fetcher, const cb_fetch *what, cb_buf *answer)
{
    int ends[2];
    uint64_t length = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return CB_E_MEMORY;
    cb_error error = send_order(fetcher, what, answer->max, ends[1]);
    close(ends[1]);
    if (!error)
        error = read_heading(ends[0], what->deadline, &length);
    if (!error)
        error = read_all(ends[0], what->deadline, answer);
    close(ends[0]);
    return !error && answer->len != length ? CB_E_CLOSED : error;
}

/* That somebody killed its process is no fault of the server's, which would not be asked again for
 * a while. Once more only: what came may have been the end of the first. */
cb_error cb_fetcher_get(cb_fetcher *fetcher, const cb_fetch *what, cb_buf *answer)
{
    cb_error error = fetch_once(fetcher, what, answer);
    if (error == CB_E_CLOSED) {
        cb_buf_reset(answer);
        error = fetch_once(fetcher, what, answer);
    }
    return error == CB_E_CLOSED ? CB_E_SERVICE_DOWN : error;
}
