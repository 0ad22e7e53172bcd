/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The prompt for a PIN while each call to the terminal fails, or is interrupted, in turn: the PIN
 * is asked for and taken as it was typed, or not at all; it is never shown, and the terminal shows
 * again what is typed afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "cardlink/terminal/pin_entry.h"
#include "tests/support/fault_counter.h"
#include "tests/support/faults.h"

#define OLD "271828"
#define FRESH "314159265"

/* What a flow returns when the PIN is not what was typed; no listed error. */
#define WRONG CB_ERROR_COUNT

static int person = -1; /* the other end of the terminal */
static struct termios usual;
static char seen[4096]; /* by the person */
static atomic_bool leave;
static cb_pins pins;

/* ---- Calls that fail: only those of the thread that asks ---- */

static fault_counter broken, interrupted;
static _Thread_local bool asking;

__attribute__((constructor)) static void make_counters(void)
{
    fault_counter_make(&broken);
    fault_counter_make(&interrupted);
}

static bool fails(void)
{
    if (asking && fault_counter_strikes(&broken))
        errno = EIO;
    else if (asking && fault_counter_strikes(&interrupted))
        errno = EINTR;
    else
        return false;
    return true;
}

static bool breaks(void)
{
    bool unlucky = asking && fault_counter_strikes(&broken);
    if (unlucky)
        errno = EIO;
    return unlucky;
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    unsigned mode = flags & O_CREAT ? va_arg(rest, unsigned) : 0;
    va_end(rest);
    return breaks() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t read(int fd, void *data, size_t len)
{
    return fails() ? -1 : syscall(SYS_read, fd, data, len);
}

ssize_t write(int fd, const void *data, size_t len)
{
    return fails() ? -1 : syscall(SYS_write, fd, data, len);
}

int __real_tcgetattr(int fd, struct termios *out);
int __wrap_tcgetattr(int fd, struct termios *out);
int __real_tcsetattr(int fd, int when, const struct termios *how);
int __wrap_tcsetattr(int fd, int when, const struct termios *how);

int __wrap_tcgetattr(int fd, struct termios *out)
{
    return breaks() ? -1 : __real_tcgetattr(fd, out);
}

int __wrap_tcsetattr(int fd, int when, const struct termios *how)
{
    return fails() ? -1 : __real_tcsetattr(fd, when, how);
}

#define KIND(which, said)                                                                          \
    static void which##_arm(unsigned nth, bool lasting)                                            \
    {                                                                                              \
        fault_counter_arm(&which, nth, lasting);                                                   \
    }                                                                                              \
    static unsigned which##_disarm(void) { return fault_counter_disarm(&which); }                  \
    static void which##_where(void) { fault_counter_where(&which); }                               \
    static const fault_kind which##_faults = {said, which##_arm, which##_disarm, which##_where,    \
                                              true}

KIND(broken, "terminal");
KIND(interrupted, "interruption");

/* ---- The person ---- */

/* Types a line at each prompt, when it is there: what is typed before is thrown away. */
static void *type(void *context)
{
    static const char *const lines[] = {OLD "\n", FRESH "\n", FRESH "\n"};
    size_t len = 0, typed = 0, answered = 0;
    (void)context;
    while (!atomic_load(&leave) && len + 1 < sizeof seen) {
        struct pollfd at = {.fd = person, .events = POLLIN};
        if (poll(&at, 1, 5) <= 0 || !(at.revents & POLLIN))
            continue;
        ssize_t got = read(person, seen + len, sizeof seen - 1 - len);
        len += got > 0 ? (size_t)got : 0;
        seen[len] = 0;
        for (const char *prompt; typed < 3 && (prompt = strstr(seen + answered, ": "));) {
            answered = (size_t)(prompt - seen) + 2;
            if (write(person, lines[typed], strlen(lines[typed])) < 0)
                break;
            typed++;
        }
    }
    return NULL;
}

static bool same(const cb_digits *digits, const char *text)
{
    return cb_bytes_same(cb_digits_bytes(digits), cb_bytes_str(text));
}

static cb_error ask(void *context)
{
    pthread_t thread;
    (void)context;
    memset(seen, 0, sizeof seen);
    atomic_store(&leave, false);
    assert_int_equal(pthread_create(&thread, NULL, type, NULL), 0);
    asking = true;
    cb_error error = cb_pins_ask(&pins, CB_PIN_FORM_CHANGE, -1);
    asking = false;
    atomic_store(&leave, true);
    pthread_join(thread, NULL);
    if (!error && (!same(&pins.secret, OLD) || !same(&pins.fresh, FRESH)))
        return WRONG;
    return error;
}

static void all_is_as_before(void *context, cb_error result, bool struck)
{
    static const cb_pins none;
    struct termios now;
    struct sigaction handler;
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    (void)context, (void)struck;
    assert_true(terminal >= 0 && __real_tcgetattr(terminal, &now) == 0);
    assert_int_equal(now.c_lflag, usual.c_lflag);
    assert_int_equal(tcflush(terminal, TCIOFLUSH), 0);
    close(terminal);
    assert_int_equal(sigaction(SIGTERM, NULL, &handler), 0);
    assert_true(handler.sa_handler == SIG_DFL);
    if (result)
        assert_memory_equal(&pins, &none, sizeof pins);
    /* Who types on when the prompt has given up sees it. */
    if (!result)
        assert_true(!strstr(seen, OLD) && !strstr(seen, FRESH));
    cb_pins_wipe(&pins);
}

static void and_an_interruption_changes_nothing(void *context, cb_error result, bool struck)
{
    all_is_as_before(context, result, struck);
    assert_int_equal(result, CB_OK);
}

static void a_pin_is_taken_as_typed_and_never_shown(void **state)
{
    static const fault_flow breaking = {"a new PIN", NULL, ask, all_is_as_before};
    static const fault_flow interrupting = {"a new PIN", NULL, ask,
                                            and_an_interruption_changes_nothing};
    (void)state;
    fault_each(&broken_faults, &breaking, NULL, 0);
    fault_each(&interrupted_faults, &interrupting, NULL, 0);
}

/* In a session of its own, whose terminal is one of ours. */
static int take_terminal(void)
{
    char name[64];
    person = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (setsid() < 0 || person < 0 || grantpt(person) != 0 || unlockpt(person) != 0 ||
        ptsname_r(person, name, sizeof name) != 0)
        return -1;
    int terminal = open(name, O_RDWR | O_CLOEXEC | O_NOCTTY);
    return terminal >= 0 && ioctl(terminal, TIOCSCTTY, 0) == 0 &&
                   __real_tcgetattr(terminal, &usual) == 0 && usual.c_lflag & ECHO
               ? 0
               : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_pin_is_taken_as_typed_and_never_shown, fault_said),
    };
    int status = 1;
    pid_t child = fork();
    if (child != 0)
        return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)
                   ? WEXITSTATUS(status)
                   : 1;
    fault_quiet();
    return take_terminal() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
