/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/x509/der.h"

#include <stdlib.h>

#include "base/tlv.h"

static size_t read_length(cb_cursor *cursor)
{
    uint8_t first = cb_cursor_u8(cursor);
    if (first < 0x80)
        return first;
    unsigned count = first & 0x7F;
    size_t len = 0;
    cb_bytes bytes = cb_cursor_take(cursor, count);
    if (count == 0 || count > 4 || bytes.len != count || bytes.data[0] == 0)
        cb_cursor_fail(cursor);
    else
        for (unsigned i = 0; i < count; i++)
            len = len << 8 | bytes.data[i];
    if (len < 0x80)
        cb_cursor_fail(cursor);
    return len;
}

bool cb_der_next(cb_cursor *cursor, cb_der *out)
{
    *out = (cb_der){0};
    if (cursor->failed || cursor->rest.len == 0)
        return false;
    cb_bytes all = cursor->rest;
    uint8_t tag = cb_cursor_u8(cursor);
    size_t len = read_length(cursor);
    cb_bytes value = cb_cursor_take(cursor, len);
    if ((tag & 0x1F) == 0x1F)
        cb_cursor_fail(cursor);
    if (cursor->failed)
        return false;
    *out = (cb_der){tag, value, {all.data, all.len - cursor->rest.len}};
    return true;
}

bool cb_der_is(const cb_cursor *cursor, uint8_t tag)
{
    return !cursor->failed && cursor->rest.len > 0 && cursor->rest.data[0] == tag;
}

static cb_der expect(cb_cursor *cursor, uint8_t tag)
{
    cb_der object;
    if (cb_der_next(cursor, &object) && object.tag == tag)
        return object;
    cb_cursor_fail(cursor);
    return (cb_der){0};
}

cb_bytes cb_der_expect(cb_cursor *cursor, uint8_t tag) { return expect(cursor, tag).value; }

cb_bytes cb_der_whole(cb_cursor *cursor, uint8_t tag) { return expect(cursor, tag).whole; }

bool cb_der_optional(cb_cursor *cursor, uint8_t tag, cb_bytes *value)
{
    if (!cb_der_is(cursor, tag))
        return false;
    *value = cb_der_expect(cursor, tag);
    return cb_cursor_ok(cursor);
}

cb_cursor cb_der_open(cb_bytes data, uint8_t tag)
{
    cb_cursor outer = cb_cursor_over(data);
    cb_cursor inner = cb_cursor_over(cb_der_expect(&outer, tag));
    if (!cb_cursor_done(&outer))
        cb_cursor_fail(&inner);
    return inner;
}

/* Not in its shortest form (X.690, 8.3.2), or negative. */
static bool is_unsigned(cb_bytes value)
{
    if (value.len == 0 || value.data[0] & 0x80)
        return false;
    return value.len == 1 || value.data[0] != 0 || value.data[1] & 0x80;
}

cb_bytes cb_der_unsigned(cb_cursor *cursor, size_t most)
{
    cb_bytes value = cb_der_expect(cursor, CB_DER_INTEGER);
    if (!is_unsigned(value)) {
        cb_cursor_fail(cursor);
        return (cb_bytes){0};
    }
    cb_cursor digits = cb_cursor_over(value);
    if (value.len > 1 && value.data[0] == 0)
        cb_cursor_u8(&digits);
    if (digits.rest.len > most)
        cb_cursor_fail(cursor);
    return cursor->failed ? (cb_bytes){0} : digits.rest;
}

bool cb_der_small(cb_bytes value, uint16_t *out)
{
    if (!is_unsigned(value) || value.len > 3)
        return false;
    uint32_t number = 0;
    for (size_t i = 0; i < value.len; i++)
        number = number << 8 | value.data[i];
    *out = (uint16_t)number;
    return number <= UINT16_MAX;
}

bool cb_der_flag(cb_cursor *cursor)
{
    cb_bytes value;
    if (!cb_der_optional(cursor, CB_DER_BOOLEAN, &value))
        return false;
    if (value.len != 1 || (value.data[0] != 0xFF && value.data[0] != 0))
        cb_cursor_fail(cursor);
    return cb_cursor_ok(cursor) && value.data[0] == 0xFF;
}

cb_bytes cb_der_bits(cb_cursor *cursor)
{
    cb_cursor bits = cb_cursor_over(cb_der_expect(cursor, CB_DER_BIT_STRING));
    if (cb_cursor_u8(&bits) == 0 && cb_cursor_ok(&bits))
        return bits.rest;
    cb_cursor_fail(cursor);
    return (cb_bytes){0};
}

bool cb_der_named_bits(cb_bytes value, uint16_t *out)
{
    cb_cursor bits = cb_cursor_over(value);
    uint8_t unused = cb_cursor_u8(&bits);
    uint16_t all = 0;
    if (!cb_cursor_ok(&bits) || unused > 7 || bits.rest.len > 2 ||
        (bits.rest.len == 0 && unused > 0))
        return false;
    for (unsigned i = 0; i < 2; i++)
        all = (uint16_t)(all << 8 | (i < bits.rest.len ? bits.rest.data[i] : 0));
    *out = all;
    uint8_t last = bits.rest.len > 0 ? bits.rest.data[bits.rest.len - 1] : 0;
    return (last & ((1u << unused) - 1)) == 0;
}

/* ---- times ---- */

static bool read_digits(cb_cursor *text, unsigned count, int least, int most, int *out)
{
    cb_bytes digits = cb_cursor_take(text, count);
    int value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        value = 10 * value + digits.data[i] - '0';
    }
    *out = value;
    return digits.len == count && value >= least && value <= most;
}

static int days_of(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970 of the first of March of a year, for which leap days are last; then of a date. */
static int64_t days_since_1970(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return 365 * y + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

bool cb_der_time_of(uint8_t tag, cb_bytes value, int64_t *out)
{
    cb_cursor text = cb_cursor_over(value);
    int year, month, day, hour, minute, second;
    bool utc = tag == CB_DER_UTC_TIME;
    if (!utc && tag != CB_DER_GENERALIZED_TIME)
        return false;
    if (!read_digits(&text, utc ? 2 : 4, 0, 9999, &year) || !read_digits(&text, 2, 1, 12, &month) ||
        !read_digits(&text, 2, 1, 31, &day) || !read_digits(&text, 2, 0, 23, &hour) ||
        !read_digits(&text, 2, 0, 59, &minute) || !read_digits(&text, 2, 0, 59, &second))
        return false;
    if (utc)
        year += year < 50 ? 2000 : 1900;
    if (cb_cursor_u8(&text) != 'Z' || !cb_cursor_done(&text) || day > days_of(year, month))
        return false;
    *out = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

int64_t cb_der_time(cb_cursor *cursor)
{
    cb_der object;
    int64_t time = 0;
    if (!cb_der_next(cursor, &object) || !cb_der_time_of(object.tag, object.value, &time))
        cb_cursor_fail(cursor);
    return time;
}

/* ---- writing ---- */

void cb_der_put(cb_buf *buf, uint8_t tag, cb_bytes value) { cb_tlv_put(buf, tag, value); }

/* In base 128, all but the last byte marked (X.690, 8.19). */
static void put_arc(cb_buf *out, uint64_t arc)
{
    int shift = 63;
    while (shift > 0 && arc >> shift == 0)
        shift -= 7;
    for (; shift > 0; shift -= 7)
        cb_buf_put_u8(out, (uint8_t)(0x80 | (arc >> shift & 0x7F)));
    cb_buf_put_u8(out, (uint8_t)(arc & 0x7F));
}

static bool read_arc(const char **text, uint64_t *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *out = strtoull(*text, &end, 10);
    bool good = *out < UINT32_MAX && (*end == 0 || (*end == '.' && end[1] != 0));
    *text = *end == '.' ? end + 1 : end;
    return good;
}

cb_error cb_oid_parse(const char *text, cb_buf *out)
{
    uint64_t first, second, arc;
    if (!read_arc(&text, &first) || !read_arc(&text, &second) || first > 2 ||
        (first < 2 && second > 39))
        return CB_E_FORMAT;
    put_arc(out, 40 * first + second);
    while (*text) {
        if (!read_arc(&text, &arc))
            return CB_E_FORMAT;
        put_arc(out, arc);
    }
    return cb_buf_error(out) == CB_OK && out->len > CB_OID_MAX ? CB_E_FORMAT : cb_buf_error(out);
}
