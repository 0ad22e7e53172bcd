/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/leaf.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/text.h"

static void put_value(cb_buf *leaf, const char *value)
{
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '\\')
            cb_buf_put_str(leaf, "\\\\");
        else if (c < 0x20 || c == 0x7F)
            cb_buf_printf(leaf, "\\x%02x", c);
        else
            cb_buf_put_u8(leaf, c);
    }
}

void cb_leaf_text(cb_buf *leaf, const char *name, const char *value)
{
    cb_buf_put_str(leaf, name);
    cb_buf_put_u8(leaf, ' ');
    put_value(leaf, value);
    cb_buf_put_u8(leaf, '\n');
}

void cb_leaf_begin(cb_buf *leaf, const char *kind, int64_t time)
{
    char text[CB_TIME_TEXT];
    cb_time_text(time, text);
    cb_leaf_text(leaf, "cardbroker-evidence", "1");
    cb_leaf_text(leaf, "kind", kind);
    cb_leaf_text(leaf, "time", text);
}

void cb_leaf_number(cb_buf *leaf, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    cb_leaf_text(leaf, name, text);
}

void cb_leaf_id(cb_buf *leaf, const char *name, const cb_id *value)
{
    char text[CB_ID_TEXT];
    cb_id_text(value, text);
    cb_leaf_text(leaf, name, text);
}

void cb_leaf_hex(cb_buf *leaf, const char *name, cb_bytes value)
{
    cb_buf_put_str(leaf, name);
    cb_buf_put_u8(leaf, ' ');
    cb_buf_put_hex(leaf, value);
    cb_buf_put_u8(leaf, '\n');
}

/* The next line, without its end. False when there is no whole line any more. */
static bool next_line(cb_cursor *cursor, cb_bytes *line)
{
    if (cursor->failed || cursor->rest.len == 0)
        return false;
    const uint8_t *end = memchr(cursor->rest.data, '\n', cursor->rest.len);
    if (!end) {
        cb_cursor_fail(cursor);
        return false;
    }
    *line = cb_cursor_take(cursor, (size_t)(end - cursor->rest.data));
    cb_cursor_u8(cursor);
    return true;
}

static cb_error unescape(cb_cursor value, cb_buf *out)
{
    while (value.rest.len > 0 && !value.failed) {
        uint8_t c = cb_cursor_u8(&value);
        if (c != '\\') {
            cb_buf_put_u8(out, c);
            continue;
        }
        c = cb_cursor_u8(&value);
        if (c == '\\')
            cb_buf_put_u8(out, c);
        else if (c != 'x' || cb_unhex(cb_cursor_take(&value, 2), out))
            return CB_E_FORMAT;
    }
    return value.failed ? CB_E_FORMAT : cb_buf_error(out);
}

/* The value as it stands there. */
static cb_error find(cb_bytes leaf, const char *name, cb_cursor *value)
{
    cb_cursor cursor = cb_cursor_over(leaf);
    cb_bytes line;
    size_t len = strlen(name);
    while (next_line(&cursor, &line)) {
        if (line.len <= len || memcmp(line.data, name, len) != 0 || line.data[len] != ' ')
            continue;
        *value = cb_cursor_over(line);
        cb_cursor_take(value, len + 1);
        return CB_OK;
    }
    return cursor.failed ? CB_E_FORMAT : CB_E_NOT_FOUND;
}

cb_error cb_leaf_find(cb_bytes leaf, const char *name, cb_buf *value)
{
    cb_cursor cursor;
    cb_error error = find(leaf, name, &cursor);
    return error ? error : unescape(cursor, value);
}

/* The next byte of a value; false where an escape is none. */
static bool next_byte(cb_cursor *value, uint8_t *out)
{
    uint8_t c = cb_cursor_u8(value);
    if (c == '\\') {
        c = cb_cursor_u8(value);
        cb_bytes digits = c == 'x' ? cb_cursor_take(value, 2) : (cb_bytes){0};
        char text[3] = {digits.len == 2 ? (char)digits.data[0] : 0,
                        digits.len == 2 ? (char)digits.data[1] : 0, 0};
        if (c == 'x' ? cb_unhex_exact(text, &c, 1) != CB_OK : c != '\\')
            return false;
    }
    *out = c;
    return !value->failed;
}

cb_error cb_leaf_find_text(cb_bytes leaf, const char *name, char *out, size_t size)
{
    cb_cursor value;
    size_t len = 0;
    cb_error error = find(leaf, name, &value);
    while (!error && value.rest.len > 0) {
        uint8_t c = 0;
        if (!next_byte(&value, &c) || c == 0)
            error = CB_E_FORMAT;
        else if (len + 1 >= size)
            error = CB_E_TOO_LARGE;
        else
            out[len++] = (char)c;
    }
    if (!error && size > 0)
        out[len] = 0;
    return error;
}
