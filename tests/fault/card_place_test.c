/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A virtual card's place, and the socket by which it is put down and taken away, while each
 * allocation and each call for sockets of theirs fails in turn: a whole answer or none, and the
 * next terminal is served.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cardlink/card/control.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/socket_faults.h"
#include "world.h"

/* What a flow returns when an answer was another; no listed error. */
#define WRONG CB_ERROR_COUNT

enum { TURNS = 40 };

static world w;
static char folder[] = "/tmp/cb-card-place-XXXXXX";
static cb_vcards all;
static int control = -1;
static bool nothing_lost; /* such a fault is none */

/* ---- The card's side ---- */

static cb_error put_down(void)
{
    cb_error error = cb_vcards_insert(&all, 0, 0);
    return error ? error : cb_vcard_control_listen("control", &control);
}

static void take_away(void)
{
    cb_vcards_remove_all(&all);
    if (control >= 0)
        close(control);
    control = -1;
}

static void turn(void)
{
    struct pollfd at[3] = {{.fd = control, .events = POLLIN}};
    cb_vcard_reader_wait(&all.reader[0], &at[1]);
    if (syscall(SYS_poll, at, 3, 1) <= 0)
        return;
    cb_vcard_reader_serve(&all.reader[0], &at[1]);
    if (at[0].revents)
        cb_vcard_control_serve(control, &all);
}

/* ---- The other side, which nothing strikes: it makes no such calls ---- */

static int reach(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (syscall(SYS_connect, fd, &address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* What comes until there are so many bytes, or the end of it. */
static size_t hear(int fd, uint8_t *out, size_t most)
{
    size_t len = 0;
    for (int i = 0; i < TURNS && len < most; i++) {
        turn();
        ssize_t got = read(fd, out + len, most - len);
        if (got == 0)
            break;
        len += got > 0 ? (size_t)got : 0;
    }
    return len;
}

static bool tell(int fd, const void *bytes, size_t len)
{
    return write(fd, bytes, len) == (ssize_t)len;
}

/* Switched on, asked who it is, and selected. */
static cb_error use(void *context)
{
    static const uint8_t on[] = {0, 1, 1}, ask[] = {0, 1, 4};
    uint8_t select[64] = {0, 0, 0x00, 0xA4, 0x04, 0x00, sizeof cb_native_aid}, heard[256];
    size_t len = 5 + sizeof cb_native_aid + 1;
    (void)context;
    select[1] = (uint8_t)len;
    memcpy(&select[7], cb_native_aid, sizeof cb_native_aid);
    cb_error error = put_down();
    int fd = error ? -1 : reach("place");
    if (fd < 0)
        return error ? error : CB_E_CLOSED;
    size_t got = tell(fd, on, sizeof on) && tell(fd, ask, sizeof ask)
                     ? hear(fd, heard, 2 + sizeof cb_vcard_atr)
                     : 0;
    if (got > 0 && got == 2 + sizeof cb_vcard_atr &&
        memcmp(&heard[2], cb_vcard_atr, sizeof cb_vcard_atr) != 0)
        error = WRONG;
    if (!error && got != 2 + sizeof cb_vcard_atr)
        error = CB_E_CLOSED;
    if (!error) {
        got = tell(fd, select, 2 + len) ? hear(fd, heard, 2) : 0;
        size_t size = got == 2 ? (size_t)heard[0] << 8 | heard[1] : 0;
        got = size ? hear(fd, heard, size) : 0;
        /* 6F { 84 AID  A5 { C0 KID KVN } } 9000 */
        bool good = got == size && size == 2 + 2 + sizeof cb_native_aid + 2 + 4 + 2 &&
                    heard[0] == 0x6F && heard[size - 2] == 0x90;
        bool fault = got == 2 && heard[0] != 0x90;
        error = good ? CB_OK : got == size && size && !fault ? WRONG : CB_E_CLOSED;
    }
    close(fd);
    return error;
}

static cb_error list(void *context)
{
    uint8_t heard[512];
    (void)context;
    cb_error error = put_down();
    int fd = error ? -1 : reach("control");
    if (fd < 0)
        return error ? error : CB_E_CLOSED;
    size_t got = tell(fd, "list\n", 5) ? hear(fd, heard, sizeof heard - 1) : 0;
    heard[got] = 0;
    close(fd);
    const char *text = (const char *)heard;
    if (got == 0)
        return CB_E_CLOSED;
    if (strncmp(text, "error ", 6) == 0)
        return CB_E_MEMORY;
    /* Whoever reads it looks for its last line. */
    bool whole = got > 3 && strcmp(&text[got - 3], "ok\n") == 0;
    return whole ? (strncmp(text, "0 first ", 8) == 0 ? CB_OK : WRONG) : CB_E_CLOSED;
}

static void nothing_there(void *context)
{
    (void)context;
    take_away();
}

static void both_serve_again(void *context, cb_error result, bool struck)
{
    (void)context, (void)struck;
    if (nothing_lost)
        assert_int_equal(result, CB_OK);
    take_away();
    assert_int_equal(use(NULL), CB_OK);
    take_away();
    assert_int_equal(list(NULL), CB_OK);
    take_away();
}

static void an_answer_is_whole_or_none(void **state)
{
    static const fault_flow flows[] = {{"use", nothing_there, use, both_serve_again},
                                       {"list", nothing_there, list, both_serve_again}};
    static const fault_kind *const kinds[] = {&alloc_faults, &socket_faults, &interrupt_faults,
                                              &short_faults};
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 4; k++) {
            nothing_lost = k >= 2;
            fault_each(kinds[k], &flows[i], NULL, 0);
        }
}

static int begin(void **state)
{
    (void)state;
    world_make(&w, false);
    all = (cb_vcards){.card_count = 1, .card = {w.card}, .file = {"first"}, .reader_count = 1};
    cb_vcard_reader_init(&all.reader[0], "place", false);
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    take_away();
    world_free(&w);
    unlink("place");
    unlink("control");
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_answer_is_whole_or_none, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, begin, end);
}
