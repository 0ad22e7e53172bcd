/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/script.h"

void cb_script_put(cb_buf *buf, uint8_t flags, cb_bytes apdu)
{
    if (buf->len == 0)
        cb_buf_put_u8(buf, 0);
    else if (buf->data[0] >= CB_SCRIPT_COMMANDS_MAX && !buf->error)
        buf->error = CB_E_TOO_LARGE;
    cb_buf_put_u8(buf, flags);
    cb_buf_put_var(buf, apdu);
    if (!cb_buf_error(buf))
        buf->data[0]++;
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
        out->item[i].flags = cb_cursor_u8(&cursor);
        out->item[i].apdu = cb_cursor_var(&cursor, item_max);
    }
    if (!cb_cursor_done(&cursor))
        return CB_E_FORMAT;
    out->count = count;
    return CB_OK;
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
