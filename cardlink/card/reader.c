/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/reader.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum { POWER_OFF, POWER_ON, POWER_RESET, SEND_ATR = 4, MESSAGE_MAX = 2 + UINT16_MAX, CHUNK = 512 };

static const int64_t retry_after = 200 * CB_MILLISECOND;

void cb_vcard_reader_init(cb_vcard_reader *reader, const char *place, bool vpcd)
{
    *reader = (cb_vcard_reader){.place = place, .vpcd = vpcd, .listener = -1, .fd = -1};
    cb_buf_init(&reader->in, MESSAGE_MAX + CHUNK);
}

static void hang_up(cb_vcard_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    reader->fd = -1;
    reader->retry_at = cb_deadline_in(retry_after);
    cb_buf_free(&reader->in);
    if (reader->card)
        cb_vcard_reset(reader->card);
}

static void set_up(int fd)
{
    const struct timeval patience = {.tv_sec = 1};
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof on); /* refused for Unix sockets, which do not need it */
}

static int connect_to(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    if (fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void vpcd_connect(cb_vcard_reader *reader)
{
    char host[256];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(reader->place, ':');
    reader->retry_at = cb_deadline_in(retry_after);
    if (!colon || snprintf(host, sizeof host, "%.*s", (int)(colon - reader->place),
                           reader->place) >= (int)sizeof host)
        return;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return;
    for (const struct addrinfo *next = found; next && reader->fd < 0; next = next->ai_next)
        reader->fd = connect_to(next);
    freeaddrinfo(found);
    if (reader->fd >= 0)
        set_up(reader->fd);
}

static cb_error listen_at(cb_vcard_reader *reader)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(reader->place);
    if (len == 0 || len >= sizeof address.sun_path)
        return CB_E_CONFIG;
    memcpy(address.sun_path, reader->place, len + 1);
    if (!cb_vcard_make_way(reader->place))
        return CB_E_EXISTS;
    reader->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (reader->listener < 0)
        return CB_E_IO;
    if (bind(reader->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(reader->listener, 8) != 0) {
        close(reader->listener);
        reader->listener = -1;
        return CB_E_IO;
    }
    return CB_OK;
}

cb_error cb_vcard_reader_insert(cb_vcard_reader *reader, cb_vcard *card)
{
    if (reader->card)
        return CB_E_STATE;
    cb_error error = reader->vpcd ? CB_OK : listen_at(reader);
    if (error)
        return error;
    reader->card = card;
    cb_vcard_reset(card);
    if (reader->vpcd)
        vpcd_connect(reader);
    return CB_OK;
}

void cb_vcard_reader_remove(cb_vcard_reader *reader)
{
    if (!reader->card)
        return;
    if (reader->listener >= 0) {
        unlink(reader->place);
        close(reader->listener);
    }
    reader->listener = -1;
    hang_up(reader);
    reader->card = NULL;
}

bool cb_vcard_send(int fd, cb_bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t done = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes = cb_bytes_make(bytes.data + done, bytes.len - (size_t)done);
    }
    return true;
}

bool cb_vcard_make_way(const char *path)
{
    struct stat about;
    if (lstat(path, &about) != 0)
        return errno == ENOENT;
    return S_ISSOCK(about.st_mode) && unlink(path) == 0;
}

static void send_message(cb_vcard_reader *reader, cb_bytes payload)
{
    cb_buf message = CB_BUF(MESSAGE_MAX);
    cb_buf_put_u16(&message, (uint16_t)payload.len);
    cb_buf_put(&message, payload);
    if (cb_buf_error(&message) || !cb_vcard_send(reader->fd, cb_buf_bytes(&message)))
        hang_up(reader);
    cb_buf_free(&message);
}

static void take_message(cb_vcard_reader *reader, cb_bytes payload)
{
    if (payload.len > 1) {
        cb_buf answer = CB_BUF(CB_APDU_DATA_MAX + 16);
        cb_vcard_process(reader->card, payload, &answer);
        send_message(reader, cb_buf_bytes(&answer));
        cb_buf_free(&answer);
    } else if (payload.len == 1 && payload.data[0] == SEND_ATR) {
        send_message(reader, cb_vcard_atr_of(reader->card));
    } else if (payload.len == 1 && payload.data[0] <= POWER_RESET) {
        cb_vcard_reset(reader->card);
    } else {
        hang_up(reader);
    }
}

/* Takes whole messages out of what has come. */
static void take_messages(cb_vcard_reader *reader)
{
    for (;;) {
        cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&reader->in));
        size_t len = cb_cursor_u16(&cursor);
        cb_bytes payload = cb_cursor_take(&cursor, len);
        if (!cb_cursor_ok(&cursor))
            return;
        cb_buf message = CB_BUF(MESSAGE_MAX), rest = CB_BUF(MESSAGE_MAX + CHUNK);
        cb_buf_put(&message, payload);
        cb_buf_put(&rest, cursor.rest);
        cb_buf_free(&reader->in);
        reader->in = rest;
        if (cb_buf_error(&message) || cb_buf_error(&rest))
            hang_up(reader);
        else
            take_message(reader, cb_buf_bytes(&message));
        cb_buf_free(&message);
    }
}

static void receive(cb_vcard_reader *reader)
{
    uint8_t chunk[CHUNK];
    const int on = 1;
    ssize_t got = recv(reader->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    /* The driver sends length and payload apart, and the second waits for our acknowledgement: 40
     * ms a command unless it is quick. The kernel forgets the wish, so it is repeated. */
    if (reader->vpcd)
        setsockopt(reader->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0)
        cb_buf_put(&reader->in, cb_bytes_make(chunk, (size_t)got));
    if (got <= 0 || cb_buf_error(&reader->in))
        hang_up(reader);
    else
        take_messages(reader);
}

/* Takes what somebody said last who has gone since, as does a terminal that ends after it has taken
 * the power away. */
static void hear_out(cb_vcard_reader *reader)
{
    struct pollfd at = {.fd = reader->fd};
    while (reader->fd >= 0 && poll(&at, 1, 0) > 0 && at.revents & POLLHUP)
        receive(reader);
}

/* One end at a time: whoever else connects is sent away. */
static void accept_one(cb_vcard_reader *reader)
{
    hear_out(reader);
    int fd = accept4(reader->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (reader->fd >= 0) {
        close(fd);
        return;
    }
    set_up(fd);
    reader->fd = fd;
    cb_vcard_reset(reader->card);
}

void cb_vcard_reader_wait(cb_vcard_reader *reader, struct pollfd at[2])
{
    if (reader->vpcd && reader->card && reader->fd < 0 &&
        cb_deadline_left_ms(reader->retry_at) == 0)
        vpcd_connect(reader);
    at[0] = (struct pollfd){.fd = reader->fd, .events = POLLIN};
    at[1] = (struct pollfd){.fd = reader->listener, .events = POLLIN};
}

void cb_vcard_reader_serve(cb_vcard_reader *reader, const struct pollfd at[2])
{
    if (at[0].revents && reader->fd >= 0 && reader->fd == at[0].fd)
        receive(reader);
    if (at[1].revents && reader->listener >= 0 && reader->listener == at[1].fd)
        accept_one(reader);
}
