/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/text.h"

#include <stdlib.h>

#include "base/secret.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void cb_hex(cb_bytes bytes, char *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = hex_digits[bytes.data[i] >> 4];
        out[2 * i + 1] = hex_digits[bytes.data[i] & 15];
    }
    out[2 * bytes.len] = 0;
}

void cb_buf_put_hex(cb_buf *buf, cb_bytes bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        cb_buf_put_u8(buf, (uint8_t)hex_digits[bytes.data[i] >> 4]);
        cb_buf_put_u8(buf, (uint8_t)hex_digits[bytes.data[i] & 15]);
    }
}

static bool unhex_into(cb_bytes text, uint8_t *out)
{
    for (size_t i = 0; i + 1 < text.len; i += 2) {
        int high = hex_value(text.data[i]);
        int low = hex_value(text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    return true;
}

cb_error cb_unhex(cb_bytes text, cb_buf *out)
{
    if (text.len % 2 != 0)
        return CB_E_FORMAT;
    size_t before = out->len;
    uint8_t *at = cb_buf_extend(out, text.len / 2);
    if (!at)
        return cb_buf_error(out);
    if (!unhex_into(text, at)) {
        cb_wipe(at, text.len / 2);
        out->len = before;
        return CB_E_FORMAT;
    }
    return CB_OK;
}

cb_error cb_unhex_exact(const char *text, void *out, size_t len)
{
    cb_bytes bytes = cb_bytes_str(text);
    if (bytes.len != 2 * len || !unhex_into(bytes, out)) {
        cb_wipe(out, len);
        return CB_E_FORMAT;
    }
    return CB_OK;
}

static void put_base64(cb_buf *buf, cb_bytes in, const char *digits, bool pad)
{
    for (size_t i = 0; i < in.len; i += 3) {
        size_t have = in.len - i < 3 ? in.len - i : 3;
        uint32_t group = (uint32_t)in.data[i] << 16;
        if (have > 1)
            group |= (uint32_t)in.data[i + 1] << 8;
        if (have > 2)
            group |= in.data[i + 2];
        for (size_t k = 0; k < 4; k++) {
            if (k <= have)
                cb_buf_put_u8(buf, (uint8_t)digits[group >> (18 - 6 * k) & 63]);
            else if (pad)
                cb_buf_put_u8(buf, '=');
        }
    }
}

void cb_buf_put_base64(cb_buf *buf, cb_bytes bytes)
{
    put_base64(buf, bytes, base64_digits, true);
}

void cb_buf_put_base64url(cb_buf *buf, cb_bytes bytes)
{
    put_base64(buf, bytes, base64url_digits, false);
}

/* text has no padding here. */
static bool unbase64_into(cb_bytes text, const char *digits, uint8_t *out)
{
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = text.data[i] ? strchr(digits, text.data[i]) : NULL;
        if (!digit)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            *out++ = (uint8_t)(bits >> held);
        }
    }
    return (bits & ((1u << held) - 1)) == 0;
}

static cb_error unbase64(cb_bytes text, const char *digits, cb_buf *out)
{
    if (text.len % 4 == 1)
        return CB_E_FORMAT;
    size_t before = out->len;
    size_t len = text.len / 4 * 3 + (text.len % 4 ? text.len % 4 - 1 : 0);
    uint8_t *at = cb_buf_extend(out, len);
    if (!at)
        return cb_buf_error(out);
    if (!unbase64_into(text, digits, at)) {
        cb_wipe(at, len);
        out->len = before;
        return CB_E_FORMAT;
    }
    return CB_OK;
}

cb_error cb_unbase64(cb_bytes text, cb_buf *out)
{
    if (text.len % 4 != 0)
        return CB_E_FORMAT;
    for (int i = 0; i < 2 && text.len > 0 && text.data[text.len - 1] == '='; i++)
        text.len--;
    return unbase64(text, base64_digits, out);
}

cb_error cb_unbase64url(cb_bytes text, cb_buf *out)
{
    return unbase64(text, base64url_digits, out);
}

size_t cb_utf8_read(const char *text, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *at = (const uint8_t *)text;
    size_t len = at[0] < 0x80 ? 1 : at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (len == 1) {
        *out = at[0];
        return 1;
    }
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;
    uint32_t value = at[0] & (0xFFU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3FU);
    }
    if (value < least[len] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *out = value;
    return len;
}

bool cb_utf8_acts(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD || c == 0x61C ||
           (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
           (c >= 0xE0000 && c <= 0xE007F);
}

char *cb_text_copy(cb_bytes text)
{
    char *copy = malloc(text.len + 1);
    if (!copy)
        return NULL;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    return copy;
}
