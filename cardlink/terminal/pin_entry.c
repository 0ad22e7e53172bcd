/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/pin_entry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/secret.h"

enum { LINE_MAX_READ = 4096 };

/* Where a line comes from. */
typedef struct source {
    int fd;
    bool terminal;
    struct termios before;
} source;

/* What an interrupted prompt has to put back; a signal handler has no other way to know. */
static struct termios interrupted;
static volatile sig_atomic_t silenced_fd = -1;

static void restore_and_end(int number)
{
    if (silenced_fd >= 0)
        tcsetattr(silenced_fd, TCSANOW, &interrupted);
    signal(number, SIG_DFL);
    raise(number);
}

static bool set_terminal(int fd, const struct termios *how)
{
    int rc;
    do
        rc = tcsetattr(fd, TCSAFLUSH, how);
    while (rc != 0 && errno == EINTR);
    return rc == 0;
}

static cb_error silence(source *from)
{
    struct termios quiet;
    if (tcgetattr(from->fd, &from->before) != 0)
        return CB_E_IO;
    quiet = from->before;
    quiet.c_lflag = (quiet.c_lflag & ~(tcflag_t)ECHO) | ICANON | ECHONL;
    interrupted = from->before;
    silenced_fd = from->fd;
    return set_terminal(from->fd, &quiet) ? CB_OK : CB_E_IO;
}

/* Whoever is not asked does not know what he types. */
static cb_error say(const source *from, const char *text)
{
    size_t left = from->terminal ? strlen(text) : 0;
    while (left > 0) {
        ssize_t done = write(from->fd, text, left);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return CB_E_IO;
        text += done;
        left -= (size_t)done;
    }
    return CB_OK;
}

/* One line, byte by byte so that nothing that follows is taken. A line that is too long is read to
 * its end. */
static cb_error read_line(const source *from, uint8_t *bytes, size_t max, size_t *len)
{
    bool too_long = false;
    size_t seen = 0;
    *len = 0;
    for (;; seen++) {
        char c = 0;
        ssize_t got = read(from->fd, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (got == 0 && seen == 0))
            return CB_E_IO;
        if (got == 0 || c == '\n')
            return too_long ? CB_E_PIN_FORMAT : CB_OK;
        too_long = too_long || *len == max;
        if (!too_long)
            bytes[(*len)++] = (uint8_t)c;
        if (seen > 4096)
            return CB_E_PIN_FORMAT;
    }
}

static cb_error ask(const source *from, const char *prompt, bool (*good)(cb_bytes), cb_digits *out)
{
    cb_error error = say(from, prompt);
    if (!error)
        error = read_line(from, out->bytes, sizeof out->bytes, &out->len);
    return !error && !good(cb_digits_bytes(out)) ? CB_E_PIN_FORMAT : error;
}

static cb_error ask_fresh(const source *from, cb_digits *out)
{
    cb_digits again = {.len = 0};
    cb_error error = ask(from, "New PIN (4 to 12 digits): ", cb_pin_ok, out);
    if (!error && from->terminal) {
        error = ask(from, "New PIN, once more: ", cb_pin_ok, &again);
        if (!error && !cb_equal(cb_digits_bytes(out), cb_digits_bytes(&again)))
            error = CB_E_PIN_FORMAT;
    }
    cb_wipe(&again, sizeof again);
    return error;
}

static cb_error ask_all(const source *from, void *context)
{
    cb_pins *pins = context;
    bool unblock = pins->form == CB_PIN_FORM_UNBLOCK;
    if (pins->form == CB_PIN_FORM_RESET)
        return ask_fresh(from, &pins->fresh);
    cb_error error = ask(from, unblock ? "Unblocking code (8 digits): " : "PIN: ",
                         unblock ? cb_unblock_code_ok : cb_pin_ok, &pins->secret);
    if (!error && pins->form != CB_PIN_FORM_VERIFY)
        error = ask_fresh(from, &pins->fresh);
    return error;
}

static cb_error ask_pins(const source *from, void *pins) { return ask_all(from, pins); }

static cb_error ask_one(const source *from, const char *prompt, cb_password_line *line)
{
    cb_error error = say(from, prompt);
    if (!error)
        error = read_line(from, line->bytes, sizeof line->bytes, &line->len);
    return error == CB_E_PIN_FORMAT || (!error && line->len == 0) ? CB_E_PASSWORD_FORMAT : error;
}

static cb_error ask_password(const source *from, void *line)
{
    return ask_one(from, "Password: ", line);
}

typedef struct two_passwords {
    cb_password_line now, next, again;
} two_passwords;

static cb_error ask_two_passwords(const source *from, void *context)
{
    two_passwords *two = context;
    cb_error error = ask_one(from, "Password of now: ", &two->now);
    if (!error)
        error = ask_one(from, "New password: ", &two->next);
    if (error || !from->terminal)
        return error;
    error = ask_one(from, "New password, once more: ", &two->again);
    if (!error && !cb_equal(cb_bytes_make(two->next.bytes, two->next.len),
                            cb_bytes_make(two->again.bytes, two->again.len)))
        error = CB_E_PASSWORD_FORMAT;
    return error;
}

/* Asks with echo off, and whatever happens, has it on again. */
static cb_error ask_terminal(cb_error (*all)(const source *from, void *context), void *context)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    enum { COUNT = sizeof signals / sizeof *signals };
    struct sigaction before[COUNT];
    struct sigaction restoring = {.sa_handler = restore_and_end};
    source from = {.fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), .terminal = true};
    if (from.fd < 0)
        return CB_E_IO;
    sigemptyset(&restoring.sa_mask);
    for (int i = 0; i < COUNT; i++)
        sigaction(signals[i], &restoring, &before[i]);
    cb_error error = silence(&from);
    if (!error) {
        error = all(&from, context);
        if (!set_terminal(from.fd, &from.before) && tcsetattr(from.fd, TCSANOW, &from.before) != 0)
            error = CB_E_IO;
    }
    silenced_fd = -1;
    for (int i = 0; i < COUNT; i++)
        sigaction(signals[i], &before[i], NULL);
    close(from.fd);
    return error;
}

cb_error cb_pins_ask(cb_pins *pins, cb_pin_form form, int fd)
{
    source from = {.fd = fd};
    *pins = (cb_pins){.form = form};
    cb_error error = fd >= 0 ? ask_pins(&from, pins) : ask_terminal(ask_pins, pins);
    if (error)
        cb_pins_wipe(pins);
    return error;
}

void cb_pins_wipe(cb_pins *pins) { cb_wipe(pins, sizeof *pins); }

cb_error cb_password_ask(cb_password_line *line, int fd)
{
    source from = {.fd = fd};
    *line = (cb_password_line){.len = 0};
    cb_error error = fd >= 0 ? ask_password(&from, line) : ask_terminal(ask_password, line);
    if (error)
        cb_wipe(line, sizeof *line);
    return error;
}
cb_error cb_password_change_ask(cb_password_line *now, cb_password_line *next, int fd)
{
    source from = {.fd = fd};
    two_passwords two = {.now.len = 0};
    cb_error error =
        fd >= 0 ? ask_two_passwords(&from, &two) : ask_terminal(ask_two_passwords, &two);
    if (!error) {
        *now = two.now;
        *next = two.next;
    }
    cb_wipe(&two, sizeof two);
    return error;
}

/* ---- Lines of another kind ---- */

typedef struct line {
    const char *prompt;
    char *text;
    size_t size;
} line;

static cb_error ask_line(const source *from, void *context)
{
    const line *want = context;
    size_t len = 0, seen = 0;
    cb_error error = say(from, want->prompt);
    for (; !error && seen < LINE_MAX_READ; seen++) {
        char c = 0;
        ssize_t got = read(from->fd, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            error = CB_E_IO;
        if (got <= 0 || c == '\n')
            break;
        if (len + 1 < want->size)
            want->text[len] = c;
        len++;
    }
    want->text[len < want->size ? len : 0] = 0;
    return error ? error : len == 0 || len >= want->size ? CB_E_FORMAT : CB_OK;
}

cb_error cb_line_ask(const char *prompt, int fd, char *text, size_t size)
{
    source from = {.fd = fd};
    line want = {prompt, text, size};
    cb_error error = fd >= 0 ? ask_line(&from, &want) : ask_terminal(ask_line, &want);
    if (error)
        cb_wipe(text, size);
    return error;
}
