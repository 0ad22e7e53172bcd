/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/evidence/leaf_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/leaf.h"
#include "base/text.h"

typedef struct line {
    cb_bytes name;
    cb_bytes value;
} line;

static cb_bytes take_until(cb_cursor *cursor, char end)
{
    const uint8_t *at = cursor->rest.len ? memchr(cursor->rest.data, end, cursor->rest.len) : NULL;
    if (!at) {
        cb_cursor_fail(cursor);
        return (cb_bytes){0};
    }
    cb_bytes taken = cb_cursor_take(cursor, (size_t)(at - cursor->rest.data));
    cb_cursor_u8(cursor);
    return taken;
}

static bool next_line(cb_cursor *cursor, line *out)
{
    if (cursor->failed || cursor->rest.len == 0)
        return false;
    cb_cursor whole = cb_cursor_over(take_until(cursor, '\n'));
    out->name = take_until(&whole, ' ');
    out->value = cb_cursor_rest(&whole);
    if (whole.failed || out->name.len == 0)
        cb_cursor_fail(cursor);
    return !cursor->failed;
}

static bool is(cb_bytes bytes, const char *text)
{
    return cb_bytes_same(bytes, cb_bytes_str(text));
}

/* ---- Values. The fields looked at never need escapes; one that has some does not parse. ---- */

static bool word(cb_bytes value, char *out, size_t size)
{
    if (value.len == 0 || value.len >= size || memchr(value.data, 0, value.len))
        return false;
    memcpy(out, value.data, value.len);
    out[value.len] = 0;
    return true;
}

static bool number(cb_bytes value, uint64_t *out)
{
    char text[24], *end = NULL;
    if (!word(value, text, sizeof text) || text[0] < '0' || text[0] > '9')
        return false;
    *out = strtoull(text, &end, 10);
    return *end == 0;
}

static bool identifier(cb_bytes value, cb_id *out)
{
    char text[CB_ID_TEXT];
    return word(value, text, sizeof text) && cb_id_parse(text, out) == CB_OK;
}

static bool digest(cb_bytes value, cb_digest *out)
{
    char text[2 * CB_SHA256_SIZE + 1];
    return word(value, text, sizeof text) &&
           cb_unhex_exact(text, out->bytes, CB_SHA256_SIZE) == CB_OK;
}

/* The one way in which cb_time_text writes a moment. */
static bool moment(cb_bytes value, int64_t *out)
{
    char text[CB_TIME_TEXT], again[CB_TIME_TEXT];
    struct tm t = {0};
    int micro = 0;
    if (!word(value, text, sizeof text) ||
        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour,
               &t.tm_min, &t.tm_sec, &micro) != 7)
        return false;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    *out = (int64_t)timegm(&t) * CB_SECOND + micro;
    cb_time_text(*out, again);
    return strcmp(text, again) == 0;
}

static bool receipt(cb_bytes value, cb_leaf_fields *out)
{
    if (out->receipts >= CB_LEAF_RECEIPTS)
        return false;
    out->receipt[out->receipts++] = value;
    return true;
}

/* False when a field that is looked at is wrong. Others are left alone. */
static bool take_field(const line *l, cb_leaf_fields *out)
{
    if (is(l->name, "tap"))
        return identifier(l->value, &out->tap);
    if (is(l->name, "card"))
        return identifier(l->value, &out->card);
    if (is(l->name, "holder"))
        return identifier(l->value, &out->holder);
    if (is(l->name, "service"))
        out->service = l->value;
    if (is(l->name, "terminal"))
        return identifier(l->value, &out->terminal);
    if (is(l->name, "enrolment"))
        return identifier(l->value, &out->enrolment);
    if (is(l->name, "key"))
        return identifier(l->value, &out->key);
    if (is(l->name, "state"))
        return word(l->value, out->state, sizeof out->state);
    if (is(l->name, "outcome"))
        return word(l->value, out->outcome, sizeof out->outcome);
    if (is(l->name, "failure"))
        return word(l->value, out->failure, sizeof out->failure);
    if (is(l->name, "failures"))
        return number(l->value, &out->failures);
    if (is(l->name, "failed_at"))
        return number(l->value, &out->failed_at);
    if (is(l->name, "reached"))
        return number(l->value, &out->reached);
    if (is(l->name, "expires"))
        return number(l->value, &out->expires);
    if (is(l->name, "own_expires"))
        return number(l->value, &out->own_expires);
    if (is(l->name, "sequence"))
        return number(l->value, &out->sequence);
    if (is(l->name, "cards"))
        return number(l->value, &out->cards);
    if (is(l->name, "due"))
        return number(l->value, &out->due);
    if (is(l->name, "generation"))
        return number(l->value, &out->generation);
    if (is(l->name, "intent"))
        return out->has_intent = number(l->value, &out->intent);
    if (is(l->name, "feed"))
        return out->has_feed = number(l->value, &out->feed);
    if (is(l->name, "feed_hash"))
        return digest(l->value, &out->feed_hash);
    return !is(l->name, "receipt") || receipt(l->value, out);
}

/* Of intents and results: who reads the first line of a name and who reads the last must read the
 * same. */
static bool comes_again(const line *l, uint32_t *seen)
{
    static const char *const once[] = {"tap",     "intent",  "outcome", "card",      "holder",
                                       "terminal", "service", "key",     "enrolment", "session",
                                       "profile", "purpose", "level",   "text",      "reached"};
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
        if (is(l->name, once[i])) {
            bool again = (*seen >> i & 1) != 0;
            *seen |= UINT32_C(1) << i;
            return again;
        }
    }
    return false;
}

/* The three lines that every leaf begins with. */
static bool take_beginning(cb_cursor *cursor, cb_leaf_fields *out)
{
    line version, kind, time;
    return next_line(cursor, &version) && is(version.name, "cardbroker-evidence") &&
           is(version.value, "1") && next_line(cursor, &kind) && is(kind.name, "kind") &&
           word(kind.value, out->kind, sizeof out->kind) && next_line(cursor, &time) &&
           is(time.name, "time") && moment(time.value, &out->time);
}

cb_error cb_leaf_fields_read(cb_bytes leaf, cb_leaf_fields *out)
{
    cb_cursor cursor = cb_cursor_over(leaf);
    line l;
    uint32_t seen = 0;
    *out = (cb_leaf_fields){0};
    if (leaf.len > CB_LEAF_MAX || !take_beginning(&cursor, out))
        return CB_E_FORMAT;
    bool of_tap = strcmp(out->kind, "tap.intent") == 0 || strcmp(out->kind, "tap.result") == 0;
    while (next_line(&cursor, &l)) {
        if (!take_field(&l, out))
            return CB_E_FORMAT;
        if (of_tap && comes_again(&l, &seen))
            out->repeated = true;
    }
    return cb_cursor_done(&cursor) ? CB_OK : CB_E_FORMAT;
}

bool cb_leaf_find_digest(cb_bytes leaf, const char *name, cb_digest *out)
{
    char text[2 * CB_SHA256_SIZE + 1];
    return cb_leaf_find_text(leaf, name, text, sizeof text) == CB_OK &&
           cb_unhex_exact(text, out->bytes, CB_SHA256_SIZE) == CB_OK;
}
