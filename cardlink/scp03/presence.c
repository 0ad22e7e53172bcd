/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/scp03/presence.h"

#include "base/secret.h"

enum { VERSION = 0x01 };

cb_error cb_scp03_presence_put(cb_sm *sm, const cb_digest *context, cb_buf *out, cb_sm_mark *mark)
{
    return cb_sm_wrap_command(
        sm,
        &(cb_apdu){CB_SCP03_CLA, CB_SCP03_INS_PRESENCE, 0x00, 0x00, cb_digest_bytes(context), true},
        out, mark);
}

cb_error cb_scp03_presence_open(const cb_sm *sm, const cb_sm_mark *mark, cb_bytes answer,
                                const cb_digest *context, uint32_t *counter)
{
    cb_buf data = CB_BUF(CB_APDU_DATA_MAX + 1);
    *counter = 0;
    cb_error error = cb_sm_open_answer(sm, mark, answer, &data);
    if (error == CB_E_CARD_ANSWER)
        error = CB_E_CARD_PROOF; /* without the session's keys */
    if (!error) {
        cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&data));
        uint8_t version = cb_cursor_u8(&cursor);
        uint32_t sent = cb_cursor_u32(&cursor);
        cb_bytes echoed = cb_cursor_take(&cursor, CB_SHA256_SIZE);
        if (!cb_cursor_done(&cursor) || version != VERSION || sent == 0 ||
            !cb_equal(echoed, cb_digest_bytes(context)))
            error = CB_E_CARD_ANSWER;
        else
            *counter = sent;
    }
    cb_buf_free(&data);
    return error;
}

void cb_scp03_presence_answer(cb_buf *out, const cb_digest *context, uint32_t counter)
{
    cb_buf_put_u8(out, VERSION);
    cb_buf_put_u32(out, counter);
    cb_buf_put(out, cb_digest_bytes(context));
}
