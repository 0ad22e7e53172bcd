/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/scp03/state.h"

#include "base/secret.h"

enum { VERSION = 1, KEY_VERSION_MAX = 0x7F };

void cb_vscp03_state_put(cb_buf *buf, const cb_vscp03_state *state)
{
    cb_buf_put_u8(buf, VERSION);
    cb_buf_put_u8(buf, state->keys.len);
    cb_buf_put(buf, cb_bytes_make(state->keys.enc, state->keys.len));
    cb_buf_put(buf, cb_bytes_make(state->keys.mac, state->keys.len));
    cb_buf_put(buf, CB_BYTES_OF(state->kdd));
    cb_buf_put_u8(buf, state->key_version);
    cb_buf_put_u8(buf, state->i);
    cb_buf_put_u32(buf, state->sequence);
    cb_buf_put_u32(buf, state->counter);
    cb_buf_put_u8(buf, state->failures);
}

static void get_keys(cb_cursor *cursor, cb_scp03_keys *keys)
{
    keys->len = cb_cursor_u8(cursor);
    if (keys->len != 16 && keys->len != 24 && keys->len != 32) {
        cb_cursor_fail(cursor);
        return;
    }
    cb_cursor_copy(cursor, keys->enc, keys->len);
    cb_cursor_copy(cursor, keys->mac, keys->len);
}

cb_error cb_vscp03_state_parse(cb_bytes content, cb_vscp03_state *out)
{
    cb_cursor cursor = cb_cursor_over(content);
    *out = (cb_vscp03_state){0};
    bool good = cb_cursor_u8(&cursor) == VERSION;
    get_keys(&cursor, &out->keys);
    cb_cursor_copy(&cursor, out->kdd, sizeof out->kdd);
    out->key_version = cb_cursor_u8(&cursor);
    out->i = cb_cursor_u8(&cursor);
    out->sequence = cb_cursor_u32(&cursor);
    out->counter = cb_cursor_u32(&cursor);
    out->failures = cb_cursor_u8(&cursor);
    if (good && cb_cursor_done(&cursor) && out->key_version >= 1 &&
        out->key_version <= KEY_VERSION_MAX &&
        (out->i & (uint8_t)~CB_SCP03_I_PSEUDO_RANDOM) == CB_SCP03_I_ANSWERS &&
        out->sequence <= CB_SCP03_SEQUENCE_MAX && out->failures <= CB_VSCP03_FAILURES_MAX)
        return CB_OK;
    cb_wipe(out, sizeof *out);
    return CB_E_FORMAT;
}
