/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

enum { LINE_MAX_BYTES = 8192, VALUE_MAX_BYTES = 1024 };

/* Atomic because a reload may change them while others log. */
static const char *_Atomic program_name = "cardbroker";
static _Atomic cb_log_level least_level = CB_LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warning", "error"};

static _Thread_local cb_id current_request;

void cb_log_init(const char *program, cb_log_level least)
{
    program_name = program;
    least_level = least;
}

cb_error cb_log_level_parse(const char *text, cb_log_level *out)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (text && strcmp(text, level_names[i]) == 0) {
            *out = (cb_log_level)i;
            return CB_OK;
        }
    }
    return CB_E_ARGUMENT;
}

void cb_log_set_request(const cb_id *request)
{
    current_request = request ? *request : (cb_id){{0}};
}

const cb_id *cb_log_request(void)
{
    return cb_id_is_zero(&current_request) ? NULL : &current_request;
}

/* Values may come from outside: everything that is not plain ASCII text is escaped. */
static void put_json_string(cb_buf *line, const char *text)
{
    cb_buf_put_u8(line, '"');
    for (size_t i = 0; text[i] && i < VALUE_MAX_BYTES; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            cb_buf_printf(line, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            cb_buf_printf(line, "\\u%04x", c);
        else
            cb_buf_put_u8(line, c);
    }
    cb_buf_put_u8(line, '"');
}

static void put_field(cb_buf *line, const char *name, const char *value)
{
    cb_buf_put_u8(line, ',');
    put_json_string(line, name);
    cb_buf_put_u8(line, ':');
    put_json_string(line, value);
}

static void write_line(cb_buf *line)
{
    const uint8_t *at = line->data;
    size_t left = line->len;
    while (left > 0) {
        ssize_t done = write(STDERR_FILENO, at, left);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        at += done;
        left -= (size_t)done;
    }
}

static void log_pairs(cb_log_level level, const char *event, const char *message, va_list pairs)
{
    if (level < least_level)
        return;
    char time[CB_TIME_TEXT];
    char request[CB_ID_TEXT];
    cb_buf line = CB_BUF(LINE_MAX_BYTES);
    cb_time_text(cb_clock_wall_us(), time);
    cb_buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"pid\":%d", time,
                  level_names[level], program_name, (int)getpid());
    if (cb_log_request()) {
        cb_id_text(&current_request, request);
        put_field(&line, "request", request);
    }
    put_field(&line, "event", event);
    put_field(&line, "message", message ? message : "");
    for (const char *name = va_arg(pairs, const char *); name;
         name = va_arg(pairs, const char *)) {
        const char *value = va_arg(pairs, const char *);
        if (value)
            put_field(&line, name, value);
    }
    cb_buf_put_str(&line, "}\n");
    if (cb_buf_error(&line) == CB_OK)
        write_line(&line);
    cb_buf_free(&line);
}

void cb_log(cb_log_level level, const char *event, const char *message, ...)
{
    va_list pairs;
    va_start(pairs, message);
    log_pairs(level, event, message, pairs);
    va_end(pairs);
}

cb_error cb_log_failure(const char *event, cb_error error, const char *detail)
{
    cb_log(CB_LOG_ERROR, event, cb_error_text(error), "error", cb_error_code(error), "detail",
           detail, NULL);
    return error;
}
