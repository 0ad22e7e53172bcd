/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/secrets.h"

#include <fcntl.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "base/secret.h"
#include "cardlink/issuer/files.h"

enum { LINE_MAX_LEN = 128 };

/* One line of less than size characters, a byte at a time, so that nothing behind it is taken. */
static bool read_line(int fd, char *out, size_t size)
{
    for (size_t len = 0; len < size; len++) {
        if (read(fd, &out[len], 1) != 1)
            return false;
        if (out[len] == '\n') {
            out[len] = 0;
            return true;
        }
    }
    return false;
}

static cb_error check(cb_card_secrets *secrets)
{
    if (cb_pin_ok(cb_bytes_str(secrets->pin)) && cb_unblock_code_ok(cb_bytes_str(secrets->code)))
        return CB_OK;
    cb_wipe(secrets, sizeof *secrets);
    return CB_E_PIN_FORMAT;
}

static bool ask(int tty, const cb_secret_slot *slot)
{
    char again[LINE_MAX_LEN];
    dprintf(tty, "%s: ", slot->what);
    bool good = read_line(tty, slot->out, slot->size);
    dprintf(tty, "\n%s again: ", slot->what);
    good = good && read_line(tty, again, sizeof again) && strcmp(slot->out, again) == 0;
    dprintf(tty, "\n");
    cb_wipe(again, sizeof again);
    return good;
}

static cb_error get_all(int fd, bool asks, const cb_secret_slot *slots, size_t count)
{
    bool good = true;
    for (size_t i = 0; good && i < count; i++)
        good = asks ? ask(fd, &slots[i]) : read_line(fd, slots[i].out, slots[i].size);
    return good ? CB_OK : CB_E_PIN_FORMAT;
}

static cb_error ask_all(const cb_secret_slot *slots, size_t count)
{
    struct termios before, silent;
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return CB_E_IO;
    cb_error error = CB_E_IO;
    if (tcgetattr(tty, &before) == 0) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        if (tcsetattr(tty, TCSAFLUSH, &silent) == 0) {
            error = get_all(tty, true, slots, count);
            tcsetattr(tty, TCSAFLUSH, &before);
        }
    }
    close(tty);
    return error;
}

cb_error cb_secrets_get(int fd, const cb_secret_slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        memset(slots[i].out, 0, slots[i].size);
    cb_error error = fd < 0 ? ask_all(slots, count) : get_all(fd, false, slots, count);
    for (size_t i = 0; error && i < count; i++)
        cb_wipe(slots[i].out, slots[i].size);
    return error;
}

static cb_error get_card(int fd, cb_card_secrets *out)
{
    const cb_secret_slot slots[] = {{"PIN (4 to 12 digits)", out->pin, sizeof out->pin},
                                    {"unblocking code (8 digits)", out->code, sizeof out->code}};
    cb_error error = cb_secrets_get(fd, slots, 2);
    return error ? error : check(out);
}

cb_error cb_secrets_read(int fd, cb_card_secrets *out)
{
    if (fd >= 0)
        return get_card(fd, out);
    *out = (cb_card_secrets){0};
    return CB_E_PIN_FORMAT;
}

cb_error cb_secrets_ask(cb_card_secrets *out) { return get_card(-1, out); }

cb_error cb_secrets_draw(unsigned pin_len, cb_card_secrets *out)
{
    *out = (cb_card_secrets){0};
    if (pin_len < CB_PIN_MIN || pin_len > CB_PIN_MAX)
        return CB_E_PIN_FORMAT;
    cb_issue_digits(out->pin, pin_len);
    cb_issue_digits(out->code, CB_UNBLOCK_CODE_LEN);
    return CB_OK;
}

cb_error cb_secrets_letter(const char *path, const cb_id *card, const cb_card_secrets *secrets,
                           cb_buf *why)
{
    char id[CB_ID_TEXT];
    cb_buf letter = CB_BUF(256);
    cb_id_text(card, id);
    cb_buf_printf(&letter, "card %s\nPIN %s\nunblocking code %s\n", id, secrets->pin,
                  secrets->code);
    cb_error error = cb_buf_error(&letter);
    if (!error)
        error = cb_file_new(path, cb_buf_bytes(&letter), 0600, why);
    cb_buf_free(&letter);
    return error;
}
