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

cb_error cb_leaf_find(cb_bytes leaf, const char *name, cb_buf *value)
{
    cb_cursor cursor = cb_cursor_over(leaf);
    cb_bytes line;
    size_t len = strlen(name);
    while (next_line(&cursor, &line)) {
        if (line.len <= len || memcmp(line.data, name, len) != 0 || line.data[len] != ' ')
            continue;
        cb_cursor rest = cb_cursor_over(line);
        cb_cursor_take(&rest, len + 1);
        return unescape(rest, value);
    }
    return cursor.failed ? CB_E_FORMAT : CB_E_NOT_FOUND;
}
