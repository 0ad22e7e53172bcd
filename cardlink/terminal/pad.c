/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/pad.h"

#include <PCSC/reader.h>

#include "cardlink/script.h"

enum {
    HEADER = 4,
    BYTES = 0x80,        /* bmFormatString: positions count bytes */
    ASCII = 0x02,        /* and digits are ASCII, from the first byte of the data on */
    AT_KEY = 0x02,       /* bEntryValidationCondition: the entry ends with a key */
    DEFAULT_TEXT = 0xFF, /* bNumberMessage: the reader's own */
    SW_TIMEOUT = 0x6400,
    SW_CANCELLED = 0x6401,
    SW_LENGTH = 0x6403,
    SW_STRUCTURE = 0x6B80
};

bool cb_pad_find(cb_bytes features, uint32_t *code)
{
    cb_cursor from = cb_cursor_over(features);
    if (features.len > CB_PAD_FEATURES_MAX)
        return false;
    while (from.rest.len > 0) {
        uint8_t tag = cb_cursor_u8(&from);
        uint8_t len = cb_cursor_u8(&from);
        cb_cursor value = cb_cursor_over(cb_cursor_take(&from, len));
        *code = cb_cursor_u32(&value);
        if (!cb_cursor_ok(&from))
            return false;
        if (tag == FEATURE_VERIFY_PIN_DIRECT)
            return len == sizeof *code;
    }
    return false;
}

cb_error cb_pad_block(cb_bytes header, bool padded, cb_buf *out)
{
    uint8_t data[HEADER + 1 + CB_PAD_PADDED_MOST];
    if (header.len != HEADER)
        return CB_E_FORMAT;
    memcpy(data, header.data, HEADER);
    data[HEADER] = CB_PAD_PADDED_MOST;
    memset(data + HEADER + 1, 0xFF, CB_PAD_PADDED_MOST);
    size_t len = padded ? sizeof data : HEADER;
    unsigned least = padded ? CB_PAD_PADDED_LEAST : CB_PAD_ASCII_LEAST;
    unsigned most = padded ? CB_PAD_PADDED_MOST : CB_PAD_ASCII_MOST;
    PIN_VERIFY_STRUCTURE block = {.bTimerOut = CB_PAD_SECONDS,
                                  .bTimerOut2 = CB_PAD_SECONDS / 2,
                                  .bmFormatString = padded ? BYTES | ASCII : ASCII,
                                  .bmPINBlockString = padded ? CB_PAD_PADDED_MOST : 0,
                                  .wPINMaxExtraDigit = (uint16_t)(least << 8 | most),
                                  .bEntryValidationCondition = AT_KEY,
                                  .bNumberMessage = DEFAULT_TEXT,
                                  .wLangId = 0,
                                  .ulDataLength = (uint32_t)len};
    cb_buf_put(out, cb_bytes_make(&block, offsetof(PIN_VERIFY_STRUCTURE, abData)));
    cb_buf_put(out, cb_bytes_make(data, len));
    return cb_buf_error(out);
}

cb_error cb_pad_outcome(cb_bytes answer)
{
    if (answer.len != 2)
        return CB_E_READER;
    switch (cb_answer_status(answer)) {
    case SW_TIMEOUT:
    case SW_CANCELLED:
        return CB_E_PIN_CANCELLED;
    case SW_LENGTH:
        return CB_E_PIN_FORMAT;
    case SW_STRUCTURE:
        return CB_E_READER;
    default:
        return CB_OK;
    }
}
