/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/hello.h"

#include <ctype.h>

#include "base/cursor.h"

enum {
    RECORD_HEADER = 5,
    CONTENT_HANDSHAKE = 22,
    CLIENT_HELLO = 1,
    EXTENSION_SERVER_NAME = 0,
    NAME_HOST = 0,
    RANDOM_AND_VERSION = 34
};

static cb_bytes take8(cb_cursor *cursor) { return cb_cursor_take(cursor, cb_cursor_u8(cursor)); }

static cb_bytes take16(cb_cursor *cursor) { return cb_cursor_take(cursor, cb_cursor_u16(cursor)); }

static void copy_name(cb_bytes host, char name[CB_SERVER_NAME])
{
    if (host.len >= CB_SERVER_NAME || memchr(host.data, 0, host.len))
        return;
    for (size_t i = 0; i < host.len; i++)
        name[i] = (char)tolower(host.data[i]);
    name[host.len] = 0;
}

static void read_names(cb_bytes extension, char name[CB_SERVER_NAME])
{
    cb_cursor outer = cb_cursor_over(extension);
    cb_cursor list = cb_cursor_over(take16(&outer));
    while (cb_cursor_ok(&list) && list.rest.len > 0) {
        uint8_t kind = cb_cursor_u8(&list);
        cb_bytes host = take16(&list);
        if (cb_cursor_ok(&list) && kind == NAME_HOST && host.len > 0) {
            copy_name(host, name);
            return;
        }
    }
}

static cb_hello read_hello(cb_bytes hello, char name[CB_SERVER_NAME])
{
    cb_cursor cursor = cb_cursor_over(hello);
    cb_cursor_take(&cursor, RANDOM_AND_VERSION);
    take8(&cursor);  /* session id */
    take16(&cursor); /* cipher suites */
    take8(&cursor);  /* compression */
    cb_cursor list = cb_cursor_over(take16(&cursor));
    while (cb_cursor_ok(&list) && list.rest.len > 0) {
        uint16_t type = cb_cursor_u16(&list);
        cb_bytes extension = take16(&list);
        if (cb_cursor_ok(&list) && type == EXTENSION_SERVER_NAME)
            read_names(extension, name);
    }
    return cb_cursor_ok(&cursor) && cb_cursor_ok(&list) ? CB_HELLO_READ : CB_HELLO_OTHER;
}

cb_hello cb_hello_name(cb_bytes seen, char name[CB_SERVER_NAME])
{
    name[0] = 0;
    if (seen.len > 0 && seen.data[0] != CONTENT_HANDSHAKE)
        return CB_HELLO_OTHER;
    if (seen.len < RECORD_HEADER)
        return CB_HELLO_INCOMPLETE;
    cb_cursor cursor = cb_cursor_over(seen);
    cb_cursor_take(&cursor, 3);
    uint16_t length = cb_cursor_u16(&cursor);
    if (length > CB_HELLO_MAX - RECORD_HEADER)
        return CB_HELLO_OTHER;
    if (cursor.rest.len < length)
        return CB_HELLO_INCOMPLETE;
    cb_cursor record = cb_cursor_over(cb_cursor_take(&cursor, length));
    uint8_t type = cb_cursor_u8(&record);
    uint32_t high = cb_cursor_u8(&record);
    size_t size = (size_t)(high << 16) | cb_cursor_u16(&record);
    cb_bytes hello = cb_cursor_take(&record, size);
    if (!cb_cursor_ok(&record) || type != CLIENT_HELLO)
        return CB_HELLO_OTHER;
    return read_hello(hello, name);
}
