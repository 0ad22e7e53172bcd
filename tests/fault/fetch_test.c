/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who fetches lists and answers, its keeper and its processes, while each allocation and each call
 * for a socket of any of them fails in turn, before a server that none strikes. What was asked for
 * comes whole or not at all, nobody waits for it in vain, and the next question is answered; a
 * keeper that ended is begun again.
 */
#include "broker/status/fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/socket_faults.h"

/* What a flow returns when it was given what it must not be; it is no listed error. */
#define WRONG CB_ERROR_COUNT

/* What is for good is waited for no longer than it must be. */
#define PATIENCE (60 * CB_SECOND)
#define BRIEFLY (1500 * CB_MILLISECOND)

enum { LIST = 40000, MOST = 64 * 1024, RUNS = 8 };

static struct {
    pid_t server;
    char url[64];
    cb_fetcher *fetcher;
    const fault_kind *kind;
    bool lasting;
} shared;

/* ---- The server ---- */

static char list_at(size_t i) { return (char)('a' + i % 26); }

static void put_all(int to, const char *bytes, size_t len)
{
    for (ssize_t put = 1; len > 0 && put > 0; bytes += put, len -= (size_t)put)
        put = write(to, bytes, len);
}

/* GET: a list; POST: the question again. */
static void answer(int connection)
{
    static char request[8192], body[LIST], head[128];
    size_t len = 0, due = LIST;
    ssize_t got = 1;
    const char *end = NULL;
    for (; got > 0 && !end; end = strstr(request, "\r\n\r\n")) {
        got = read(connection, request + len, sizeof request - 1 - len);
        len += got > 0 ? (size_t)got : 0;
        request[len] = 0;
    }
    for (size_t i = 0; i < LIST; i++)
        body[i] = list_at(i);
    const char *length = end ? strstr(request, "Content-Length: ") : NULL;
    if (length) {
        sscanf(length + 16, "%zu", &due);
        while (got > 0 && (size_t)(request + len - end - 4) < due) {
            got = read(connection, request + len, sizeof request - 1 - len);
            len += got > 0 ? (size_t)got : 0;
        }
        memcpy(body, end + 4, due);
    }
    int size = snprintf(head, sizeof head, "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n", due);
    if (got > 0) {
        put_all(connection, head, (size_t)size);
        put_all(connection, body, due);
    }
    close(connection);
}

/* Its calls are the kernel's own, which no fault strikes. */
static void start_server(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof to;
    int listener = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&to, &size), 0);
    snprintf(shared.url, sizeof shared.url, "http://127.0.0.1:%u/a.crl", ntohs(to.sin_port));
    shared.server = fork();
    assert_true(shared.server >= 0);
    if (shared.server == 0) {
        alloc_faults_pause(true);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        signal(SIGPIPE, SIG_IGN);
        for (;;)
            answer((int)syscall(SYS_accept4, listener, NULL, NULL, 0));
    }
    close(listener);
}

/* ---- Asking ---- */

static cb_error get(const char *question, int64_t patience)
{
    cb_buf body = CB_BUF(MOST);
    const cb_fetch what = {.url = shared.url,
                           .question = cb_bytes_str(question),
                           .deadline = cb_deadline_in(patience)};
    cb_error error = cb_fetcher_get(shared.fetcher, &what, &body);
    size_t len = question[0] ? strlen(question) : LIST;
    bool whole = body.len == len;
    for (size_t i = 0; whole && i < len; i++)
        whole = body.data[i] == (uint8_t)(question[0] ? question[i] : list_at(i));
    cb_buf_free(&body);
    return !error && !whole ? WRONG : error;
}

static int64_t patience(void) { return shared.lasting ? BRIEFLY : PATIENCE; }

static cb_error get_list(void *context)
{
    (void)context;
    return get("", patience());
}

static cb_error get_answer(void *context)
{
    (void)context;
    return get("a question", patience());
}

static void closed(void *context)
{
    (void)context;
    cb_fetcher_close(&shared.fetcher);
}

static void open_fetcher(void)
{
    assert_int_equal(cb_fetcher_open(NULL, false, &shared.fetcher), CB_OK);
}

/* The keeper has begun when it has answered. */
static void opened(void *context)
{
    closed(context);
    open_fetcher();
    assert_int_equal(get_list(NULL), CB_OK);
}

static cb_error open_and_get(void *context)
{
    cb_error error = cb_fetcher_open(NULL, false, &shared.fetcher);
    if (error)
        shared.fetcher = NULL;
    return error ? error : get_list(context);
}

/* Who begins the keeper again may have ended, and is known to have: the program begins anew. */
static void is_answered(void *context, cb_error result, bool struck)
{
    (void)result;
    if (!shared.fetcher) {
        assert_true(struck);
        open_fetcher();
    }
    cb_error error = get("", PATIENCE);
    if (error) {
        assert_true(struck);
        for (int i = 0; i < 20 && error && !cb_fetcher_ended(shared.fetcher); i++) {
            usleep(100000);
            error = get("", PATIENCE);
        }
    }
    if (error) {
        assert_true(cb_fetcher_ended(shared.fetcher));
        opened(context);
    }
    closed(context);
}

/* ---- Faults that say how long they last ---- */

static void arm(unsigned nth, bool lasting)
{
    shared.lasting = lasting;
    shared.kind->arm(nth, lasting);
}

static unsigned disarm(void)
{
    shared.lasting = false;
    return shared.kind->disarm();
}

static const fault_flow flows[] = {
    {"a keeper begun", closed, open_and_get, is_answered},
    {"a list fetched", opened, get_list, is_answered},
    {"an answer fetched", opened, get_answer, is_answered},
};

static void each_flow(const fault_kind *kind)
{
    fault_kind timed = *kind;
    timed.arm = arm;
    timed.disarm = disarm;
    shared.kind = kind;
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++)
        fault_each(&timed, &flows[i], NULL, RUNS);
}

static void what_is_fetched_is_whole_or_it_failed(void **state)
{
    (void)state;
    each_flow(&alloc_faults);
}

static void broken_sockets_are_asked_over_once_more(void **state)
{
    (void)state;
    each_flow(&socket_faults);
}

static void interruptions_cost_nothing(void **state)
{
    (void)state;
    each_flow(&interrupt_faults);
}

static void pieces_are_put_together(void **state)
{
    (void)state;
    each_flow(&short_faults);
}

/* ---- No memory for waiting ---- */

static struct {
    pid_t process;
    unsigned left; /* until one fails; 0: none will */
} waits;

int __real_poll(struct pollfd *set, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *set, nfds_t count, int timeout);

/* Of this process, for what it is brought through a pipe. */
int __wrap_poll(struct pollfd *set, nfds_t count, int timeout)
{
    struct stat about;
    if (waits.left == 0 || getpid() != waits.process || fstat(set->fd, &about) != 0 ||
        !S_ISFIFO(about.st_mode) || --waits.left > 0)
        return __real_poll(set, count, timeout);
    errno = ENOMEM;
    return -1;
}

/* Reading all the same would wait for a server that says nothing. */
static void who_cannot_wait_gives_up(void **state)
{
    (void)state;
    opened(NULL);
    waits.process = getpid();
    for (unsigned nth = 1; nth <= 3; nth++) { /* the heading, what follows, its end */
        waits.left = nth;
        assert_int_equal(get_list(NULL), CB_E_MEMORY);
        assert_int_equal(waits.left, 0);
        assert_int_equal(get_list(NULL), CB_OK);
    }
    closed(NULL);
}

static int setup(void **state)
{
    (void)state;
    fault_quiet();
    start_server();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kill(shared.server, SIGKILL);
    waitpid(shared.server, NULL, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_fetched_is_whole_or_it_failed, fault_said),
        cmocka_unit_test_teardown(broken_sockets_are_asked_over_once_more, fault_said),
        cmocka_unit_test_teardown(interruptions_cost_nothing, fault_said),
        cmocka_unit_test_teardown(pieces_are_put_together, fault_said),
        cmocka_unit_test(who_cannot_wait_gives_up),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
