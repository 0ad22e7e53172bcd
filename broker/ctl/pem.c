/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/pem.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { LINE = 64, BASE64_MAX = 64 * 1024 };

/* The next line without its end; false when there is none. */
static bool next_line(cb_cursor *text, cb_bytes *line)
{
    if (!cb_cursor_ok(text) || text->rest.len == 0)
        return false;
    const uint8_t *end = memchr(text->rest.data, '\n', text->rest.len);
    size_t len = end ? (size_t)(end - text->rest.data) : text->rest.len;
    *line = cb_cursor_take(text, len);
    cb_cursor_take(text, end ? 1 : 0);
    while (line->len && strchr(" \t\r", line->data[line->len - 1]))
        line->len--;
    return true;
}

/* Whether a line is "-----BEGIN label-----" (or END); label is filled in for the former, compared
 * for the latter. */
static bool is_border(cb_bytes line, const char *word, char label[CB_PEM_LABEL_MAX], bool fill)
{
    char want[CB_PEM_LABEL_MAX + 32];
    size_t before = 5 + strlen(word) + 1;
    snprintf(want, sizeof want, "-----%s ", word);
    if (line.len < before + 5 || memcmp(line.data, want, before) != 0 ||
        memcmp(line.data + line.len - 5, "-----", 5) != 0)
        return false;
    size_t len = line.len - before - 5;
    if (fill && len < CB_PEM_LABEL_MAX) {
        memcpy(label, line.data + before, len);
        label[len] = 0;
    }
    return len < CB_PEM_LABEL_MAX && strlen(label) == len &&
           memcmp(label, line.data + before, len) == 0;
}

bool cb_pem_next(cb_cursor *text, char label[CB_PEM_LABEL_MAX], cb_buf *der)
{
    cb_buf base64 = CB_BUF(BASE64_MAX);
    cb_bytes line;
    bool inside = false, ended = false;
    while (!ended && next_line(text, &line)) {
        if (!inside)
            inside = is_border(line, "BEGIN", label, true);
        else if (is_border(line, "END", label, false))
            ended = true;
        else
            cb_buf_put(&base64, line);
    }
    if (inside && (!ended || base64.len == 0 || cb_buf_error(&base64) ||
                   cb_unbase64(cb_buf_bytes(&base64), der) != CB_OK)) {
        cb_cursor_fail(text);
        ended = false;
    }
    cb_buf_free(&base64);
    return ended;
}

void cb_pem_put(cb_buf *out, const char *label, cb_bytes der)
{
    cb_buf base64 = CB_BUF(BASE64_MAX);
    cb_buf_put_base64(&base64, der);
    cb_buf_printf(out, "-----BEGIN %s-----\n", label);
    cb_cursor rest = cb_cursor_over(cb_buf_bytes(&base64));
    while (rest.rest.len) {
        cb_buf_put(out, cb_cursor_take(&rest, rest.rest.len < LINE ? rest.rest.len : LINE));
        cb_buf_put_u8(out, '\n');
    }
    cb_buf_printf(out, "-----END %s-----\n", label);
    if (cb_buf_error(&base64) && !out->error)
        out->error = cb_buf_error(&base64);
    cb_buf_free(&base64);
}
