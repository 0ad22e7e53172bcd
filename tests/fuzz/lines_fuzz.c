/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Files of cards to be issued and of serials, as manufacturers and others make them: what was
 * parted, put together again, is the line; each has its place in the file; nothing is outside.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/ctl/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

/* The line of that number, without its end. */
static const char *line_at(const char *text, size_t size, int64_t number, size_t *len)
{
    const char *begin = text, *end;
    for (int64_t i = 1; i < number; i++)
        begin = (const char *)memchr(begin, '\n', size - (size_t)(begin - text)) + 1;
    end = memchr(begin, '\n', size - (size_t)(begin - text));
    *len = end ? (size_t)(end - begin) : size - (size_t)(begin - text);
    if (*len > 0 && begin[*len - 1] == '\r')
        (*len)--;
    return begin;
}

static bool same_again(const cb_card_line *line, const char *text, size_t len)
{
    const char *part[] = {line->certificate, line->serial, line->application, line->holder};
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        size_t own = strlen(part[i]);
        if (at + own > len || memcmp(text + at, part[i], own) != 0)
            return false;
        at += own;
        if (i < 3 && (at == len || text[at++] != ','))
            return false;
        if (i < 3 && strchr(part[i], ','))
            return false;
    }
    return at == len;
}

static void try_cards(const char *text, size_t size)
{
    static cb_card_line line;
    cb_card_lines lines = {.text = text, .size = size};
    int64_t count = cb_card_lines_count(text, size), settled = size > 0 ? text[0] % 3 : 0;
    bool whole = false;
    while (cb_card_lines_next(&lines, settled, &line, &whole)) {
        size_t len;
        const char *is = line_at(text, size, lines.line, &len);
        must(lines.line > settled && lines.line <= count && lines.at <= size);
        must(len > 0 && *is != '#');
        must(whole == (len < CB_CARD_LINE_MAX && !memchr(is, 0, len)));
        must(whole || !line.text[0]);
        if (cb_card_line_split(&line) == NULL)
            must(same_again(&line, is, len) && *line.holder);
    }
    must(lines.at == size && lines.line == count);
}

static void try_serials(const char *text, size_t size)
{
    char *copy = calloc(1, size + 1);
    const char *serial, *identity;
    int64_t before = 0;
    must(copy != NULL);
    memcpy(copy, text, size);
    cb_serial_lines lines = {.next = copy};
    while (cb_serial_lines_next(&lines, &serial, &identity)) {
        must(lines.line == ++before);
        must(!lines.next || (lines.next > copy && lines.next <= copy + size));
        must(strpbrk(identity, "\r\n") == NULL);
        if (serial)
            must(*serial != '#' && strpbrk(serial, ",\r\n") == NULL && serial >= copy &&
                 serial < copy + size);
        else
            must(*identity == 0);
    }
    free(copy);
}

/* What was read in quotes and is written again is what was there. */
static void try_quoted(const char *text, size_t size)
{
    char *copy = calloc(1, size + 1), *again = calloc(2, size + 2);
    must(copy != NULL && again != NULL);
    memcpy(copy, text, size);
    char *at = copy;
    for (const char *column; (column = cb_quoted_next(&at)) != NULL;) {
        size_t begin = (size_t)(column - copy), len = 0;
        again[len++] = '"';
        for (; *column; column++) {
            if (*column == '"')
                again[len++] = '"';
            again[len++] = *column;
        }
        again[len++] = '"';
        must(at > copy && at <= copy + strlen(at) + size && begin + len <= size);
        must(memcmp(text + begin, again, len) == 0);
        must(*at || begin + len <= size);
    }
    free(again);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_quoted((const char *)data, size);
    try_cards((const char *)data, size);
    try_serials((const char *)data, size);
    return 0;
}
