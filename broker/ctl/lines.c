/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/lines.h"

#include <string.h>

int64_t cb_card_lines_count(const char *text, size_t size)
{
    int64_t count = 0;
    for (size_t at = 0; at < size; at++)
        count += text[at] == '\n' || at + 1 == size;
    return count;
}

bool cb_card_lines_next(cb_card_lines *lines, int64_t settled, cb_card_line *out, bool *whole)
{
    while (lines->at < lines->size) {
        const char *begin = lines->text + lines->at;
        const char *end = memchr(begin, '\n', lines->size - lines->at);
        size_t len = end ? (size_t)(end - begin) : lines->size - lines->at;
        lines->at += len + (end ? 1 : 0);
        lines->line++;
        if (len > 0 && begin[len - 1] == '\r')
            len--;
        if (lines->line <= settled || len == 0 || *begin == '#')
            continue;
        *whole = len < sizeof out->text && !memchr(begin, 0, len);
        len = *whole ? len : 0;
        memcpy(out->text, begin, len);
        out->text[len] = 0;
        return true;
    }
    return false;
}

const char *cb_card_line_split(cb_card_line *line)
{
    char **column[] = {&line->certificate, &line->serial, &line->application};
    char *at = line->text;
    for (int i = 0; i < 3; i++) {
        *column[i] = at;
        at = strchr(at, ',');
        if (!at)
            return "a line has four columns: certificate or reading, serial, application, holder";
        *at++ = 0;
    }
    line->holder = at;
    return *at ? NULL : "the holder is missing";
}

const char *cb_quoted_next(char **at)
{
    char *from = *at, *to = from;
    const char *text = from;
    if (*from++ != '"')
        return NULL;
    for (; *from && (*from != '"' || from[1] == '"'); from++) {
        from += *from == '"';
        *to++ = *from;
    }
    if (*from != '"' || (from[1] && from[1] != ','))
        return NULL;
    *at = from + (from[1] ? 2 : 1);
    *to = 0;
    return text;
}

bool cb_serial_lines_next(cb_serial_lines *lines, const char **serial, const char **identity)
{
    if (!lines->next || !*lines->next)
        return false;
    char *text = lines->next, *end = strpbrk(text, "\r\n");
    bool carriage = end && end[0] == '\r' && end[1] == '\n';
    lines->next = end ? end + (carriage ? 2 : 1) : NULL;
    if (end)
        *end = 0;
    lines->line++;
    bool says = *text && *text != '#';
    char *comma = says ? strchr(text, ',') : NULL;
    if (comma)
        *comma = 0;
    *serial = says ? text : NULL;
    *identity = comma ? comma + 1 : "";
    return true;
}
