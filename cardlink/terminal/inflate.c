/* SPDX-License-Identifier: GPL-3.0-or-later */
#define ZLIB_CONST
#include "cardlink/terminal/inflate.h"

#include <zlib.h>


enum { GZIP_ALONE = 16, PIECE = 512 };

bool cb_is_deflated(cb_bytes certificate)
{
    return certificate.len >= 2 && certificate.data[0] == 0x1F && certificate.data[1] == 0x8B;
}

cb_error cb_inflate(cb_bytes in, cb_buf *out)
{
    uint8_t piece[PIECE];
    int state = Z_OK;
    z_stream stream = {.next_in = in.data, .avail_in = (uInt)in.len};
    if (inflateInit2(&stream, GZIP_ALONE + MAX_WBITS) != Z_OK)
        return CB_E_MEMORY;
    while (state == Z_OK && !cb_buf_error(out)) {
        stream.next_out = piece;
        stream.avail_out = sizeof piece;
        state = inflate(&stream, Z_NO_FLUSH);
        cb_buf_put(out, cb_bytes_make(piece, sizeof piece - stream.avail_out));
    }
    if (state == Z_STREAM_END)
        cb_buf_put(out, cb_bytes_make(stream.next_in, stream.avail_in));
    inflateEnd(&stream);
    if (state == Z_MEM_ERROR)
        return CB_E_MEMORY;
    return cb_buf_error(out) ? cb_buf_error(out) : state == Z_STREAM_END ? CB_OK : CB_E_CARD_ANSWER;
}
