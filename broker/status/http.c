/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/status/http.h"

#include <strings.h>

#include "base/cursor.h"

cb_error cb_status_http_ask(const cb_url *url, cb_bytes body, cb_buf *out)
{
    cb_buf_printf(out, "%s %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: cardbrokerd\r\nAccept: */*\r\n",
                  body.len > 0 ? "POST" : "GET", url->target, url->authority);
    if (body.len > 0)
        cb_buf_printf(out, "Content-Type: application/ocsp-request\r\nContent-Length: %zu\r\n",
                      body.len);
    cb_buf_put_str(out, "Connection: close\r\n\r\n");
    cb_buf_put(out, body);
    return cb_buf_error(out);
}

/* A line without its end; false when there is none among the headers. */
static bool next_line(cb_cursor *in, cb_bytes *line)
{
    size_t most = in->rest.len < CB_STATUS_HEADERS_MAX ? in->rest.len : CB_STATUS_HEADERS_MAX;
    const uint8_t *end = most > 0 ? memchr(in->rest.data, '\n', most) : NULL;
    if (!end)
        return false;
    *line = cb_cursor_take(in, (size_t)(end - in->rest.data));
    cb_cursor_u8(in);
    if (line->len > 0 && line->data[line->len - 1] == '\r')
        line->len--;
    return true;
}

/* HTTP/1.x, a space, three digits. */
static unsigned read_status(cb_bytes line)
{
    unsigned status = 0;
    if (line.len < 12 || memcmp(line.data, "HTTP/1.", 7) != 0 || line.data[8] != ' ')
        return 0;
    for (size_t i = 9; i < 12; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return 0;
        status = 10 * status + line.data[i] - '0';
    }
    return line.len == 12 || line.data[12] == ' ' ? status : 0;
}

/* The value of a header of this name; nothing if it is another. */
static bool is_header(cb_bytes line, const char *name, cb_bytes *value)
{
    size_t len = strlen(name);
    cb_cursor in = cb_cursor_over(line);
    cb_bytes found = cb_cursor_take(&in, len);
    if (found.len != len || strncasecmp((const char *)found.data, name, len) != 0 ||
        cb_cursor_u8(&in) != ':')
        return false;
    while (in.rest.len > 0 && (in.rest.data[0] == ' ' || in.rest.data[0] == '\t'))
        cb_cursor_u8(&in);
    *value = in.rest;
    while (value->len > 0 && value->data[value->len - 1] == ' ')
        value->len--;
    return true;
}

static bool read_length(cb_bytes text, size_t *out)
{
    size_t length = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        length = 10 * length + text.data[i] - '0';
    }
    *out = length;
    return text.len > 0 && text.len < 12;
}

typedef struct heading {
    bool has_length;
    size_t length;
} heading;

static bool read_heading(cb_cursor *in, heading *out)
{
    cb_bytes line, value;
    size_t all = in->rest.len;
    while (next_line(in, &line) && all - in->rest.len <= CB_STATUS_HEADERS_MAX) {
        size_t length;
        if (line.len == 0)
            return true;
        if (is_header(line, "transfer-encoding", &value))
            return false;
        if (!is_header(line, "content-length", &value))
            continue;
        if (!read_length(value, &length) || (out->has_length && length != out->length))
            return false;
        *out = (heading){true, length};
    }
    return false;
}

cb_error cb_status_http_read(cb_bytes whole, cb_bytes *body)
{
    cb_cursor in = cb_cursor_over(whole);
    cb_bytes line;
    heading h = {false, 0};
    unsigned status = next_line(&in, &line) ? read_status(line) : 0;
    if (status == 0)
        return CB_E_SERVICE_ANSWER;
    if (status != 200)
        return CB_E_SERVICE_REFUSED;
    if (!read_heading(&in, &h) || (h.has_length && in.rest.len != h.length))
        return CB_E_SERVICE_ANSWER;
    *body = in.rest;
    return CB_OK;
}
