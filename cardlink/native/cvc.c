/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/native/cvc.h"

#include <time.h>

#include "base/clock.h"
#include "base/tlv.h"

enum {
    TAG_CERTIFICATE = 0x7F21,
    TAG_SERIAL = 0x93,
    TAG_ISSUER = 0x42,
    TAG_SUBJECT = 0x5F20,
    TAG_USAGE = 0x95,
    TAG_FIRST_DAY = 0x5F25,
    TAG_LAST_DAY = 0x5F24,
    TAG_DISCRETIONARY = 0x53,
    TAG_LIMITS = 0xBF20,
    TAG_KEY = 0x7F49,
    TAG_POINT = 0xB0,
    TAG_CURVE = 0xF0,
    TAG_SIGNATURE = 0x5F37
};

static const uint8_t curve_p256[] = {0x00};

static cb_bytes parse_name(cb_cursor *cursor, uint32_t tag)
{
    cb_bytes name = cb_tlv_expect(cursor, tag);
    if (name.len == 0 || name.len > CB_CVC_NAME_MAX)
        cb_cursor_fail(cursor);
    return name;
}

bool cb_cvc_day_ok(uint32_t day)
{
    for (uint32_t digits = day; digits; digits >>= 4) {
        if ((digits & 0xF) > 9)
            return false;
    }
    uint8_t month = (uint8_t)(day >> 8), date = (uint8_t)day;
    return month >= 0x01 && month <= 0x12 && date >= 0x01 && date <= 0x31;
}

/* A value of exactly 2 or 4 bytes, as a number. */
static uint32_t parse_number(cb_cursor *cursor, uint32_t tag, size_t size)
{
    cb_bytes value = cb_tlv_expect(cursor, tag);
    cb_cursor inner = cb_cursor_over(value);
    uint32_t number = size == 2 ? cb_cursor_u16(&inner) : cb_cursor_u32(&inner);
    if (!cb_cursor_done(&inner))
        cb_cursor_fail(cursor);
    return number;
}

static bool next_is(cb_cursor cursor, uint32_t tag)
{
    cb_tlv object;
    return cb_tlv_next(&cursor, &object) && object.tag == tag;
}

static cb_bytes parse_optional(cb_cursor *cursor)
{
    cb_bytes discretionary = {0};
    if (next_is(*cursor, TAG_DISCRETIONARY))
        discretionary = cb_tlv_expect(cursor, TAG_DISCRETIONARY);
    if (discretionary.len > CB_CVC_NAME_MAX)
        cb_cursor_fail(cursor);
    if (next_is(*cursor, TAG_LIMITS) && cb_tlv_expect(cursor, TAG_LIMITS).len > 0)
        cb_cursor_fail(cursor);
    return discretionary;
}

static cb_bytes parse_key(cb_cursor *cursor)
{
    cb_cursor key = cb_cursor_over(cb_tlv_expect(cursor, TAG_KEY));
    cb_bytes point = cb_tlv_expect(&key, TAG_POINT);
    cb_bytes curve = cb_tlv_expect(&key, TAG_CURVE);
    if (!cb_cursor_done(&key) || point.len != CB_P256_POINT ||
        !cb_bytes_same(curve, CB_BYTES_OF(curve_p256)))
        cb_cursor_fail(cursor);
    return point;
}

cb_error cb_cvc_parse(cb_bytes bytes, cb_cvc *out)
{
    *out = (cb_cvc){0};
    cb_cursor outer = cb_cursor_over(bytes);
    cb_bytes body = cb_tlv_expect(&outer, TAG_CERTIFICATE);
    cb_cursor cursor = cb_cursor_over(body);
    cb_cvc cvc = {0};
    if (bytes.len > CB_CVC_MAX || !cb_cursor_done(&outer))
        return CB_E_FORMAT;
    cvc.serial = parse_name(&cursor, TAG_SERIAL);
    cvc.issuer = parse_name(&cursor, TAG_ISSUER);
    cvc.subject = parse_name(&cursor, TAG_SUBJECT);
    cvc.usage = (uint16_t)parse_number(&cursor, TAG_USAGE, 2);
    cvc.first_day = parse_number(&cursor, TAG_FIRST_DAY, 4);
    cvc.last_day = parse_number(&cursor, TAG_LAST_DAY, 4);
    cvc.discretionary = parse_optional(&cursor);
    cvc.point = parse_key(&cursor);
    cvc.signed_bytes = cb_bytes_make(body.data, body.len - cursor.rest.len);
    cvc.signature = cb_tlv_expect(&cursor, TAG_SIGNATURE);
    if (!cb_cursor_done(&cursor) || cvc.signature.len != CB_P256_SIGNATURE ||
        !cb_cvc_day_ok(cvc.first_day) || !cb_cvc_day_ok(cvc.last_day) ||
        cvc.first_day > cvc.last_day)
        return CB_E_FORMAT;
    *out = cvc;
    return CB_OK;
}

cb_error cb_cvc_check(const cb_cvc *cvc, cb_bytes issuer_point)
{
    cb_digest digest = cb_sha256(cvc->signed_bytes);
    return cb_p256_check(issuer_point, &digest, cvc->signature);
}

bool cb_cvc_verify(const cb_cvc *cvc, cb_bytes issuer_point)
{
    return cb_cvc_check(cvc, issuer_point) == CB_OK;
}

static void put_number(cb_buf *buf, uint32_t tag, uint32_t number, size_t size)
{
    const uint8_t bytes[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                              (uint8_t)(number >> 8), (uint8_t)number};
    cb_tlv_put(buf, tag, size == 2 ? cb_bytes_make(&bytes[2], 2) : cb_bytes_make(bytes, 4));
}

static void put_key(cb_buf *buf, cb_bytes point)
{
    cb_buf key = CB_BUF(CB_CVC_MAX);
    cb_tlv_put(&key, TAG_POINT, point);
    cb_tlv_put(&key, TAG_CURVE, CB_BYTES_OF(curve_p256));
    cb_tlv_put(buf, TAG_KEY, cb_buf_bytes(&key));
    cb_buf_free(&key);
}

static bool name_ok(cb_bytes name) { return name.len >= 1 && name.len <= CB_CVC_NAME_MAX; }

cb_error cb_cvc_make(const cb_cvc *fields, const uint8_t issuer[CB_P256_SCALAR], cb_buf *out)
{
    uint8_t signature[CB_P256_SIGNATURE];
    if (!name_ok(fields->serial) || !name_ok(fields->issuer) || !name_ok(fields->subject) ||
        !cb_cvc_day_ok(fields->first_day) || !cb_cvc_day_ok(fields->last_day) ||
        fields->first_day > fields->last_day || !cb_p256_is_point(fields->point) ||
        fields->discretionary.len > CB_CVC_NAME_MAX)
        return CB_E_ARGUMENT;
    cb_buf body = CB_BUF(CB_CVC_MAX);
    cb_tlv_put(&body, TAG_SERIAL, fields->serial);
    cb_tlv_put(&body, TAG_ISSUER, fields->issuer);
    cb_tlv_put(&body, TAG_SUBJECT, fields->subject);
    put_number(&body, TAG_USAGE, fields->usage, 2);
    put_number(&body, TAG_FIRST_DAY, fields->first_day, 4);
    put_number(&body, TAG_LAST_DAY, fields->last_day, 4);
    if (fields->discretionary.len > 0)
        cb_tlv_put(&body, TAG_DISCRETIONARY, fields->discretionary);
    put_key(&body, fields->point);
    cb_digest digest = cb_sha256(cb_buf_bytes(&body));
    cb_error error = cb_buf_error(&body);
    if (!error)
        error = cb_p256_sign(issuer, &digest, signature);
    if (!error) {
        cb_tlv_put(&body, TAG_SIGNATURE, CB_BYTES_OF(signature));
        cb_tlv_put(out, TAG_CERTIFICATE, cb_buf_bytes(&body));
        error = cb_buf_error(&body) ? cb_buf_error(&body) : cb_buf_error(out);
    }
    cb_buf_free(&body);
    return error;
}

uint32_t cb_cvc_day(int64_t wall_us)
{
    char text[CB_TIME_TEXT];
    uint32_t day = 0;
    cb_time_text(wall_us, text);
    for (size_t i = 0; i < 10; i++) {
        if (text[i] != '-')
            day = day << 4 | (uint32_t)(text[i] - '0');
    }
    return day;
}

static int digits(uint32_t day, unsigned from, unsigned count)
{
    int value = 0;
    for (unsigned i = 0; i < count; i++)
        value = value * 10 + (int)(day >> 4 * (from - i) & 0xF);
    return value;
}

int64_t cb_cvc_day_end(uint32_t day)
{
    struct tm midnight = {.tm_year = digits(day, 7, 4) - 1900,
                          .tm_mon = digits(day, 3, 2) - 1,
                          .tm_mday = digits(day, 1, 2) + 1};
    time_t seconds = timegm(&midnight);
    return seconds > 0 ? (int64_t)seconds * CB_SECOND : 0;
}

bool cb_cvc_valid_on(const cb_cvc *cvc, uint32_t day)
{
    return cvc->first_day <= day && day <= cvc->last_day;
}
