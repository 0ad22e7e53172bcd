/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/status/url.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_plain(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~' || *text == '#' || *text == '"' || *text == '\\')
            return false;
    }
    return true;
}

static bool copy(char *out, size_t size, const char *text, size_t len)
{
    if (len >= size)
        return false;
    memcpy(out, text, len);
    out[len] = 0;
    return true;
}

static bool read_port(const char *text, char out[6])
{
    size_t len = strspn(text, "0123456789");
    long port = len > 0 && len < 6 ? strtol(text, NULL, 10) : 0;
    if (text[len] != 0 || port < 1 || port > 65535)
        return false;
    snprintf(out, 6, "%ld", port);
    return true;
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT. */
static bool read_authority(cb_url *out)
{
    const char *text = out->authority;
    const char *end = text[0] == '[' ? strchr(text, ']') : text + strcspn(text, ":");
    if (!end || strpbrk(text, "@<>{}|^`%"))
        return false;
    const char *host = text[0] == '[' ? text + 1 : text;
    const char *after = text[0] == '[' ? end + 1 : end;
    if (end == host || !copy(out->host, sizeof out->host, host, (size_t)(end - host)))
        return false;
    snprintf(out->port, sizeof out->port, "80");
    return *after == 0 || (*after == ':' && read_port(after + 1, out->port));
}

cb_error cb_url_parse(const char *text, cb_url *out)
{
    static const char scheme[] = "http://";
    *out = (cb_url){.host = ""};
    if (strncmp(text, scheme, sizeof scheme - 1) != 0 || !is_plain(text) ||
        strlen(text) > CB_URL_MAX)
        return CB_E_FORMAT;
    text += sizeof scheme - 1;
    size_t len = strcspn(text, "/?");
    if (!copy(out->authority, sizeof out->authority, text, len) || !read_authority(out))
        return CB_E_FORMAT;
    text += len;
    snprintf(out->target, sizeof out->target, "%s%s", *text == '/' ? "" : "/", text);
    return CB_OK;
}
