/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A reader with a PIN pad, for programs that know nothing of it: PC/SC's calls, loaded with
 * LD_PRELOAD. The reader is CB_PAD_READER, the socket on which a virtual card listens
 * (cardlink/terminal/vreader.c has its messages); while the socket is there, a card lies on it.
 * What the holder types on the pad stands in the file CB_PAD_DIGITS, and each time that he is asked
 * to is one byte more in the file CB_PAD_ASKED.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pcsc_calls.h"

enum { DIGITS_MAX = 16, HEADER = 4, PAUSE_US = 20000 };

static const char *reader_name(void)
{
    const char *name = getenv("CB_PAD_READER");
    return name ? name : "";
}

/* ---- The card's connection; its descriptor is the handle ---- */

static bool read_all(int fd, uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t got = read(fd, out, len);
        if (got <= 0)
            return false;
        out += got;
        len -= (size_t)got;
    }
    return true;
}

static bool send_message(int fd, const uint8_t *payload, size_t len)
{
    uint8_t message[2 + 300];
    if (len > sizeof message - 2)
        return false;
    message[0] = (uint8_t)(len >> 8);
    message[1] = (uint8_t)len;
    memcpy(message + 2, payload, len);
    return send(fd, message, 2 + len, MSG_NOSIGNAL) == (ssize_t)(2 + len);
}

static LONG transmit(int fd, const uint8_t *command, size_t len, uint8_t *answer, DWORD *answer_len)
{
    uint8_t head[2];
    if (!send_message(fd, command, len) || !read_all(fd, head, sizeof head))
        return SCARD_W_REMOVED_CARD;
    size_t got = (size_t)head[0] << 8 | head[1];
    if (got > *answer_len)
        return SCARD_E_INSUFFICIENT_BUFFER;
    *answer_len = got;
    return read_all(fd, answer, got) ? SCARD_S_SUCCESS : SCARD_W_REMOVED_CARD;
}

/* ---- The service and its reader ---- */

LONG SCardListReaders(SCARDCONTEXT context, LPCSTR groups, LPSTR names, LPDWORD len)
{
    size_t size = strlen(reader_name()) + 1;
    (void)context, (void)groups;
    if (size + 1 > *len)
        return SCARD_E_INSUFFICIENT_BUFFER;
    memcpy(names, reader_name(), size);
    names[size] = 0;
    *len = size + 1;
    return SCARD_S_SUCCESS;
}

/* Another socket is another card. */
static DWORD state_now(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct stat before;
    static bool was;
    static DWORD changes;
    struct stat now;
    pthread_mutex_lock(&lock);
    bool there = stat(reader_name(), &now) == 0 && S_ISSOCK(now.st_mode);
    bool same = there == was && (!there || (now.st_ino == before.st_ino &&
                                            now.st_ctim.tv_sec == before.st_ctim.tv_sec &&
                                            now.st_ctim.tv_nsec == before.st_ctim.tv_nsec));
    if (!same)
        changes++;
    was = there;
    if (there)
        before = now;
    DWORD state = (changes & 0xFFFF) << 16 | (there ? SCARD_STATE_PRESENT : SCARD_STATE_EMPTY);
    pthread_mutex_unlock(&lock);
    return state;
}

LONG SCardGetStatusChange(SCARDCONTEXT context, DWORD wait, SCARD_READERSTATE *states, DWORD count)
{
    (void)context;
    for (DWORD i = 0; i < count; i++)
        if (strcmp(states[i].szReader, reader_name()) == 0)
            states[i].dwEventState = state_now();
    if (wait > 0)
        usleep(PAUSE_US);
    return wait > 0 ? SCARD_E_TIMEOUT : SCARD_S_SUCCESS;
}

/* ---- The card ---- */

LONG SCardConnect(SCARDCONTEXT context, LPCSTR reader, DWORD share, DWORD protocols,
                  LPSCARDHANDLE out, LPDWORD protocol)
{
    static const uint8_t on = 1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)context, (void)share, (void)protocols;
    if (strcmp(reader, reader_name()) != 0 || strlen(reader) >= sizeof address.sun_path)
        return SCARD_E_UNKNOWN_READER;
    strcpy(address.sun_path, reader);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int tries = 0; fd >= 0 && tries < 100;
         tries++) { /* it listens a moment after it is there */
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
            *out = fd;
            *protocol = SCARD_PROTOCOL_T1;
            return send_message(fd, &on, 1) ? SCARD_S_SUCCESS : SCARD_E_NO_SMARTCARD;
        }
        usleep(PAUSE_US);
    }
    if (fd >= 0)
        close(fd);
    return SCARD_E_NO_SMARTCARD;
}

LONG SCardReconnect(SCARDHANDLE card, DWORD share, DWORD protocols, DWORD how, LPDWORD protocol)
{
    (void)card, (void)share, (void)protocols, (void)how;
    *protocol = SCARD_PROTOCOL_T1;
    return SCARD_S_SUCCESS;
}

LONG SCardDisconnect(SCARDHANDLE card, DWORD how)
{
    (void)how;
    close((int)card);
    return SCARD_S_SUCCESS;
}

LONG SCardTransmit(SCARDHANDLE card, const SCARD_IO_REQUEST *send, LPCBYTE command, DWORD len,
                   SCARD_IO_REQUEST *receive, LPBYTE answer, LPDWORD answer_len)
{
    (void)send, (void)receive;
    return transmit((int)card, command, len, answer, answer_len);
}

/* ---- The pad ---- */

static size_t type_digits(char digits[DIGITS_MAX])
{
    const char *path = getenv("CB_PAD_DIGITS"), *asked = getenv("CB_PAD_ASKED");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = fd >= 0 ? read(fd, digits, DIGITS_MAX) : 0;
    if (fd >= 0)
        close(fd);
    fd = asked ? open(asked, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || write(fd, ".", 1) != 1)
        got = 0;
    if (fd >= 0)
        close(fd);
    return got > 0 ? (size_t)got : 0;
}

/* PC/SC part 10, PIN_VERIFY: the command without its digits, or with room for them. */
static LONG verify(int fd, const uint8_t *block, size_t len, uint8_t *answer, DWORD *answer_len)
{
    const size_t before = offsetof(PIN_VERIFY_STRUCTURE, abData);
    uint8_t command[HEADER + 1 + DIGITS_MAX];
    char digits[DIGITS_MAX];
    size_t count = type_digits(digits), room = len > before ? len - before : 0;
    if (count == 0)
        return SCARD_W_CANCELLED_BY_USER;
    if (room != HEADER && (room < HEADER + 1 + count || room > sizeof command))
        return SCARD_E_INVALID_PARAMETER;
    memcpy(command, block + before, room);
    if (room == HEADER) {
        command[HEADER] = (uint8_t)count;
        room = HEADER + 1 + count;
    }
    memcpy(command + HEADER + 1, digits, count);
    return transmit(fd, command, room, answer, answer_len);
}

LONG SCardControl(SCARDHANDLE card, DWORD code, LPCVOID send, DWORD len, LPVOID answer, DWORD room,
                  LPDWORD answer_len)
{
    static const uint8_t features[] = {PAD_FEATURE};
    *answer_len = room;
    if (code == PAD_CODE)
        return verify((int)card, send, len, answer, answer_len);
    *answer_len = 0;
    if (code != CM_IOCTL_GET_FEATURE_REQUEST || room < sizeof features)
        return SCARD_E_UNSUPPORTED_FEATURE;
    memcpy(answer, features, sizeof features);
    *answer_len = sizeof features;
    return SCARD_S_SUCCESS;
}
