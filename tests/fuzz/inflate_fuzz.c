/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates that a card keeps compressed: u16 room, then what the card has. Nothing is written
 * that there is no room for, and nothing comes of what does not begin as gzip does.
 */
#include <stdlib.h>

#include "base/cursor.h"
#include "cardlink/terminal/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(data, size));
    size_t room = cb_cursor_u16(&cursor);
    cb_bytes in = cb_cursor_rest(&cursor);
    cb_buf out = CB_BUF(room);
    cb_error error = cb_inflate(in, &out);
    if (out.len > room || (!error && !cb_is_deflated(in)))
        abort();
    if (error != CB_OK && error != CB_E_CARD_ANSWER && error != CB_E_TOO_LARGE)
        abort();
    cb_buf_free(&out);
    return 0;
}
