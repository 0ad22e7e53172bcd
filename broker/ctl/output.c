/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <wchar.h>

#include "base/json_text.h"
#include "base/text.h"

enum { CELL_MAX = 64 * 1024, COLUMNS_MAX = 12, DONE_MAX = 2048 };

void cb_ctl_plain(cb_buf *out, const char *text)
{
    const char *at = text;
    while (*at) {
        uint32_t c = 0;
        size_t len = cb_utf8_read(at, &c);
        if (len == 0 || c < 0x20 || c == 0x7F)
            cb_buf_printf(out, "\\x%02x", (uint8_t)*at);
        else if (cb_utf8_acts(c))
            cb_buf_printf(out, "\\u{%x}", (unsigned)c);
        else
            cb_buf_put(out, cb_bytes_make(at, len));
        at += len ? len : 1;
    }
}

unsigned cb_ctl_width(const char *plain)
{
    const char *at = plain;
    unsigned width = 0;
    while (*at) {
        uint32_t c = 0;
        size_t len = cb_utf8_read(at, &c);
        int cells = len ? wcwidth((wchar_t)c) : 1;
        width += cells < 0 ? 1U : (unsigned)cells;
        at += len ? len : 1;
    }
    return width;
}

static void put_value(cb_buf *out, const json_t *value)
{
    size_t index;
    json_t *item;
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        cb_ctl_plain(out, json_string_value(value)[0] ? json_string_value(value) : "-");
        break;
    case JSON_INTEGER:
        cb_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_TRUE:
        cb_buf_put_str(out, "yes");
        break;
    case JSON_FALSE:
        cb_buf_put_str(out, "no");
        break;
    case JSON_ARRAY:
        json_array_foreach(value, index, item)
        {
            cb_buf_put_str(out, index ? ", " : "");
            put_value(out, item);
        }
        break;
    case JSON_NULL:
        cb_buf_put_str(out, "-");
        break;
    default: {
        char *text = cb_json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        cb_ctl_plain(out, text ? text : "?");
        free(text);
    }
    }
}

/* Numbers that have names. */
static const char *word_for(const char *name, const json_t *value)
{
    const cb_card_profile *profile;
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (strcmp(name, "level") == 0 && number >= 0 && number <= UINT8_MAX)
        return cb_level_name((uint8_t)number);
    if (strcmp(name, "profile") == 0 && number > 0 && number <= UINT8_MAX &&
        (profile = cb_profile_find((uint8_t)number)) != NULL)
        return profile->name;
    return NULL;
}

void cb_ctl_field(cb_buf *out, const json_t *object, const char *path)
{
    char name[64];
    const char *dot;
    while ((dot = strchr(path, '.')) && object) {
        snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
        object = json_object_get(object, name);
        path = dot + 1;
    }
    const json_t *value = object ? json_object_get(object, path) : NULL;
    const char *word = word_for(path, value);
    if (word)
        cb_buf_put_str(out, word);
    else
        put_value(out, value);
}

static void pad(FILE *out, unsigned cells)
{
    while (cells--)
        putc(' ', out);
}

static void print_row(cb_ctl *ctl, const json_t *row, const cb_ctl_column *columns,
                      const unsigned *width, cb_buf *cell)
{
    for (unsigned i = 0; columns[i].title; i++) {
        const char *text = columns[i].title;
        if (row) {
            cb_buf_reset(cell);
            cb_ctl_field(cell, row, columns[i].path);
            text = cb_buf_cstr(cell);
        }
        text = text ? text : "?";
        unsigned cells = cb_ctl_width(text); /* measured before, perhaps without memory */
        fputs(text, ctl->out);
        if (columns[i + 1].title)
            pad(ctl->out, width[i] > cells ? width[i] + 2 - cells : 2);
    }
    putc('\n', ctl->out);
}

static unsigned widest(const json_t *rows, const cb_ctl_column *column, cb_buf *cell)
{
    unsigned width = cb_ctl_width(column->title);
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row)
    {
        cb_buf_reset(cell);
        cb_ctl_field(cell, row, column->path);
        const char *text = cb_buf_cstr(cell);
        unsigned cells = text ? cb_ctl_width(text) : 1;
        width = cells > width ? cells : width;
    }
    return width;
}

cb_ctl_status cb_ctl_table(cb_ctl *ctl, const json_t *rows, const cb_ctl_column *columns)
{
    unsigned width[COLUMNS_MAX] = {0};
    cb_buf cell = CB_BUF(CELL_MAX);
    size_t index;
    json_t *row;
    if (ctl->json)
        return cb_ctl_json(ctl, rows);
    for (unsigned i = 0; columns[i].title && i < COLUMNS_MAX; i++)
        width[i] = widest(rows, &columns[i], &cell);
    print_row(ctl, NULL, columns, width, &cell);
    json_array_foreach(rows, index, row) { print_row(ctl, row, columns, width, &cell); }
    cb_buf_free(&cell);
    return CB_CTL_DONE;
}

cb_ctl_status cb_ctl_object(cb_ctl *ctl, const json_t *object, const cb_ctl_column *columns)
{
    unsigned width = 0;
    cb_buf cell = CB_BUF(CELL_MAX);
    if (ctl->json)
        return cb_ctl_json(ctl, object);
    for (const cb_ctl_column *column = columns; column->title; column++)
        width = cb_ctl_width(column->title) > width ? cb_ctl_width(column->title) : width;
    for (const cb_ctl_column *column = columns; column->title; column++) {
        cb_buf_reset(&cell);
        cb_ctl_field(&cell, object, column->path);
        const char *text = cb_buf_cstr(&cell);
        fputs(column->title, ctl->out);
        pad(ctl->out, width + 2 - cb_ctl_width(column->title));
        fprintf(ctl->out, "%s\n", text ? text : "?");
    }
    cb_buf_free(&cell);
    return CB_CTL_DONE;
}

cb_ctl_status cb_ctl_json(cb_ctl *ctl, const json_t *value)
{
    static const char none[] = "{}"; /* a success that came without an object */
    char *text = value ? cb_json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;
    cb_ctl_status status = CB_CTL_DONE;
    if (value && !text)
        status = cb_ctl_fail(ctl, CB_E_MEMORY, NULL);
    else if (fprintf(ctl->out, "%s\n", text ? text : none) < 0)
        status = cb_ctl_fail(ctl, CB_E_IO, "writing the answer");
    free(text);
    return status;
}

cb_ctl_status cb_ctl_done(cb_ctl *ctl, const json_t *object, const char *format, ...)
{
    if (ctl->json)
        return cb_ctl_json(ctl, object);
    va_list list;
    char line[DONE_MAX];
    cb_buf text = CB_BUF(sizeof line * 8);
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    cb_ctl_plain(&text, line);
    const char *plain = cb_buf_cstr(&text);
    cb_ctl_status status = CB_CTL_DONE;
    if (plain)
        fprintf(ctl->out, "%s\n", plain);
    else
        status = cb_ctl_fail(ctl, CB_E_MEMORY, "it is done, and cannot be shown");
    cb_buf_free(&text);
    return status;
}
