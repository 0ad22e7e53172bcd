/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/split.h"

#include <string.h>

cb_bytes cb_take_until(cb_cursor *cursor, char stop)
{
    const uint8_t *at =
        cursor->rest.len > 0 ? memchr(cursor->rest.data, stop, cursor->rest.len) : NULL;
    cb_bytes part =
        cb_cursor_take(cursor, at ? (size_t)(at - cursor->rest.data) : cursor->rest.len);
    if (at)
        cb_cursor_u8(cursor);
    return part;
}
