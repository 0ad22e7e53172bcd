/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/cursor.h"

cb_bytes cb_cursor_take(cb_cursor *cursor, size_t len)
{
    if (cursor->failed || len > cursor->rest.len) {
        cb_cursor_fail(cursor);
        return (cb_bytes){0};
    }
    cb_bytes taken = {cursor->rest.data, len};
    cursor->rest.len -= len;
    if (len > 0)
        cursor->rest.data += len;
    return taken;
}

static uint64_t integer(cb_cursor *cursor, size_t size)
{
    cb_bytes bytes = cb_cursor_take(cursor, size);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | bytes.data[i];
    return value;
}

uint8_t cb_cursor_u8(cb_cursor *cursor)
{
    return (uint8_t)integer(cursor, 1);
}

uint16_t cb_cursor_u16(cb_cursor *cursor)
{
    return (uint16_t)integer(cursor, 2);
}

uint32_t cb_cursor_u32(cb_cursor *cursor)
{
    return (uint32_t)integer(cursor, 4);
}

uint64_t cb_cursor_u64(cb_cursor *cursor)
{
    return integer(cursor, 8);
}

void cb_cursor_copy(cb_cursor *cursor, void *out, size_t len)
{
    cb_bytes bytes = cb_cursor_take(cursor, len);
    if (bytes.len == len && len > 0)
        memcpy(out, bytes.data, len);
    else
        memset(out, 0, len);
}

cb_bytes cb_cursor_var(cb_cursor *cursor, size_t max)
{
    uint32_t len = cb_cursor_u32(cursor);
    if (len > max) {
        cb_cursor_fail(cursor);
        return (cb_bytes){0};
    }
    return cb_cursor_take(cursor, len);
}

cb_bytes cb_cursor_rest(cb_cursor *cursor)
{
    return cb_cursor_take(cursor, cursor->rest.len);
}
