/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"

#define FREE_PAUSE 100000 /* microseconds */

enum { BACKLOG = 128, CONNECT_SECONDS = 1 };

void cb_msg_init(cb_msg *msg, uint16_t type)
{
    *msg = (cb_msg){.type = type, .body = CB_BUF(CB_MSG_BODY_MAX), .fd = -1};
}

void cb_msg_free(cb_msg *msg)
{
    if (!msg)
        return;
    if (msg->fd >= 0)
        close(msg->fd);
    cb_buf_free(&msg->body);
    cb_msg_init(msg, 0);
}

cb_error cb_msg_pair(int out[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out) == 0 ? CB_OK : CB_E_IO;
}

static cb_error address_of(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof out->sun_path)
        return CB_E_CONFIG;
    memcpy(out->sun_path, path, len);
    return CB_OK;
}

/* *full: somebody listens, and nobody accepts. */
static cb_error connect_to(const char *path, int *out, bool *full)
{
    struct sockaddr_un address;
    cb_error error = address_of(path, &address);
    *full = false;
    if (error)
        return error;
    int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (s < 0)
        return CB_E_IO;
    /* A full backlog makes connect wait; without a limit for ever, when nobody accepts. Sends are not affected: they
     * never wait in the kernel. */
    struct timeval limit = {.tv_sec = CONNECT_SECONDS};
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int failed;
    do
        failed = connect(s, (struct sockaddr *)&address, sizeof address);
    while (failed && errno == EINTR);
    if (failed) {
        *full = errno == EAGAIN;
        error = errno == ECONNREFUSED || errno == ENOENT || errno == EAGAIN ? CB_E_CLOSED
                : errno == EACCES                                           ? CB_E_DENIED
                                                                            : CB_E_IO;
        close(s);
        return error;
    }
    *out = s;
    return CB_OK;
}

cb_error cb_msg_connect(const char *path, int *out)
{
    bool full;
    return connect_to(path, out, &full);
}

/* Not flock: whoever inherits that keeps it when its parent was killed, and could give it up for
 * the parent that was not. */
static cb_error lock_whole(int fd, int64_t free_by)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(fd, F_SETLK, &whole) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return CB_E_IO;
        if (cb_deadline_left_ms(free_by) == 0)
            return CB_E_RUNNING;
        usleep(FREE_PAUSE);
    }
    return CB_OK;
}

cb_error cb_msg_hold(const char *path, int64_t free_by, int *out)
{
    static const char ending[] = "-lock";
    struct sockaddr_un address;
    char name[sizeof address.sun_path + sizeof ending];
    cb_error error = address_of(path, &address);
    if (error)
        return error;
    snprintf(name, sizeof name, "%s%s", path, ending);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return CB_E_IO;
    error = lock_whole(fd, free_by);
    if (error) {
        int reason = errno;
        close(fd);
        errno = reason;
        return error;
    }
    *out = fd;
    return CB_OK;
}

/* Binds under a private umask, so that nobody can connect before the mode is set. */
static bool bind_privately(int s, const struct sockaddr_un *address, unsigned mode)
{
    mode_t before = umask(0177);
    bool bound = bind(s, (const struct sockaddr *)address, sizeof *address) == 0;
    umask(before);
    return bound && chmod(address->sun_path, (mode_t)mode) == 0;
}

cb_error cb_msg_listen(const char *path, unsigned mode, int *out)
{
    struct sockaddr_un address;
    cb_error error = address_of(path, &address);
    if (error)
        return error;
    int probe = -1;
    bool full;
    error = connect_to(path, &probe, &full);
    if (error == CB_E_IO || error == CB_E_DENIED)
        return error; /* whether somebody listens is not known */
    if (!error || full) {
        if (probe >= 0)
            close(probe);
        return CB_E_RUNNING;
    }
    unlink(path);
    int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (s < 0)
        return CB_E_IO;
    if (!bind_privately(s, &address, mode) || listen(s, BACKLOG) != 0) {
        close(s);
        return CB_E_IO;
    }
    *out = s;
    return CB_OK;
}

cb_error cb_msg_listen_when_free(const char *path, unsigned mode, int64_t free_by, int *out)
{
    cb_error error = cb_msg_listen(path, mode, out);
    while (error == CB_E_RUNNING && cb_deadline_left_ms(free_by) > 0) {
        usleep(FREE_PAUSE); /* each look waits in the backlog until somebody accepts */
        error = cb_msg_listen(path, mode, out);
    }
    return error;
}

static cb_error wait_for(int socket, short events, int64_t deadline)
{
    struct pollfd p = {.fd = socket, .events = events};
    int ready;
    do {
        ready = poll(&p, 1, cb_deadline_left_ms(deadline));
    } while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return CB_E_IO;
    return ready == 0 ? CB_E_TIMEOUT : CB_OK;
}

static cb_error errno_as_error(void)
{
    switch (errno) {
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
        return CB_E_CLOSED;
    case EMSGSIZE:
        return CB_E_TOO_LARGE;
    default:
        return CB_E_IO;
    }
}

static uint8_t *put_number(uint8_t *at, uint32_t value, unsigned size)
{
    for (unsigned i = size; i-- > 0; value >>= 8)
        at[i] = (uint8_t)value;
    return at + size;
}

/* Without an allocation: a header has no way to fail. */
static void put_header(const cb_msg *msg, uint8_t header[CB_MSG_HEADER])
{
    const cb_id *request = cb_log_request();
    uint8_t *at = put_number(header, msg->type, 2);
    at = put_number(at, (uint32_t)msg->error, 2);
    at = put_number(at, msg->id, 4);
    at = put_number(at, (uint32_t)CB_MSG_VERSION << 24, 4);
    memcpy(at, request ? request->bytes : msg->request.bytes, CB_ID_SIZE);
}

static void attach_descriptor(struct msghdr *packet, char *control, size_t size, int fd)
{
    packet->msg_control = control;
    packet->msg_controllen = size;
    struct cmsghdr *c = CMSG_FIRSTHDR(packet);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
}

cb_error cb_msg_send(int socket, const cb_msg *msg, int64_t deadline)
{
    if (cb_buf_error(&msg->body))
        return cb_buf_error(&msg->body);
    uint8_t header[CB_MSG_HEADER];
    put_header(msg, header);
    struct iovec parts[2] = {{header, sizeof header}, {msg->body.data, msg->body.len}};
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    if (msg->fd >= 0)
        attach_descriptor(&packet, control, sizeof control, msg->fd);
    for (;;) {
        if (sendmsg(socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return CB_OK;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return errno_as_error();
        cb_error error = wait_for(socket, POLLOUT, deadline);
        if (error)
            return error;
    }
}

/* The space for one descriptor holds two, rounded up as it is: so all that came are taken, the first is kept, and the
 * others are closed. False when there was more than one. */
static bool take_descriptor(struct msghdr *packet, int *out)
{
    unsigned count = 0;
    *out = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(packet); c; c = CMSG_NXTHDR(packet, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int fd;
            memcpy(&fd, (const char *)c + at, sizeof fd);
            if (count++ == 0)
                *out = fd;
            else
                close(fd);
        }
    }
    return count <= 1;
}

static cb_error take_header(cb_msg *msg, cb_bytes header)
{
    cb_cursor cursor = cb_cursor_over(header);
    msg->type = cb_cursor_u16(&cursor);
    msg->error = cb_error_from_wire(cb_cursor_u16(&cursor));
    msg->id = cb_cursor_u32(&cursor);
    uint32_t version = cb_cursor_u32(&cursor);
    cb_cursor_copy(&cursor, msg->request.bytes, CB_ID_SIZE);
    bool good = cb_cursor_done(&cursor) && version == (uint32_t)CB_MSG_VERSION << 24 && msg->type;
    return good ? CB_OK : CB_E_PROTOCOL;
}

/* Waits for a packet until the deadline; its length. A socket has one reader at a time, so that it is the one which is
 * received next. */
static cb_error next_length(int socket, size_t *len, int64_t deadline)
{
    for (;;) {
        struct msghdr nothing = {0};
        ssize_t got = recvmsg(socket, &nothing, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
        if (got >= 0) {
            *len = (size_t)got;
            return CB_OK;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return errno_as_error();
        cb_error error = wait_for(socket, POLLIN, deadline);
        if (error)
            return error;
    }
}

static ssize_t receive_packet(int socket, struct msghdr *packet)
{
    ssize_t got;
    do {
        got = recvmsg(socket, packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* Room is made for what comes and no more: nearly all packets are small, and what was made is wiped afterwards. */
cb_error cb_msg_receive(int socket, cb_msg *msg, int64_t deadline)
{
    size_t len = 0;
    cb_msg_free(msg);
    cb_error error = next_length(socket, &len, deadline);
    if (error)
        return error;
    size_t room = len > CB_MSG_HEADER ? len - CB_MSG_HEADER : 0;
    uint8_t *body = cb_buf_extend(&msg->body, room < CB_MSG_BODY_MAX ? room : CB_MSG_BODY_MAX);
    if (!body) {
        /* Or who waits for the next would be woken by this one for ever. */
        struct msghdr nothing = {0};
        recvmsg(socket, &nothing, MSG_DONTWAIT);
        return CB_E_MEMORY;
    }
    uint8_t header[CB_MSG_HEADER];
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec parts[2] = {{header, sizeof header}, {body, msg->body.len}};
    struct msghdr packet = {.msg_iov = parts,
                            .msg_iovlen = 2,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    ssize_t got = receive_packet(socket, &packet);
    msg->body.len = got > CB_MSG_HEADER ? (size_t)got - CB_MSG_HEADER : 0;
    if (got < 0)
        return errno_as_error();
    bool at_most_one = take_descriptor(&packet, &msg->fd);
    if (got == 0)
        return CB_E_CLOSED;
    if (got < CB_MSG_HEADER || !at_most_one || packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return CB_E_PROTOCOL;
    return take_header(msg, cb_bytes_make(header, sizeof header));
}

cb_error cb_msg_call(int socket, cb_msg *question, cb_msg *answer, int64_t deadline)
{
    static atomic_uint next_id;
    uint32_t id = atomic_fetch_add(&next_id, 1);
    uint16_t type = question->type;
    question->id = id;
    cb_error error = cb_msg_send(socket, question, deadline);
    if (error)
        return error;
    if (question == answer)
        cb_msg_free(question);
    error = cb_msg_receive(socket, answer, deadline);
    if (error)
        return error;
    if (answer->id != id || answer->type != type)
        return CB_E_PROTOCOL;
    return answer->error;
}

cb_error cb_msg_peer(int socket, int *pid, unsigned *uid, unsigned *gid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return CB_E_IO;
    *pid = (int)peer.pid;
    *uid = peer.uid;
    *gid = peer.gid;
    return CB_OK;
}
