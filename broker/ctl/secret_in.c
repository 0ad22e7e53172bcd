/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/secret_in.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "base/secret.h"

/* Byte by byte and unbuffered: what is typed rests in out and nowhere else. */
static cb_error read_until(int fd, bool line, cb_buf *out)
{
    uint8_t c = 0;
    ssize_t got = 1;
    while (got > 0 && !cb_buf_error(out)) {
        got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0 && line && c == '\n')
            break;
        else if (got > 0)
            cb_buf_put_u8(out, c);
    }
    cb_wipe(&c, sizeof c);
    return got < 0 ? CB_E_IO : cb_buf_error(out);
}

static cb_error from_descriptor(int fd, cb_buf *out)
{
    cb_error error = read_until(fd, false, out);
    if (!error && out->len && out->data[out->len - 1] == '\n')
        out->len--;
    return error;
}

static cb_error ask(int tty, const char *prompt, cb_buf *out)
{
    if (dprintf(tty, "%s", prompt) < 0)
        return CB_E_IO;
    cb_error error = read_until(tty, true, out);
    dprintf(tty, "\n");
    return error;
}

/* Signals that would leave the terminal without echo wait until it has it again. */
static cb_error at_terminal(int tty, const char *what, cb_buf *out, cb_buf *again)
{
    struct termios before, quiet;
    sigset_t held, old;
    if (tcgetattr(tty, &before) != 0)
        return CB_E_IO;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGHUP);
    sigaddset(&held, SIGTSTP);
    sigaddset(&held, SIGQUIT);
    sigprocmask(SIG_BLOCK, &held, &old);
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    cb_error error = tcsetattr(tty, TCSAFLUSH, &quiet) == 0 ? CB_OK : CB_E_IO;
    if (!error)
        error = ask(tty, what, out);
    if (!error)
        error = ask(tty, "Again: ", again);
    tcsetattr(tty, TCSAFLUSH, &before);
    sigprocmask(SIG_SETMASK, &old, NULL);
    return error;
}

/* What it is called. */
typedef struct words {
    const char *prompt, *option, *reading, *differ, *empty;
} words;

static const words of_secret = {"Secret: ", "--secret-fd", "reading the secret",
                                "the two secrets differ", "the secret is empty"};
static const words of_password = {"Password: ", "--password-fd", "reading the password",
                                  "the two passwords differ", "the password is empty"};

static cb_ctl_status prompt(cb_ctl *ctl, const words *called, cb_buf *out)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return cb_ctl_misuse(ctl, "there is no terminal to ask at: give it by %s N",
                             called->option);
    cb_buf again = CB_BUF(out->max);
    cb_error error = at_terminal(tty, called->prompt, out, &again);
    cb_ctl_status status = error ? cb_ctl_fail(ctl, error, called->reading) : CB_CTL_DONE;
    if (!status && !cb_equal(cb_buf_bytes(out), cb_buf_bytes(&again)))
        status = cb_ctl_fail(ctl, CB_E_ARGUMENT, called->differ);
    cb_buf_free(&again);
    close(tty);
    return status;
}

static cb_ctl_status get(cb_ctl *ctl, const words *called, const char *fd_text, cb_buf *out)
{
    uint64_t fd = 0;
    cb_ctl_status status = CB_CTL_DONE;
    if (!fd_text) {
        status = prompt(ctl, called, out);
    } else if (cb_ctl_number(fd_text, 1023, &fd)) {
        status = cb_ctl_misuse(ctl, "%s is the number of an open file descriptor", called->option);
    } else {
        cb_error error = from_descriptor((int)fd, out);
        if (error)
            status = cb_ctl_fail(ctl, error, called->reading);
    }
    if (!status && out->len == 0)
        status = cb_ctl_fail(ctl, CB_E_ARGUMENT, called->empty);
    return status;
}

cb_ctl_status cb_ctl_secret(cb_ctl *ctl, const char *fd_text, cb_buf *out)
{
    return get(ctl, &of_secret, fd_text, out);
}

cb_ctl_status cb_ctl_password(cb_ctl *ctl, const char *fd_text, cb_buf *out)
{
    return get(ctl, &of_password, fd_text, out);
}
