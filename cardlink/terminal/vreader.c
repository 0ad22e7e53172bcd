/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A reader without PC/SC: the Unix socket on which a virtual card (cardlink-vcard) listens. One
 * reader, named by the socket's path; while the socket can be connected to, a card lies on it.
 * Messages are those of the virtual reader's driver (vsmartcard-vpcd): a 16-bit length and the
 * payload; towards the card one byte 00 (off), 01 (on), 02 (reset), none of which is answered, 04
 * (send the ATR), or a command of more bytes.
 */
#include "cardlink/terminal/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "cardlink/script.h"

enum { POLL_MS = 50, PATIENCE_S = 30, CARD_ON = 1, CARD_ATR = 4 };

typedef struct vreader {
    struct sockaddr_un address;
    int fd; /* of the card that is taken; -1 */
    bool present;
    struct stat socket; /* of the card that is present */
    uint32_t changes;
    uint8_t atr[CB_ATR_MAX];
    size_t atr_len;
} vreader;

static cb_error vreader_open(const char *place, void **state)
{
    vreader *own = calloc(1, sizeof *own);
    size_t len = strlen(place);
    if (!own)
        return CB_E_MEMORY;
    if (len >= sizeof own->address.sun_path || len > CB_READER_NAME_MAX) {
        free(own);
        return CB_E_CONFIG;
    }
    own->address.sun_family = AF_UNIX;
    memcpy(own->address.sun_path, place, len + 1);
    own->fd = -1;
    *state = own;
    return CB_OK;
}

static void drop(vreader *own)
{
    if (own->fd >= 0)
        close(own->fd);
    own->fd = -1;
}

static void vreader_close(void *state)
{
    drop(state);
    free(state);
}

static bool read_all(int fd, uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t got = recv(fd, out, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        out += got;
        len -= (size_t)got;
    }
    return true;
}

static bool send_all(int fd, cb_bytes bytes)
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

static bool send_message(int fd, cb_bytes payload)
{
    cb_buf message = CB_BUF(2 + CB_COMMAND_MAX);
    cb_buf_put_u16(&message, (uint16_t)payload.len);
    cb_buf_put(&message, payload);
    bool sent = cb_buf_error(&message) == CB_OK && send_all(fd, cb_buf_bytes(&message));
    cb_buf_free(&message);
    return sent;
}

static bool send_control(int fd, uint8_t control)
{
    return send_message(fd, cb_bytes_make(&control, 1));
}

/* CB_E_CARD_REMOVED when the card's process ended; CB_E_TOO_LARGE leaves the connection useless. */
static cb_error receive_message(int fd, cb_buf *out)
{
    uint8_t head[2];
    if (!read_all(fd, head, sizeof head))
        return CB_E_CARD_REMOVED;
    size_t len = (size_t)head[0] << 8 | head[1];
    uint8_t *at = cb_buf_extend(out, len);
    if (!at)
        return cb_buf_error(out);
    return read_all(fd, at, len) ? CB_OK : CB_E_CARD_REMOVED;
}

/* A connection to the card, with power; -1: there is none. */
static int attach(const vreader *own)
{
    static const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int rc;
    do
        rc = connect(fd, (const struct sockaddr *)&own->address, sizeof own->address);
    while (rc != 0 && errno == EINTR);
    if (rc == 0 && send_control(fd, CARD_ON))
        return fd;
    close(fd);
    return -1;
}

static bool read_atr(vreader *own)
{
    cb_buf atr = CB_BUF(CB_ATR_MAX);
    int fd = attach(own);
    bool read = fd >= 0 && send_control(fd, CARD_ATR) && receive_message(fd, &atr) == CB_OK;
    own->atr_len = read ? atr.len : 0;
    if (own->atr_len > 0)
        memcpy(own->atr, atr.data, own->atr_len);
    if (fd >= 0)
        close(fd);
    cb_buf_free(&atr);
    return read;
}

static bool same_socket(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Finds out whether the card is there, and whether it is another. */
static void look(vreader *own)
{
    struct stat now;
    bool there = stat(own->address.sun_path, &now) == 0 && S_ISSOCK(now.st_mode);
    if (there && own->present && same_socket(&now, &own->socket))
        return;
    bool was = own->present;
    own->present = there && read_atr(own);
    if (own->present)
        own->socket = now;
    if (own->present || was)
        own->changes++;
}

static cb_error vreader_list(void *state, cb_reader_list *out)
{
    vreader *own = state;
    look(own);
    memset(out, 0, sizeof *out);
    out->count = 1;
    cb_reader_info *info = &out->reader[0];
    memcpy(info->name, own->address.sun_path, strlen(own->address.sun_path));
    info->present = own->present;
    info->changes = own->changes;
    info->atr_len = own->present ? own->atr_len : 0;
    memcpy(info->atr, own->atr, info->atr_len);
    return CB_OK;
}

static cb_error vreader_wait(void *state, cb_reader_list *known, bool plug, int64_t deadline)
{
    (void)plug;
    for (;;) {
        cb_reader_list list;
        vreader_list(state, &list);
        if (known->count != 1 || known->reader[0].changes != list.reader[0].changes ||
            known->reader[0].present != list.reader[0].present) {
            *known = list;
            return CB_OK;
        }
        int left = cb_deadline_left_ms(deadline);
        if (left == 0)
            return CB_E_TIMEOUT;
        int ms = left < POLL_MS ? left : POLL_MS;
        cb_pause(ms * CB_MILLISECOND);
    }
}

static cb_error vreader_connect(void *state, const char *reader)
{
    vreader *own = state;
    if (strcmp(reader, own->address.sun_path) != 0)
        return CB_E_READER_NONE;
    drop(own);
    own->fd = attach(own);
    return own->fd < 0 ? CB_E_CARD_ABSENT : CB_OK;
}

static cb_error vreader_transmit(void *state, cb_bytes command, cb_buf *answer)
{
    vreader *own = state;
    if (own->fd < 0 || !send_message(own->fd, command)) {
        drop(own);
        return CB_E_CARD_REMOVED;
    }
    cb_error error = receive_message(own->fd, answer);
    if (error)
        drop(own);
    return error;
}

/* The end of the connection takes the card's power. */
static void vreader_disconnect(void *state) { drop(state); }

const cb_reader_kind cb_reader_virtual = {
    .name = "virtual",
    .open = vreader_open,
    .close = vreader_close,
    .list = vreader_list,
    .wait = vreader_wait,
    .connect = vreader_connect,
    .transmit = vreader_transmit,
    .disconnect = vreader_disconnect,
};
