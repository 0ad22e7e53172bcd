/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"

enum { FIRST_CAPACITY = 256 };

void cb_buf_init(cb_buf *buf, size_t max)
{
    *buf = CB_BUF(max);
}

void cb_buf_free(cb_buf *buf)
{
    if (!buf)
        return;
    cb_wipe(buf->data, buf->cap);
    free(buf->data);
    *buf = CB_BUF(buf->max);
}

void cb_buf_reset(cb_buf *buf)
{
    cb_wipe(buf->data, buf->len);
    buf->len = 0;
    buf->error = CB_OK;
}

/* realloc would leave a copy of the old content behind, so the move is done by hand. */
static bool grow(cb_buf *buf, size_t need)
{
    size_t cap = buf->cap ? buf->cap : FIRST_CAPACITY;
    while (cap < need)
        cap *= 2;
    uint8_t *data = malloc(cap);
    if (!data) {
        buf->error = CB_E_MEMORY;
        return false;
    }
    if (buf->len > 0)
        memcpy(data, buf->data, buf->len);
    cb_wipe(buf->data, buf->cap);
    free(buf->data);
    buf->data = data;
    buf->cap = cap;
    return true;
}

uint8_t *cb_buf_extend(cb_buf *buf, size_t len)
{
    if (buf->error)
        return NULL;
    if (len > buf->max || buf->len > buf->max - len) {
        buf->error = CB_E_TOO_LARGE;
        return NULL;
    }
    if ((buf->len + len > buf->cap || !buf->data) && !grow(buf, buf->len + len))
        return NULL;
    uint8_t *at = buf->data + buf->len;
    buf->len += len;
    return at;
}

void cb_buf_put(cb_buf *buf, cb_bytes bytes)
{
    uint8_t *at = cb_buf_extend(buf, bytes.len);
    if (at && bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
}

static void put_integer(cb_buf *buf, uint64_t value, size_t size)
{
    uint8_t *at = cb_buf_extend(buf, size);
    for (size_t i = size; at && i-- > 0; value >>= 8)
        at[i] = (uint8_t)value;
}

void cb_buf_put_u8(cb_buf *buf, uint8_t value)
{
    put_integer(buf, value, 1);
}

void cb_buf_put_u16(cb_buf *buf, uint16_t value)
{
    put_integer(buf, value, 2);
}

void cb_buf_put_u32(cb_buf *buf, uint32_t value)
{
    put_integer(buf, value, 4);
}

void cb_buf_put_u64(cb_buf *buf, uint64_t value)
{
    put_integer(buf, value, 8);
}

void cb_buf_put_var(cb_buf *buf, cb_bytes bytes)
{
    if (bytes.len > UINT32_MAX) {
        buf->error = CB_E_TOO_LARGE;
        return;
    }
    cb_buf_put_u32(buf, (uint32_t)bytes.len);
    cb_buf_put(buf, bytes);
}

void cb_buf_put_str(cb_buf *buf, const char *text)
{
    cb_buf_put(buf, cb_bytes_str(text));
}

void cb_buf_printf(cb_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        buf->error = buf->error ? buf->error : CB_E_INTERNAL;
        return;
    }
    /* vsnprintf writes a final zero, which is then not counted. */
    uint8_t *at = cb_buf_extend(buf, (size_t)len + 1);
    if (!at)
        return;
    va_start(args, format);
    vsnprintf((char *)at, (size_t)len + 1, format, args);
    va_end(args);
    buf->len--;
}

const char *cb_buf_cstr(cb_buf *buf)
{
    if (buf->error)
        return NULL;
    if ((buf->len == buf->cap || !buf->data) && !grow(buf, buf->len + 1))
        return NULL;
    buf->data[buf->len] = 0;
    return (const char *)buf->data;
}
