/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/client.h"

#include <poll.h>
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "hsm/client_pool.h"

const int64_t cb_hsm_call_time = 10 * CB_SECOND, cb_hsm_long_time = 60 * CB_SECOND;

/* How long a new connection may take to its first answer; a worker that starts anew takes less. */
#define HELLO_TIME (2 * CB_SECOND)

cb_error cb_hsm_open(const char *run, cb_hsm **out)
{
    cb_hsm *hsm = calloc(1, sizeof *hsm);
    *out = NULL;
    if (!hsm)
        return CB_E_MEMORY;
    hsm->run = strdup(run);
    if (!hsm->run || pthread_mutex_init(&hsm->lock, NULL) != 0) {
        free(hsm->run);
        free(hsm);
        return CB_E_MEMORY;
    }
    *out = hsm;
    return CB_OK;
}

void cb_hsm_close(cb_hsm **hsm)
{
    cb_hsm *old = *hsm;
    *hsm = NULL;
    if (!old)
        return;
    for (unsigned i = 0; i < CB_POOL_LANES; i++) {
        while (old->lane[i].idle_count > 0)
            close(old->lane[i].idle[--old->lane[i].idle_count]);
    }
    pthread_mutex_destroy(&old->lock);
    free(old->run);
    free(old);
}

/* The path of a lane's socket; false if it is too long. */
static bool path_of(const cb_hsm *hsm, unsigned lane, char out[256])
{
    int len;
    if (lane < CB_HSM_WORKERS_MAX)
        len = snprintf(out, 256, "%s/use-%u.sock", hsm->run, lane);
    else
        len = snprintf(out, 256, "%s/%s.sock", hsm->run, lane == CB_LANE_OF_LOG ? "log" : "manage");
    return len > 0 && len < 256;
}

/* A worker that ended, or closed this connection, left it readable. */
static bool still_quiet(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

static int take_idle(cb_hsm *hsm, unsigned lane)
{
    cb_pool_lane *pool = &hsm->lane[lane];
    int fd = -1;
    pthread_mutex_lock(&hsm->lock);
    pool->busy++;
    while (fd < 0 && pool->idle_count > 0) {
        fd = pool->idle[--pool->idle_count];
        if (!still_quiet(fd)) {
            close(fd);
            fd = -1;
        }
    }
    pthread_mutex_unlock(&hsm->lock);
    return fd;
}

static void give_back(cb_hsm *hsm, unsigned lane, int fd, bool in_step)
{
    cb_pool_lane *pool = &hsm->lane[lane];
    pthread_mutex_lock(&hsm->lock);
    pool->busy--;
    if (fd >= 0 && in_step && pool->idle_count < CB_POOL_IDLE_MAX) {
        pool->idle[pool->idle_count++] = fd;
        fd = -1;
    }
    pthread_mutex_unlock(&hsm->lock);
    if (fd >= 0)
        close(fd);
}

/* What the caller is told of a failed exchange. */
static cb_error as_down(cb_error error)
{
    return error == CB_E_CLOSED || error == CB_E_IO ? CB_E_HSM_DOWN : error;
}

/* Who asks for signatures of heads is told whose memory was wanting: what the log lane answers of
 * its own is not his. */
static cb_error whose(unsigned lane, const cb_msg *answer, cb_error error)
{
    bool its_own = error == CB_E_MEMORY && answer->error == CB_E_MEMORY;
    return its_own && lane == CB_LANE_OF_LOG ? CB_E_HSM_DOWN : as_down(error);
}

static bool in_step_after(cb_error error)
{
    switch (error) {
    case CB_E_CLOSED:
    case CB_E_IO:
    case CB_E_TIMEOUT:
    case CB_E_PROTOCOL:
    case CB_E_MEMORY:
    case CB_E_TOO_LARGE:
    case CB_E_HSM_ILLEGAL:
        return false;
    default:
        return true;
    }
}

/* The manage lane may be making an RSA key for somebody else. */
static int64_t hello_time(unsigned lane)
{
    return lane == CB_LANE_OF_MANAGE ? cb_hsm_long_time : HELLO_TIME;
}

static cb_error connect_to(cb_hsm *hsm, unsigned lane, int *out)
{
    char path[256];
    cb_msg hello;
    if (!path_of(hsm, lane, path))
        return CB_E_CONFIG;
    cb_error error = cb_msg_connect(path, out);
    if (error)
        return as_down(error);
    cb_msg_init(&hello, CB_HSM_HELLO);
    error =
        whose(lane, &hello, cb_msg_call(*out, &hello, &hello, cb_deadline_in(hello_time(lane))));
    cb_msg_free(&hello);
    if (!error)
        return CB_OK;
    close(*out);
    *out = -1;
    return error == CB_E_TIMEOUT ? CB_E_HSM_DOWN : error;
}

cb_error cb_hsm_call(cb_hsm *hsm, unsigned lane, cb_msg *msg, int64_t time)
{
    cb_error error = CB_OK;
    int fd = take_idle(hsm, lane);
    if (fd < 0)
        error = connect_to(hsm, lane, &fd);
    if (!error)
        error = cb_msg_call(fd, msg, msg, cb_deadline_in(time));
    give_back(hsm, lane, fd, in_step_after(error));
    return whose(lane, msg, error);
}

unsigned cb_hsm_lane_of(const cb_id *tap)
{
    return tap->bytes[0] < CB_HSM_WORKERS_MAX ? tap->bytes[0] : CB_HSM_WORKERS_MAX - 1;
}

unsigned cb_hsm_workers(cb_hsm *hsm, bool again)
{
    char path[256];
    pthread_mutex_lock(&hsm->lock);
    unsigned count = again ? 0 : hsm->workers;
    if (count == 0) {
        while (count < CB_HSM_WORKERS_MAX && path_of(hsm, count, path) && access(path, F_OK) == 0)
            count++;
        hsm->workers = count;
    }
    pthread_mutex_unlock(&hsm->lock);
    return count;
}

int cb_hsm_least_busy(cb_hsm *hsm, uint64_t tried)
{
    int best = -1;
    unsigned workers = cb_hsm_workers(hsm, false);
    pthread_mutex_lock(&hsm->lock);
    hsm->turn++;
    for (unsigned i = 0; i < workers; i++) {
        unsigned at = (hsm->turn + i) % workers;
        if (tried >> at & 1)
            continue;
        if (best < 0 || hsm->lane[at].busy < hsm->lane[best].busy)
            best = (int)at;
    }
    pthread_mutex_unlock(&hsm->lock);
    return best;
}

/* Whether a lane answers and is ready. */
static cb_error ask_lane(cb_hsm *hsm, unsigned lane)
{
    cb_msg msg;
    cb_msg_init(&msg, CB_HSM_HELLO);
    cb_error error = cb_hsm_call(hsm, lane, &msg, HELLO_TIME);
    if (!error) {
        cb_cursor in = cb_msg_cursor(&msg);
        cb_cursor_u32(&in);
        bool ready = cb_cursor_u8(&in) == 1;
        error = cb_cursor_done(&in) && ready ? CB_OK : CB_E_HSM_DOWN;
    }
    cb_msg_free(&msg);
    return error;
}

cb_error cb_hsm_ping(cb_hsm *hsm)
{
    cb_error error = CB_E_HSM_DOWN;
    unsigned workers = cb_hsm_workers(hsm, true);
    for (unsigned i = 0; i < workers && error; i++)
        error = ask_lane(hsm, i);
    if (!error)
        error = ask_lane(hsm, CB_LANE_OF_LOG);
    return error ? CB_E_HSM_DOWN : CB_OK;
}
