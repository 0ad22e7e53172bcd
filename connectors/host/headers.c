/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/headers.h"

#include <ctype.h>
#include <stdio.h>

#include "base/split.h"

enum { HTTPS_PORT = 443, ORIGIN_TEXT = CB_HOST_MAX + 24 };

static bool is_token(cb_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!isalnum(name.data[i]) && !strchr("!#$%&'*+-.^_`|~", name.data[i]))
            return false;
    }
    return name.len > 0;
}

static bool is_value(cb_bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if ((value.data[i] < 0x20 && value.data[i] != '\t') || value.data[i] == 0x7F)
            return false;
    }
    return true;
}

static cb_bytes trim(cb_bytes text)
{
    size_t start = 0;
    while (start < text.len && (text.data[start] == ' ' || text.data[start] == '\t'))
        start++;
    while (text.len > start && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return cb_bytes_make(text.data ? text.data + start : NULL, text.len - start);
}

bool cb_header_next(cb_cursor *cursor, cb_header *out)
{
    if (cursor->rest.len == 0)
        return false;
    cb_bytes line = cb_take_until(cursor, '\n');
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    cb_cursor parts = cb_cursor_over(line);
    bool colon = line.len > 0 && memchr(line.data, ':', line.len);
    out->name = cb_take_until(&parts, ':');
    out->value = trim(cb_cursor_rest(&parts));
    if (colon && is_token(out->name) && is_value(out->value))
        return true;
    cb_cursor_fail(cursor);
    return false;
}

static bool same_text(cb_bytes a, const char *b)
{
    return a.len == strlen(b) && strncasecmp((const char *)a.data, b, a.len) == 0;
}

bool cb_header_is(const cb_header *header, const char *name)
{
    return same_text(header->name, name);
}

bool cb_header_find(cb_bytes headers, const char *name, cb_bytes *value)
{
    cb_cursor cursor = cb_cursor_over(headers);
    for (cb_header header; cb_header_next(&cursor, &header);) {
        if (cb_header_is(&header, name)) {
            *value = header.value;
            return true;
        }
    }
    return false;
}

static bool is_one_of(const cb_header *header, const char *const *names)
{
    for (; *names; names++) {
        if (cb_header_is(header, *names))
            return true;
    }
    return false;
}

/* Whether a Connection header names this one, which makes it hop-by-hop. */
static bool is_named_by_connection(cb_bytes headers, const cb_header *header)
{
    cb_cursor cursor = cb_cursor_over(headers);
    for (cb_header other; cb_header_next(&cursor, &other);) {
        if (!cb_header_is(&other, "Connection"))
            continue;
        cb_cursor options = cb_cursor_over(other.value);
        while (options.rest.len > 0) {
            cb_bytes option = trim(cb_take_until(&options, ','));
            if (option.len == header->name.len &&
                strncasecmp((const char *)option.data, (const char *)header->name.data,
                            option.len) == 0)
                return true;
        }
    }
    return false;
}

static bool is_hop_by_hop(cb_bytes headers, const cb_header *header)
{
    static const char *const names[] = {"Connection",
                                        "Keep-Alive",
                                        "Proxy-Connection",
                                        "Proxy-Authenticate",
                                        "Proxy-Authorization",
                                        "TE",
                                        "Trailer",
                                        "Transfer-Encoding",
                                        "Upgrade",
                                        NULL};
    return is_one_of(header, names) || is_named_by_connection(headers, header);
}

static void put(cb_buf *out, cb_bytes name, cb_bytes value)
{
    cb_buf_put(out, name);
    cb_buf_put_str(out, ": ");
    cb_buf_put(out, value);
    cb_buf_put_str(out, "\r\n");
}

/* As a browser writes it: without the usual port. */
static void origin_text(const cb_origin *origin, char out[ORIGIN_TEXT])
{
    bool v6 = strchr(origin->host, ':') != NULL;
    int len =
        snprintf(out, ORIGIN_TEXT, "https://%s%s%s", v6 ? "[" : "", origin->host, v6 ? "]" : "");
    if (origin->port != HTTPS_PORT)
        snprintf(out + len, ORIGIN_TEXT - (size_t)len, ":%u", origin->port);
}

/* ---- towards the service ---- */

/* What follows "https://<host>" in a value, if it names that host and no longer one. */
static bool names_host(cb_bytes value, cb_bytes host, cb_bytes *rest)
{
    static const char scheme[] = "https://";
    cb_cursor cursor = cb_cursor_over(value);
    cb_bytes start = cb_cursor_take(&cursor, sizeof scheme - 1);
    cb_bytes name = cb_cursor_take(&cursor, host.len);
    *rest = cb_cursor_rest(&cursor);
    return host.len > 0 && cb_cursor_ok(&cursor) && same_text(start, scheme) &&
           strncasecmp((const char *)name.data, (const char *)host.data, host.len) == 0 &&
           (rest->len == 0 || rest->data[0] == '/');
}

static void put_own_reference(cb_buf *out, const cb_header *header, const cb_origin *service,
                              cb_bytes rest)
{
    char origin[ORIGIN_TEXT];
    origin_text(service, origin);
    cb_buf_put(out, header->name);
    cb_buf_printf(out, ": %s", origin);
    cb_buf_put(out, rest);
    cb_buf_put_str(out, "\r\n");
}

static void put_cookies(cb_bytes headers, cb_bytes added, cb_buf *out)
{
    cb_bytes browser = {0}, own = {0};
    bool first = cb_header_find(headers, "Cookie", &browser);
    bool second = cb_header_find(added, "Cookie", &own);
    if (!first && !second)
        return;
    cb_buf_put_str(out, "Cookie: ");
    cb_buf_put(out, browser);
    cb_buf_put_str(out, first && second ? "; " : "");
    cb_buf_put(out, own);
    cb_buf_put_str(out, "\r\n");
}

static void put_added(cb_bytes added, cb_buf *out)
{
    cb_cursor cursor = cb_cursor_over(added);
    for (cb_header header; cb_header_next(&cursor, &header);) {
        if (!cb_header_is(&header, "Cookie"))
            put(out, header.name, header.value);
    }
}

/* Applications that get headers as variables (CGI, RFC 3875, 4.1.18) cannot tell "-" from
 * "_": what is not to reach them under one name is not to reach them under the other. */
static bool reads_as(cb_bytes name, cb_bytes other)
{
    for (size_t i = 0; i < name.len && i < other.len; i++) {
        int a = name.data[i] == '_' ? '-' : tolower(name.data[i]);
        int b = other.data[i] == '_' ? '-' : tolower(other.data[i]);
        if (a != b)
            return false;
    }
    return name.len == other.len;
}

/* What only a proxy that the service knows may say. */
static bool is_a_proxys(const cb_header *header)
{
    static const char family[] = "X-Forwarded-";
    cb_cursor cursor = cb_cursor_over(header->name);
    cb_bytes start = cb_cursor_take(&cursor, sizeof family - 1);
    return reads_as(header->name, cb_bytes_str("Forwarded")) ||
           reads_as(header->name, cb_bytes_str("X-Real-IP")) ||
           (cb_cursor_ok(&cursor) && reads_as(start, cb_bytes_str(family)));
}

static bool is_replaced(const cb_header *header, cb_bytes added)
{
    cb_cursor cursor = cb_cursor_over(added);
    for (cb_header other; cb_header_next(&cursor, &other);) {
        if (reads_as(header->name, other.name))
            return true;
    }
    return false;
}

cb_error cb_headers_to_service(cb_bytes headers, const cb_origin *service, cb_bytes added,
                               cb_buf *out)
{
    static const char *const left_out[] = {"Host", "Content-Length", "Expect", "Cookie", NULL};
    cb_cursor cursor = cb_cursor_over(headers);
    cb_bytes relay = {0};
    cb_bytes rest;
    cb_header_find(headers, "Host", &relay);
    for (cb_header header; cb_header_next(&cursor, &header);) {
        if (is_hop_by_hop(headers, &header) || is_one_of(&header, left_out) ||
            is_a_proxys(&header) || is_replaced(&header, added))
            continue;
        bool refers = cb_header_is(&header, "Origin") || cb_header_is(&header, "Referer");
        if (refers && names_host(header.value, relay, &rest))
            put_own_reference(out, &header, service, rest);
        else
            put(out, header.name, header.value);
    }
    put_cookies(headers, added, out);
    put_added(added, out);
    if (!cb_cursor_ok(&cursor))
        return CB_E_ARGUMENT;
    return cb_buf_error(out);
}

/* ---- towards the browser ---- */

static bool is_at_service(cb_bytes url, const cb_origin *service, const char **path, cb_buf *text)
{
    cb_origin origin;
    cb_buf_reset(text);
    cb_buf_put(text, url);
    const char *whole = cb_buf_cstr(text);
    /* A fragment is the browser's and stays; the origin is read from what is before it. */
    char *fragment = whole ? strchr((char *)(uintptr_t)whole, '#') : NULL;
    if (fragment)
        *fragment = 0;
    bool same =
        whole && cb_origin_of(whole, &origin, path) == CB_OK && cb_origin_same(&origin, service);
    if (fragment)
        *fragment = '#';
    return same;
}

static void put_location(cb_buf *out, const cb_header *header, const cb_origin *service)
{
    cb_buf text = CB_BUF(CB_HOST_MAX + 16 * 1024);
    const char *path = "";
    if (is_at_service(header->value, service, &path, &text)) {
        /* "//x" as a path would name a host. */
        const char *prefix = *path != '/' ? "/" : path[1] == '/' ? "/." : "";
        cb_buf_put(out, header->name);
        cb_buf_printf(out, ": %s%s\r\n", prefix, path);
    } else {
        put(out, header->name, header->value);
    }
    /* Where it leads was not seen. */
    if (cb_buf_error(&text) == CB_E_MEMORY)
        out->error = CB_E_MEMORY;
    cb_buf_free(&text);
}

/* Whether a cookie's domain covers the host (RFC 6265, 5.1.3). */
static bool covers(cb_bytes domain, const char *host)
{
    cb_cursor cursor = cb_cursor_over(domain);
    if (domain.len > 0 && domain.data[0] == '.')
        cb_cursor_u8(&cursor);
    domain = cb_cursor_rest(&cursor);
    size_t len = strlen(host);
    if (domain.len == 0 || domain.len > len)
        return false;
    return strncasecmp(host + len - domain.len, (const char *)domain.data, domain.len) == 0 &&
           (domain.len == len || host[len - domain.len - 1] == '.');
}

static void put_cookie(cb_buf *out, const cb_header *header, const cb_origin *service)
{
    cb_cursor cursor = cb_cursor_over(header->value);
    bool first = true;
    cb_buf_put(out, header->name);
    cb_buf_put_str(out, ": ");
    while (cursor.rest.len > 0) {
        cb_bytes attribute = trim(cb_take_until(&cursor, ';'));
        cb_cursor parts = cb_cursor_over(attribute);
        cb_bytes name = trim(cb_take_until(&parts, '='));
        if (!first && same_text(name, "Domain") &&
            covers(trim(cb_cursor_rest(&parts)), service->host))
            continue;
        cb_buf_put_str(out, first ? "" : "; ");
        cb_buf_put(out, attribute);
        first = false;
    }
    cb_buf_put_str(out, "\r\n");
}

cb_error cb_headers_to_browser(cb_bytes headers, const cb_origin *service, cb_buf *out)
{
    static const char *const left_out[] = {"Alt-Svc", NULL};
    cb_cursor cursor = cb_cursor_over(headers);
    for (cb_header header; cb_header_next(&cursor, &header);) {
        if (is_hop_by_hop(headers, &header) || is_one_of(&header, left_out))
            continue;
        if (cb_header_is(&header, "Location") || cb_header_is(&header, "Content-Location"))
            put_location(out, &header, service);
        else if (cb_header_is(&header, "Set-Cookie"))
            put_cookie(out, &header, service);
        else
            put(out, header.name, header.value);
    }
    if (cb_buf_error(out) == CB_E_MEMORY)
        return CB_E_MEMORY;
    return cb_cursor_ok(&cursor) && cb_buf_error(out) == CB_OK ? CB_OK : CB_E_SERVICE_ANSWER;
}
