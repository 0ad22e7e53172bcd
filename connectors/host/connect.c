/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "connectors/host/known.h"

enum { STACK = 256 * 1024 };
#define SEND_TIME (CB_SECOND)
/* An address that was good a moment ago and is silent now: time enough is left for the others. */
#define PATIENCE (CB_SECOND)

typedef struct quick {
    cb_connect *job;
    int fd;
    int64_t until;
} quick;

static quick quicks[CB_CONNECTS_MAX];
static size_t quick_count;
static atomic_uint jobs;

void cb_connect_answer(int socket, uint32_t id, cb_error error, int fd)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_CONNECT);
    msg.id = id;
    msg.error = error;
    msg.fd = fd;
    /* Nobody is to wait for an answer that does not come. */
    if (cb_msg_send(socket, &msg, cb_deadline_in(SEND_TIME)) != CB_OK)
        shutdown(socket, SHUT_RDWR);
    cb_msg_free(&msg);
}

static void end_job(cb_connect *job)
{
    close(job->socket);
    free(job);
    atomic_fetch_sub(&jobs, 1);
}

/* ---- one connection ---- */

/* errno: EINPROGRESS while it is on its way. */
static int start_connecting(const struct sockaddr *at, socklen_t size)
{
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    errno = fd < 0 ? errno : 0;
    if (fd < 0 || connect(fd, at, size) == 0 || errno == EINPROGRESS)
        return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

static int fault_of(int fd)
{
    int fault = 0;
    socklen_t len = sizeof fault;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0 ? fault : errno;
}

static bool finish_connecting(int fd, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int ready;
    do {
        ready = poll(&p, 1, cb_deadline_left_ms(deadline));
    } while (ready < 0 && errno == EINTR);
    if (ready >= 0)
        errno = ready > 0 ? fault_of(fd) : ETIMEDOUT;
    return ready > 0 && errno == 0;
}

static int connect_one(const struct addrinfo *address, int64_t deadline)
{
    int fd = start_connecting(address->ai_addr, address->ai_addrlen);
    if (fd < 0 || errno == 0 || finish_connecting(fd, deadline))
        return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

/* ---- by name, in a thread ---- */

static cb_error connect_to(const cb_origin *origin, int64_t deadline, int *out)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    snprintf(port, sizeof port, "%u", origin->port);
    int fd = -1;
    size_t left = 0;
    if (getaddrinfo(origin->host, port, &hints, &addresses) != 0)
        return CB_E_SERVICE_DOWN;
    for (const struct addrinfo *a = addresses; a; a = a->ai_next)
        left++;
    errno = 0;
    for (const struct addrinfo *a = addresses; a && fd < 0; a = a->ai_next, left--) {
        /* Each address gets its share of the time, so that one that swallows packets leaves some
         * for the next. */
        int64_t share = (deadline - cb_clock_monotonic_us()) / (int64_t)left;
        if (share <= 0)
            errno = ETIMEDOUT;
        else
            fd = connect_one(a, cb_deadline_in(share));
        if (fd >= 0)
            cb_known_keep(origin, a->ai_addr, a->ai_addrlen);
    }
    int fault = errno;
    freeaddrinfo(addresses);
    *out = fd;
    return fd >= 0 ? CB_OK : fault == ETIMEDOUT ? CB_E_SERVICE_SLOW : CB_E_SERVICE_DOWN;
}

static void *run_job(void *argument)
{
    cb_connect *job = argument;
    int fd = -1;
    cb_log_set_request(cb_id_is_zero(&job->request) ? NULL : &job->request);
    cb_error error = connect_to(&job->origin, job->deadline, &fd);
    cb_connect_answer(job->socket, job->id, error, fd);
    end_job(job);
    return NULL;
}

static bool start_thread(cb_connect *job)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    bool started = pthread_create(&thread, &attributes, run_job, job) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

/* ---- where it was a moment ago, in the loop ---- */

static bool start_quick(cb_connect *job)
{
    cb_address address;
    if (quick_count == CB_CONNECTS_MAX || !cb_known_find(&job->origin, &address))
        return false;
    int64_t patience = cb_deadline_in(PATIENCE);
    int64_t half = cb_clock_monotonic_us() / 2 + job->deadline / 2;
    int fd = start_connecting((const struct sockaddr *)&address.at, address.size);
    if (fd < 0) {
        cb_known_forget(&job->origin);
        return false;
    }
    quicks[quick_count++] = (quick){job, fd, patience < half ? patience : half};
    return true;
}

size_t cb_connect_polled(struct pollfd *out, int *wait_ms)
{
    for (size_t i = 0; i < quick_count; i++) {
        int left = cb_deadline_left_ms(quicks[i].until);
        out[i] = (struct pollfd){.fd = quicks[i].fd, .events = POLLOUT};
        if (*wait_ms < 0 || left < *wait_ms)
            *wait_ms = left;
    }
    return quick_count;
}

static void end_quick(size_t i, bool connected)
{
    quick it = quicks[i];
    quicks[i] = quicks[--quick_count];
    if (connected) {
        cb_connect_answer(it.job->socket, it.job->id, CB_OK, it.fd);
        end_job(it.job);
        return;
    }
    close(it.fd);
    cb_known_forget(&it.job->origin);
    if (start_thread(it.job))
        return;
    cb_connect_answer(it.job->socket, it.job->id, CB_E_BUSY, -1);
    end_job(it.job);
}

void cb_connect_step(const struct pollfd *polled, size_t count)
{
    /* From the end, so that ending one moves none that is still to be looked at. */
    for (size_t i = count; i-- > 0;) {
        if (polled[i].revents)
            end_quick(i, fault_of(quicks[i].fd) == 0);
        else if (cb_deadline_left_ms(quicks[i].until) <= 0)
            end_quick(i, false);
    }
}

/* ---- jobs ---- */

cb_error cb_connect_begin(const cb_connect *what)
{
    if (atomic_load(&jobs) >= CB_CONNECTS_MAX)
        return CB_E_BUSY;
    cb_connect *job = calloc(1, sizeof *job);
    if (!job)
        return CB_E_MEMORY;
    *job = *what;
    job->socket = fcntl(what->socket, F_DUPFD_CLOEXEC, 3);
    atomic_fetch_add(&jobs, 1);
    if (job->socket >= 0 && (start_quick(job) || start_thread(job)))
        return CB_OK;
    if (job->socket < 0) {
        free(job);
        atomic_fetch_sub(&jobs, 1);
    } else {
        end_job(job);
    }
    return CB_E_BUSY;
}
