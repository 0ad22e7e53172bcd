/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/msg.h"
#include "connectors/host/wait.h"

enum { REGISTER = 1, CONNECT = 2, CHANNELS_MAX = 4096, JOBS_MAX = 128, STACK = 256 * 1024 };
#define LONGEST (60 * CB_SECOND)
#define SEND_TIME (CB_SECOND)

typedef struct registered {
    int socket;
    cb_origin origins[CB_ORIGINS_MAX];
    size_t count;
} registered;

typedef struct job {
    int socket; /* a duplicate of the channel's */
    cb_origin origin;
    uint32_t id;
    cb_id request;
    int64_t deadline;
} job;

static registered *channels;
static struct pollfd *polled;
static size_t channel_count;
static atomic_uint jobs;

static bool finish_connecting(int fd, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int fault = 0;
    socklen_t len = sizeof fault;
    int ready;
    do {
        ready = poll(&p, 1, cb_deadline_left_ms(deadline));
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        errno = ETIMEDOUT;
    if (ready <= 0)
        return false;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len);
    errno = fault;
    return fault == 0;
}

static int connect_one(const struct addrinfo *address, int64_t deadline)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return -1;
    bool done = connect(fd, address->ai_addr, address->ai_addrlen) == 0;
    if (!done && errno == EINPROGRESS)
        done = finish_connecting(fd, deadline);
    if (done)
        return fd;
    int fault = errno;
    close(fd);
    errno = fault;
    return -1;
}

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
    }
    int fault = errno;
    freeaddrinfo(addresses);
    *out = fd;
    return fd >= 0 ? CB_OK : fault == ETIMEDOUT ? CB_E_SERVICE_SLOW : CB_E_SERVICE_DOWN;
}

static void answer(int socket, uint32_t id, cb_error error, int fd)
{
    cb_msg msg;
    cb_msg_init(&msg, CONNECT);
    msg.id = id;
    msg.error = error;
    msg.fd = fd;
    /* Nobody is to wait for an answer that does not come. */
    if (cb_msg_send(socket, &msg, cb_deadline_in(SEND_TIME)) != CB_OK)
        shutdown(socket, SHUT_RDWR);
    cb_msg_free(&msg);
}

static void *run_job(void *argument)
{
    job *work = argument;
    int fd = -1;
    cb_log_set_request(cb_id_is_zero(&work->request) ? NULL : &work->request);
    cb_error error = connect_to(&work->origin, work->deadline, &fd);
    answer(work->socket, work->id, error, fd);
    close(work->socket);
    free(work);
    atomic_fetch_sub(&jobs, 1);
    return NULL;
}

static bool start_job(job *work)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    bool started = pthread_create(&thread, &attributes, run_job, work) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

/* One question from a sandboxed process. */
static cb_error take_question(const registered *from, cb_msg *msg)
{
    cb_cursor cursor = cb_msg_cursor(msg);
    uint8_t index = cb_cursor_u8(&cursor);
    int64_t deadline = (int64_t)cb_cursor_u64(&cursor);
    int64_t latest = cb_deadline_in(LONGEST);
    if (msg->type != CONNECT || !cb_cursor_done(&cursor) || index >= from->count)
        return CB_E_PROTOCOL;
    if (atomic_load(&jobs) >= JOBS_MAX)
        return CB_E_BUSY;
    job *work = calloc(1, sizeof *work);
    if (!work)
        return CB_E_MEMORY;
    *work = (job){.socket = fcntl(from->socket, F_DUPFD_CLOEXEC, 3),
                  .origin = from->origins[index],
                  .id = msg->id,
                  .request = msg->request,
                  .deadline = deadline < latest ? deadline : latest};
    atomic_fetch_add(&jobs, 1);
    if (work->socket >= 0 && start_job(work))
        return CB_OK;
    atomic_fetch_sub(&jobs, 1);
    if (work->socket >= 0)
        close(work->socket);
    free(work);
    return CB_E_BUSY;
}

static void forget(size_t i)
{
    close(channels[i].socket);
    channels[i] = channels[--channel_count];
}

static void serve(size_t i)
{
    cb_msg msg;
    cb_msg_init(&msg, 0);
    cb_error error = cb_msg_receive(channels[i].socket, &msg, 0);
    if (!error) {
        uint32_t id = msg.id;
        error = take_question(&channels[i], &msg);
        if (error)
            answer(channels[i].socket, id, error, -1);
        error = error == CB_E_PROTOCOL ? error : CB_OK;
    }
    if (error && error != CB_E_TIMEOUT)
        forget(i);
    cb_msg_free(&msg);
}

static cb_error read_registration(cb_msg *msg, registered *out)
{
    cb_cursor cursor = cb_msg_cursor(msg);
    *out = (registered){.socket = msg->fd, .count = cb_cursor_u8(&cursor)};
    if (msg->type != REGISTER || msg->fd < 0 || out->count > CB_ORIGINS_MAX)
        return CB_E_PROTOCOL;
    for (size_t i = 0; i < out->count; i++) {
        cb_bytes host = cb_cursor_var(&cursor, CB_HOST_MAX);
        if (host.len > 0)
            memcpy(out->origins[i].host, host.data, host.len);
        out->origins[i].port = cb_cursor_u16(&cursor);
    }
    return cb_cursor_done(&cursor) ? CB_OK : CB_E_PROTOCOL;
}

static void take_registration(int registrations)
{
    cb_msg msg;
    cb_msg_init(&msg, 0);
    cb_error error = cb_msg_receive(registrations, &msg, 0);
    if (!error && channel_count < CHANNELS_MAX &&
        read_registration(&msg, &channels[channel_count]) == CB_OK) {
        channel_count++;
        msg.fd = -1;
    }
    cb_msg_free(&msg);
}

int cb_opener_main(int registrations)
{
    struct rlimit files = {2 * CHANNELS_MAX, 2 * CHANNELS_MAX};
    channels = calloc(CHANNELS_MAX, sizeof *channels);
    polled = calloc(CHANNELS_MAX + 1, sizeof *polled);
    if (!channels || !polled)
        return 1;
    setrlimit(RLIMIT_NOFILE, &files);
    for (;;) {
        size_t count = channel_count;
        polled[0] = (struct pollfd){.fd = registrations, .events = POLLIN};
        for (size_t i = 0; i < count; i++)
            polled[i + 1] = (struct pollfd){.fd = channels[i].socket, .events = POLLIN};
        if (!cb_wait(polled, count + 1, -1))
            return 1;
        /* From the end, so that forgetting one moves none that is still to be looked at. */
        for (size_t i = count; i-- > 0;) {
            if (polled[i + 1].revents)
                serve(i);
        }
        if (polled[0].revents)
            take_registration(registrations);
        if (polled[0].revents & POLLHUP)
            return 0; /* no more will come */
    }
}

cb_error cb_opener_register(int registrations, const cb_origin *origins, size_t count, int *channel)
{
    int pair[2];
    cb_msg msg;
    cb_error error = cb_msg_pair(pair);
    if (error)
        return error;
    cb_msg_init(&msg, REGISTER);
    cb_buf_put_u8(&msg.body, (uint8_t)count);
    for (size_t i = 0; i < count; i++) {
        cb_buf_put_var(&msg.body, cb_bytes_str(origins[i].host));
        cb_buf_put_u16(&msg.body, origins[i].port);
    }
    msg.fd = pair[1];
    error = cb_msg_send(registrations, &msg, cb_deadline_in(SEND_TIME));
    cb_msg_free(&msg);
    if (error)
        close(pair[0]);
    else
        *channel = pair[0];
    return error;
}

cb_error cb_opener_connect(int channel, unsigned index, int64_t deadline, int *out)
{
    static uint32_t asked;
    uint32_t id = ++asked;
    cb_msg msg;
    cb_msg_init(&msg, CONNECT);
    msg.id = id;
    cb_buf_put_u8(&msg.body, (uint8_t)index);
    cb_buf_put_u64(&msg.body, (uint64_t)deadline);
    cb_error error = cb_msg_send(channel, &msg, deadline);
    /* Looking up a name has no limit of its own, so an answer may come after it was given up. */
    do {
        if (!error)
            error = cb_msg_receive(channel, &msg, deadline);
    } while (!error && msg.id != id);
    if (!error)
        error = msg.type == CONNECT ? msg.error : CB_E_PROTOCOL;
    if (!error && msg.fd < 0)
        error = CB_E_CONNECTOR_DOWN;
    if (!error) {
        *out = msg.fd;
        msg.fd = -1;
    }
    cb_msg_free(&msg);
    if (error == CB_E_TIMEOUT)
        return CB_E_SERVICE_SLOW;
    return error == CB_E_CLOSED || error == CB_E_PROTOCOL ? CB_E_CONNECTOR_DOWN : error;
}
