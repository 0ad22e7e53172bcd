/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/text.h"

enum { QUERY_VALUE_MAX = 1024 };

cb_error cb_request_fields(cb_request *request, cb_reply *reply, const cb_field *fields,
                           size_t count)
{
    if (!request->json)
        request->json = json_object();
    if (!request->json)
        return CB_E_MEMORY;
    return cb_fields_read(request->json, fields, count, &reply->detail);
}

/* Undoes percent-encoding; false where it is malformed or hides a zero. */
static bool decode(cb_bytes text, cb_buf *out)
{
    cb_cursor cursor = cb_cursor_over(text);
    while (cursor.rest.len > 0) {
        uint8_t c = cb_cursor_u8(&cursor);
        if (c == '%') {
            cb_bytes digits = cb_cursor_take(&cursor, 2);
            if (!cb_cursor_ok(&cursor) || cb_unhex(digits, out) != CB_OK ||
                out->data[out->len - 1] == 0)
                return false;
        } else {
            cb_buf_put_u8(out, c == '+' ? ' ' : c);
        }
    }
    return cb_buf_error(out) == CB_OK;
}

/* One "name=value" as a member of the object: a number where the table asks for one, else a string.
 */
static bool add_pair(json_t *object, cb_bytes pair, const cb_field *fields, size_t count)
{
    const uint8_t *equals = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
    size_t length = equals ? (size_t)(equals - pair.data) : pair.len;
    cb_cursor cursor = cb_cursor_over(pair);
    cb_buf name = CB_BUF(QUERY_VALUE_MAX);
    cb_buf value = CB_BUF(QUERY_VALUE_MAX);
    bool good = decode(cb_cursor_take(&cursor, length), &name);
    cb_cursor_u8(&cursor);
    good = good && decode(cursor.rest, &value) && cb_buf_cstr(&name) && cb_buf_cstr(&value) &&
           !json_object_get(object, cb_buf_cstr(&name));
    json_t *member = NULL;
    for (size_t i = 0; good && i < count; i++) {
        char *end = NULL;
        if (fields[i].kind != CB_FIELD_NUMBER || strcmp(fields[i].name, cb_buf_cstr(&name)) != 0)
            continue;
        long long number = strtoll(cb_buf_cstr(&value), &end, 10);
        good = value.len > 0 && value.len < 19 && *end == 0;
        member = json_integer(number);
        good = good && member;
    }
    if (good && !member)
        member = json_string(cb_buf_cstr(&value));
    if (good)
        good = json_object_set_new(object, cb_buf_cstr(&name), member) == 0;
    else
        json_decref(member);
    cb_buf_free(&name);
    cb_buf_free(&value);
    return good;
}

cb_error cb_request_query(cb_request *request, cb_reply *reply, const cb_field *fields,
                          size_t count)
{
    json_decref(request->json);
    request->json = json_object();
    if (!request->json)
        return CB_E_MEMORY;
    for (const char *at = request->query; *at;) {
        size_t length = strcspn(at, "&");
        errno = 0;
        bool added =
            length == 0 || add_pair(request->json, cb_bytes_make(at, length), fields, count);
        if (!added && errno == ENOMEM)
            return CB_E_MEMORY;
        if (!added)
            return cb_reply_fail(reply, CB_E_ARGUMENT,
                                 "The query is malformed, or names a parameter twice.");
        at += length + (at[length] == '&');
    }
    return cb_fields_read(request->json, fields, count, &reply->detail);
}

void cb_request_free(cb_request *request)
{
    cb_buf_free(&request->body);
    json_decref(request->json);
    free(request->identity);
    request->json = NULL;
    request->identity = NULL;
}

void cb_reply_free(cb_reply *reply)
{
    cb_buf_free(&reply->body);
    cb_buf_free(&reply->detail);
    json_decref(reply->json);
    json_decref(reply->extra);
    reply->json = reply->extra = NULL;
}

cb_error cb_reply_fail(cb_reply *reply, cb_error error, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cb_buf_reset(&reply->detail);
    cb_buf_put_str(&reply->detail, text);
    return error;
}

cb_error cb_reply_json(cb_reply *reply, unsigned status, json_t *json)
{
    reply->status = status;
    reply->json = json;
    return json ? CB_OK : CB_E_MEMORY;
}
