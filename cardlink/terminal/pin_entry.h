/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking a person for digits (PIN, new PIN, unblocking code) or for a password.
 *
 * They come from the terminal (/dev/tty, without echo) or, for programs, as lines from a
 * descriptor; never from the command line or the environment, which others can see. They live in
 * one structure of fixed size that is wiped after use.
 */
#ifndef CB_CARDLINK_TERMINAL_PIN_ENTRY_H
#define CB_CARDLINK_TERMINAL_PIN_ENTRY_H

#include "base/bytes.h"
#include "base/error.h"
#include "cardlink/native/pin.h"

enum { CB_PASSWORD_LINE_MAX = 256 };

typedef struct cb_digits {
    uint8_t bytes[CB_PIN_MAX];
    size_t len;
} cb_digits;

typedef struct cb_pins {
    uint8_t form;     /* cb_pin_form */
    cb_digits secret; /* PIN, or unblocking code; empty for a reset */
    cb_digits fresh;  /* new PIN, for change, unblock and reset */
} cb_pins;

static inline cb_bytes cb_digits_bytes(const cb_digits *digits)
{
    return cb_bytes_make(digits->bytes, digits->len);
}

/* fd: a descriptor that gives one line for each value (each ends with a newline or the end), or -1
 * for the terminal, where a new PIN is asked for twice. Nothing is read beyond the lines.
 * CB_E_PIN_FORMAT (not the right number of digits; or the two differ), CB_E_IO (no terminal, or the
 * descriptor cannot be read); then nothing is left in pins. */
cb_error cb_pins_ask(cb_pins *pins, cb_pin_form form, int fd);

/* A line of another kind, such as a one-time code: likewise from the descriptor, or without echo.
 * CB_E_FORMAT when it is longer than size - 1 or none; text is ended by a zero, and to be wiped. */
cb_error cb_line_ask(const char *prompt, int fd, char *text, size_t size);

void cb_pins_wipe(cb_pins *pins);

typedef struct cb_password_line {
    uint8_t bytes[CB_PASSWORD_LINE_MAX];
    size_t len;
} cb_password_line;

/* Likewise, one line. CB_E_PASSWORD_FORMAT (empty or too long), CB_E_IO; then nothing is left in
 * line, which the caller wipes. */
cb_error cb_password_ask(cb_password_line *line, int fd);

/* The password of now, and twice the one that is to take its place; from a descriptor one line
 * each. CB_E_PASSWORD_FORMAT also when the two differ. */
cb_error cb_password_change_ask(cb_password_line *now, cb_password_line *next, int fd);

#endif
