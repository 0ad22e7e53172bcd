/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/apdu.h"

cb_error cb_apdu_read(cb_bytes bytes, cb_apdu *out)
{
    cb_cursor cursor = cb_cursor_over(bytes);
    *out = (cb_apdu){.cla = cb_cursor_u8(&cursor),
                     .ins = cb_cursor_u8(&cursor),
                     .p1 = cb_cursor_u8(&cursor),
                     .p2 = cb_cursor_u8(&cursor)};
    if (cursor.rest.len == 1) {
        out->le = true;
        cb_cursor_u8(&cursor);
    } else if (cursor.rest.len > 1) {
        uint8_t len = cb_cursor_u8(&cursor);
        if (len == 0)
            cb_cursor_fail(&cursor);
        out->data = cb_cursor_take(&cursor, len);
        if (cursor.rest.len == 1) {
            out->le = true;
            cb_cursor_u8(&cursor);
        }
    }
    if (cb_cursor_done(&cursor))
        return CB_OK;
    *out = (cb_apdu){0};
    return CB_E_FORMAT;
}

size_t cb_apdu_expected(cb_bytes bytes)
{
    cb_apdu apdu;
    if (cb_apdu_read(bytes, &apdu) || !apdu.le)
        return 0;
    uint8_t le = bytes.data[bytes.len - 1];
    return le > 0 ? le : 256;
}

void cb_apdu_put(cb_buf *buf, const cb_apdu *apdu)
{
    if (apdu->data.len > CB_APDU_DATA_MAX) {
        buf->error = buf->error ? buf->error : CB_E_TOO_LARGE;
        return;
    }
    cb_buf_put_u8(buf, apdu->cla);
    cb_buf_put_u8(buf, apdu->ins);
    cb_buf_put_u8(buf, apdu->p1);
    cb_buf_put_u8(buf, apdu->p2);
    if (apdu->data.len > 0) {
        cb_buf_put_u8(buf, (uint8_t)apdu->data.len);
        cb_buf_put(buf, apdu->data);
    }
    if (apdu->le)
        cb_buf_put_u8(buf, 0);
}
