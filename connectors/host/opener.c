/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/opener.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "connectors/host/connect.h"
#include "connectors/host/wait.h"

enum { REGISTER = 1, CHANNELS_MAX = 4096 };
#define LONGEST (60 * CB_SECOND)
#define SEND_TIME (CB_SECOND)

typedef struct registered {
    int socket;
    cb_origin origins[CB_ORIGINS_MAX];
    size_t count;
} registered;

static registered *channels;
static struct pollfd *polled;
static size_t channel_count;

/* One question from a sandboxed process. */
static cb_error take_question(const registered *from, cb_msg *msg)
{
    cb_cursor cursor = cb_msg_cursor(msg);
    uint8_t index = cb_cursor_u8(&cursor);
    int64_t deadline = (int64_t)cb_cursor_u64(&cursor);
    int64_t latest = cb_deadline_in(LONGEST);
    if (msg->type != CB_CONNECT || !cb_cursor_done(&cursor) || index >= from->count)
        return CB_E_PROTOCOL;
    cb_connect what = {.socket = from->socket,
                       .origin = from->origins[index],
                       .id = msg->id,
                       .request = msg->request,
                       .deadline = deadline < latest ? deadline : latest};
    return cb_connect_begin(&what);
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
            cb_connect_answer(channels[i].socket, id, error, -1);
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
    polled = calloc(CHANNELS_MAX + 1 + CB_CONNECTS_MAX, sizeof *polled);
    if (!channels || !polled)
        return 1;
    setrlimit(RLIMIT_NOFILE, &files);
    for (;;) {
        size_t count = channel_count;
        polled[0] = (struct pollfd){.fd = registrations, .events = POLLIN};
        for (size_t i = 0; i < count; i++)
            polled[i + 1] = (struct pollfd){.fd = channels[i].socket, .events = POLLIN};
        int wait_ms = -1;
        size_t connecting = cb_connect_polled(&polled[count + 1], &wait_ms);
        if (!cb_wait(polled, count + 1 + connecting, wait_ms))
            return 1;
        cb_connect_step(&polled[count + 1], connecting);
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
    cb_msg_init(&msg, CB_CONNECT);
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
        error = msg.type == CB_CONNECT ? msg.error : CB_E_PROTOCOL;
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
