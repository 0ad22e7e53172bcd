/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/relay_rules.h"

#include <ctype.h>
#include <strings.h>

#include "base/cursor.h"

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

bool cb_relay_returns(cb_bytes name, cb_bytes value)
{
    static const char set[] = "Set-Cookie";
    if (name.len != sizeof set - 1 || strncasecmp((const char *)name.data, set, name.len) != 0)
        return true;
    /* "name = value" sets the cookie as well (RFC 6265, 5.2); names are compared by case, browsers' prefixes are not. */
    size_t len = sizeof own_cookie - 2;
    if (value.len < len || strncasecmp((const char *)value.data, own_cookie, len) != 0)
        return true;
    cb_cursor rest = cb_cursor_over(value);
    cb_cursor_take(&rest, len);
    uint8_t next;
    do {
        next = cb_cursor_u8(&rest);
    } while (next == ' ' || next == '\t');
    return next != '=';
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
