/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/tlv.h"

static uint32_t read_tag(cb_cursor *cursor)
{
    uint32_t tag = cb_cursor_u8(cursor);
    if ((tag & 0x1F) != 0x1F)
        return tag;
    for (int i = 0; i < 2; i++) {
        uint8_t byte = cb_cursor_u8(cursor);
        tag = tag << 8 | byte;
        if (!(byte & 0x80))
            return tag;
    }
    cb_cursor_fail(cursor);
    return 0;
}

static size_t read_length(cb_cursor *cursor)
{
    uint8_t first = cb_cursor_u8(cursor);
    if (first < 0x80)
        return first;
    if (first == 0x81)
        return cb_cursor_u8(cursor);
    if (first == 0x82)
        return cb_cursor_u16(cursor);
    cb_cursor_fail(cursor);
    return 0;
}

bool cb_tlv_next(cb_cursor *cursor, cb_tlv *out)
{
    *out = (cb_tlv){0};
    if (cursor->failed || cursor->rest.len == 0)
        return false;
    uint32_t tag = read_tag(cursor);
    size_t len = read_length(cursor);
    cb_bytes value = cb_cursor_take(cursor, len);
    if (cursor->failed)
        return false;
    *out = (cb_tlv){tag, value};
    return true;
}

cb_bytes cb_tlv_expect(cb_cursor *cursor, uint32_t tag)
{
    cb_tlv object;
    if (!cb_tlv_next(cursor, &object) || object.tag != tag) {
        cb_cursor_fail(cursor);
        return (cb_bytes){0};
    }
    return object.value;
}

bool cb_tlv_find(cb_bytes data, uint32_t tag, cb_bytes *value)
{
    cb_cursor cursor = cb_cursor_over(data);
    cb_tlv object;
    while (cb_tlv_next(&cursor, &object)) {
        if (object.tag == tag) {
            *value = object.value;
            return true;
        }
    }
    return false;
}

void cb_tlv_put(cb_buf *buf, uint32_t tag, cb_bytes value)
{
    if (value.len > UINT16_MAX) {
        buf->error = buf->error ? buf->error : CB_E_TOO_LARGE;
        return;
    }
    if (tag > 0xFFFF)
        cb_buf_put_u8(buf, (uint8_t)(tag >> 16));
    if (tag > 0xFF)
        cb_buf_put_u8(buf, (uint8_t)(tag >> 8));
    cb_buf_put_u8(buf, (uint8_t)tag);
    if (value.len > 0xFF) {
        cb_buf_put_u8(buf, 0x82);
        cb_buf_put_u16(buf, (uint16_t)value.len);
    } else {
        if (value.len > 0x7F)
            cb_buf_put_u8(buf, 0x81);
        cb_buf_put_u8(buf, (uint8_t)value.len);
    }
    cb_buf_put(buf, value);
}
