/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/script.h"

void cb_script_put(cb_buf *buf, uint8_t flags, cb_bytes apdu)
{
    cb_script_put_when(buf, flags, (cb_bytes){0}, apdu);
}

void cb_script_put_when(cb_buf *buf, uint8_t flags, cb_bytes when, cb_bytes apdu)
{
    if (buf->len == 0)
        cb_buf_put_u8(buf, 0);
    else if (buf->data[0] >= CB_SCRIPT_COMMANDS_MAX && !buf->error)
        buf->error = CB_E_TOO_LARGE;
    if (when.len > CB_SCRIPT_WHEN_MAX && !buf->error)
        buf->error = CB_E_TOO_LARGE;
    cb_buf_put_u8(buf, (uint8_t)(flags | (when.len > 0 ? CB_SCRIPT_WHEN : 0)));
    if (when.len > 0) {
        cb_buf_put_u8(buf, (uint8_t)when.len);
        cb_buf_put(buf, when);
    }
    cb_buf_put_var(buf, apdu);
    if (!cb_buf_error(buf))
        buf->data[0]++;
}

static cb_bytes read_when(cb_cursor *cursor)
{
    size_t len = cb_cursor_u8(cursor);
    if (len == 0 || len > CB_SCRIPT_WHEN_MAX)
        cb_cursor_fail(cursor);
    return cb_cursor_take(cursor, len);
}

cb_error cb_script_read(cb_bytes encoded, size_t item_max, cb_script *out)
{
    out->count = 0;
    if (encoded.len > CB_SCRIPT_BYTES_MAX)
        return CB_E_TOO_LARGE;
    if (encoded.len == 0)
        return CB_OK;
    cb_cursor cursor = cb_cursor_over(encoded);
    size_t count = cb_cursor_u8(&cursor);
    if (count > CB_SCRIPT_COMMANDS_MAX)
        return CB_E_TOO_LARGE;
    for (size_t i = 0; i < count; i++) {
        uint8_t flags = cb_cursor_u8(&cursor);
        out->item[i].flags = flags;
        out->item[i].when = flags & CB_SCRIPT_WHEN ? read_when(&cursor) : (cb_bytes){0};
        out->item[i].apdu = cb_cursor_var(&cursor, item_max);
    }
    if (!cb_cursor_done(&cursor))
        return CB_E_FORMAT;
    out->count = count;
    return CB_OK;
}

bool cb_script_plays(const cb_script_item *item, cb_bytes first_answer)
{
    cb_bytes data = cb_answer_data(first_answer);
    if (!(item->flags & CB_SCRIPT_WHEN))
        return true;
    for (size_t at = 0; at + item->when.len <= data.len; at++) {
        if (memcmp(data.data + at, item->when.data, item->when.len) == 0)
            return true;
    }
    return false;
}

uint16_t cb_answer_status(cb_bytes answer)
{
    if (answer.len < 2)
        return 0;
    return (uint16_t)(answer.data[answer.len - 2] << 8 | answer.data[answer.len - 1]);
}

cb_bytes cb_answer_data(cb_bytes answer)
{
    return answer.len < 2 ? (cb_bytes){0} : cb_bytes_make(answer.data, answer.len - 2);
}
