/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A byte buffer that grows as it is written, up to a limit.
 *
 * Writing does not return an error at each call: a write that does not fit, or for which there is
 * no memory, marks the buffer as failed and every later write is ignored. The writer checks once,
 * at the end, with cb_buf_error. Whatever the buffer held is wiped when it grows, is reset or freed,
 * so that it may hold secrets.
 *
 * Integers are written most significant byte first.
 */
#ifndef CB_BASE_BUF_H
#define CB_BASE_BUF_H

#include "base/bytes.h"
#include "base/error.h"

typedef struct cb_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;     /* most bytes it may ever hold */
    cb_error error; /* the first thing that went wrong */
} cb_buf;

/* An empty buffer that may grow to max bytes. Allocates nothing yet. */
#define CB_BUF(limit) ((cb_buf){.max = (limit)})
void cb_buf_init(cb_buf *buf, size_t max);

/* Wipes and releases; the buffer is empty afterwards and may be written again. NULL is allowed. */
void cb_buf_free(cb_buf *buf);

/* Wipes what it holds and forgets an error, but keeps the memory. */
void cb_buf_reset(cb_buf *buf);

void cb_buf_put(cb_buf *buf, cb_bytes bytes);
void cb_buf_put_u8(cb_buf *buf, uint8_t value);
void cb_buf_put_u16(cb_buf *buf, uint16_t value);
void cb_buf_put_u32(cb_buf *buf, uint32_t value);
void cb_buf_put_u64(cb_buf *buf, uint64_t value);

/* A 32-bit length, then the bytes. Read by cb_cursor_var. */
void cb_buf_put_var(cb_buf *buf, cb_bytes bytes);

/* Characters of a string without its final zero. */
void cb_buf_put_str(cb_buf *buf, const char *text);

/* Printed characters, without a final zero. */
void cb_buf_printf(cb_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for len more bytes, to be filled by the caller; NULL if it failed. Counts as written. */
uint8_t *cb_buf_extend(cb_buf *buf, size_t len);

/* Ends the content with a zero byte that is not counted in len, and returns it as a string; NULL if
 * the buffer failed. Valid until the next write. */
const char *cb_buf_cstr(cb_buf *buf);

/* CB_OK, CB_E_TOO_LARGE or CB_E_MEMORY. */
static inline cb_error cb_buf_error(const cb_buf *buf)
{
    return buf->error;
}

static inline cb_bytes cb_buf_bytes(const cb_buf *buf)
{
    return (cb_bytes){buf->data, buf->len};
}

#endif
