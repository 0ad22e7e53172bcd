/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/software.h"

#include <stdio.h>

#include "base/text.h"

static const char unknown[] = "unknown";
static const char unreadable[] = "unreadable";

bool cb_software_version_ok(const char *version)
{
    size_t len = strlen(version);
    for (size_t i = 0; i < len; i++) {
        if (!cb_journal_char_ok(version[i]) || version[i] == ' ' || version[i] == '=')
            return false;
    }
    return len > 0 && len <= CB_SOFTWARE_VERSION_MAX;
}

static bool is_zero(const cb_digest *digest)
{
    static const cb_digest zero;
    return memcmp(digest, &zero, sizeof zero) == 0;
}

void cb_software_write(const cb_software *software, char text[CB_JOURNAL_TEXT_MAX + 1])
{
    char program[2 * CB_SHA256_SIZE + 1], config[2 * CB_SHA256_SIZE + 1];
    cb_hex(cb_digest_bytes(&software->program), program);
    cb_hex(cb_digest_bytes(&software->config), config);
    snprintf(text, CB_JOURNAL_TEXT_MAX + 1, "version=%s program=%s config=%s",
             cb_software_version_ok(software->version) ? software->version : unknown,
             is_zero(&software->program) ? unreadable : program, config);
}

/* The value of the next field, up to a space or the end. */
static bool take_field(cb_cursor *from, const char *name, cb_bytes *value)
{
    size_t len = strlen(name), at = 0;
    cb_bytes given = cb_cursor_take(from, len);
    if (!cb_cursor_ok(from) || memcmp(given.data, name, len) != 0)
        return false;
    while (at < from->rest.len && from->rest.data[at] != ' ')
        at++;
    *value = cb_cursor_take(from, at);
    if (from->rest.len > 0)
        cb_cursor_take(from, 1);
    return cb_cursor_ok(from);
}

static bool take_digest(cb_bytes text, cb_digest *out)
{
    cb_buf bytes = CB_BUF(CB_SHA256_SIZE);
    bool good = text.len == 2 * CB_SHA256_SIZE && cb_unhex(text, &bytes) == CB_OK &&
                bytes.len == CB_SHA256_SIZE;
    if (good)
        memcpy(out->bytes, bytes.data, CB_SHA256_SIZE);
    cb_buf_free(&bytes);
    return good;
}

cb_error cb_software_read(const char *text, cb_software *out)
{
    cb_cursor from = cb_cursor_over(cb_bytes_str(text));
    cb_bytes version, program, config;
    *out = (cb_software){.version = "unknown"};
    cb_software read = {.version = ""};
    bool good = take_field(&from, "version=", &version) &&
                take_field(&from, "program=", &program) && take_field(&from, "config=", &config) &&
                from.rest.len == 0 && version.len <= CB_SOFTWARE_VERSION_MAX;
    if (!good)
        return CB_E_FORMAT;
    memcpy(read.version, version.data, version.len);
    if (!cb_software_version_ok(read.version) || !take_digest(config, &read.config))
        return CB_E_FORMAT;
    bool readable = !cb_bytes_same(program, cb_bytes_str(unreadable));
    if (readable && (!take_digest(program, &read.program) || is_zero(&read.program)))
        return CB_E_FORMAT;
    *out = read;
    return CB_OK;
}
