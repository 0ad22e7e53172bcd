/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/relay_rules.h"

#include <ctype.h>
#include <strings.h>

#include "base/split.h"

cb_error cb_relay_label(const char *host, const char *relay_domain, char label[CB_SESSION_LABEL])
{
    const size_t len = CB_SESSION_LABEL - 1;
    if (!host || strnlen(host, len + 1) <= len || host[len] != '.')
        return CB_E_SESSION_UNKNOWN;
    const char *rest = host + len + 1;
    size_t domain = strlen(relay_domain);
    if (strncasecmp(rest, relay_domain, domain) != 0 || (rest[domain] && rest[domain] != ':'))
        return CB_E_SESSION_UNKNOWN;
    for (size_t i = 0; i < len; i++)
        label[i] = (char)tolower((unsigned char)host[i]);
    label[len] = 0;
    return CB_OK;
}

/* Whether a comma-separated list names a token. */
static bool lists(const char *list, const char *token)
{
    size_t len = strlen(token);
    while (*list) {
        list += strspn(list, " \t,");
        size_t item = strcspn(list, " \t,");
        if (item == len && strncasecmp(list, token, len) == 0)
            return true;
        list += item;
    }
    return false;
}

bool cb_relay_forwards(const char *name, const char *connection)
{
    static const char *const stay[] = {"Connection",          "Keep-Alive",       "TE",
                                       "Trailer",             "Transfer-Encoding", "Upgrade",
                                       "Proxy-Authorization", "Proxy-Connection", "Cookie",
                                       "Content-Length",      "Expect",           "Forwarded",
                                       "X-Forwarded-For",     "X-Forwarded-Host", "X-Forwarded-Proto"};
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++) {
        if (strcasecmp(name, stay[i]) == 0)
            return false;
    }
    return !connection || !lists(connection, name);
}

static const char own_cookie[] = CB_RELAY_COOKIE "=";

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t'; }

static cb_bytes trim(cb_bytes text)
{
    cb_cursor cursor = cb_cursor_over(text);
    while (cursor.rest.len > 0 && is_blank(cursor.rest.data[0]))
        cb_cursor_u8(&cursor);
    while (cursor.rest.len > 0 && is_blank(cursor.rest.data[cursor.rest.len - 1]))
        cursor.rest.len--;
    return cursor.rest;
}

static bool is_text(cb_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && strncasecmp((const char *)bytes.data, text, bytes.len) == 0;
}

/* "name = value" sets the cookie as well (RFC 6265, 5.2), and so would "=name=value", whose cookie without a name is sent as it stands.
 * Names are compared by case, browsers' prefixes are not. */
static bool is_own(cb_bytes pair)
{
    cb_cursor cursor = cb_cursor_over(trim(pair));
    while (cursor.rest.len > 0 && (cursor.rest.data[0] == '=' || is_blank(cursor.rest.data[0])))
        cb_cursor_u8(&cursor);
    size_t all = cursor.rest.len;
    cb_bytes name = cb_take_until(&cursor, '=');
    return name.len < all && is_text(trim(name), CB_RELAY_COOKIE);
}

/* Whether a Set-Cookie stays with this host name, and leaves the broker's own alone. */
static bool stays_here(cb_bytes cookie)
{
    cb_cursor cursor = cb_cursor_over(cookie);
    if (is_own(cb_take_until(&cursor, ';')))
        return false;
    while (cursor.rest.len > 0) {
        cb_cursor attribute = cb_cursor_over(cb_take_until(&cursor, ';'));
        bool domain = is_text(trim(cb_take_until(&attribute, '=')), "Domain");
        if (domain && trim(cb_cursor_rest(&attribute)).len > 0)
            return false;
    }
    return true;
}

bool cb_relay_returns(cb_bytes name, cb_bytes value)
{
    if (is_text(name, "Clear-Site-Data"))
        return false;
    return !is_text(name, "Set-Cookie") || stays_here(value);
}

static bool is_secret(const char *text, size_t len)
{
    if (len != CB_SESSION_SECRET - 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

void cb_relay_take_cookie(const char *cookies, char secret[CB_SESSION_SECRET], cb_buf *rest)
{
    const size_t own_len = sizeof own_cookie - 1;
    secret[0] = 0;
    while (*cookies) {
        cookies += strspn(cookies, " \t;");
        size_t len = strcspn(cookies, ";");
        if (len >= own_len && memcmp(cookies, own_cookie, own_len) == 0) {
            if (!secret[0] && is_secret(cookies + own_len, len - own_len)) {
                memcpy(secret, cookies + own_len, len - own_len);
                secret[len - own_len] = 0;
            }
        } else if (len > 0) {
            cb_buf_put_str(rest, rest->len ? "; " : "");
            cb_buf_put(rest, cb_bytes_make(cookies, len));
        }
        cookies += len;
    }
}
