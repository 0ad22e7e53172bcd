/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/json_text.h"
#include "base/secret.h"
#include "base/text.h"

/* Before each piece of memory stands its size. */
enum { SIZE_ROOM = 16 };

static void *take(size_t size)
{
    char *start = size <= SIZE_MAX - SIZE_ROOM ? malloc(size + SIZE_ROOM) : NULL;
    if (!start)
        return NULL;
    memcpy(start, &size, sizeof size);
    return start + SIZE_ROOM;
}

static void give(void *memory)
{
    size_t size = 0;
    if (!memory)
        return;
    char *start = (char *)memory - SIZE_ROOM;
    memcpy(&size, start, sizeof size);
    cb_wipe(start, size + SIZE_ROOM);
    free(start);
}

void cb_json_wipe_always(void) { cb_json_allocate(take, give); }

/* jansson's own limit is a constant of its build; this one comes before any memory is spent on
 * nesting. */
static bool too_deep(cb_bytes text)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > CB_JSON_DEPTH)
            return true;
    }
    return false;
}

cb_error cb_json_read(cb_bytes text, json_t **out, cb_buf *why)
{
    json_error_t error;
    *out = NULL;
    if (too_deep(text)) {
        cb_buf_printf(why, "The body is nested deeper than %d levels.", CB_JSON_DEPTH);
        return CB_E_FORMAT;
    }
    json_t *value = cb_json_load(text, JSON_REJECT_DUPLICATES, &error);
    if (!value && errno == ENOMEM)
        return CB_E_MEMORY;
    if (!value) {
        cb_buf_printf(why, "The body is not JSON (line %d, column %d): %s.", error.line,
                      error.column, error.text);
        return CB_E_FORMAT;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        cb_buf_put_str(why, "The body must be a JSON object.");
        return CB_E_FORMAT;
    }
    *out = value;
    return CB_OK;
}

static bool read_text(const json_t *value, const cb_field *field, cb_buf *why)
{
    size_t length = json_is_string(value) ? json_string_length(value) : 0;
    if (length == 0 || length > field->max) {
        cb_buf_printf(why, "%s must be a string of 1 to %zu bytes.", field->name, field->max);
        return false;
    }
    *(const char **)field->out = json_string_value(value);
    return true;
}

static bool read_id(const json_t *value, const cb_field *field, cb_buf *why)
{
    if (json_is_string(value) && cb_id_parse(json_string_value(value), field->out) == CB_OK)
        return true;
    cb_buf_printf(why, "%s must be an identifier (a UUID).", field->name);
    return false;
}

static bool read_hex(const json_t *value, const cb_field *field, cb_buf *why)
{
    size_t length = json_is_string(value) ? json_string_length(value) : 0;
    if (length > 0 && length / 2 <= field->max &&
        cb_unhex(cb_bytes_make(json_string_value(value), length), field->out) == CB_OK)
        return true;
    cb_buf_printf(why, "%s must be 1 to %zu bytes in hexadecimal.", field->name, field->max);
    return false;
}

static bool read_number(const json_t *value, const cb_field *field, cb_buf *why)
{
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < 0 || (uint64_t)number > field->max) {
        cb_buf_printf(why, "%s must be a whole number from 0 to %zu.", field->name, field->max);
        return false;
    }
    *(int64_t *)field->out = number;
    return true;
}

static bool read_truth(const json_t *value, const cb_field *field, cb_buf *why)
{
    if (!json_is_boolean(value)) {
        cb_buf_printf(why, "%s must be true or false.", field->name);
        return false;
    }
    *(bool *)field->out = json_is_true(value);
    return true;
}

static bool read_nested(json_t *value, const cb_field *field, cb_buf *why)
{
    if (field->kind == CB_FIELD_OBJECT
            ? !json_is_object(value)
            : !json_is_array(value) || json_array_size(value) > field->max) {
        if (field->kind == CB_FIELD_OBJECT)
            cb_buf_printf(why, "%s must be an object.", field->name);
        else
            cb_buf_printf(why, "%s must be a list of at most %zu elements.", field->name,
                          field->max);
        return false;
    }
    *(json_t **)field->out = value;
    return true;
}

static bool read_field(json_t *value, const cb_field *field, cb_buf *why)
{
    switch (field->kind) {
    case CB_FIELD_TEXT:
        return read_text(value, field, why);
    case CB_FIELD_ID:
        return read_id(value, field, why);
    case CB_FIELD_HEX:
        return read_hex(value, field, why);
    case CB_FIELD_NUMBER:
        return read_number(value, field, why);
    case CB_FIELD_TRUTH:
        return read_truth(value, field, why);
    case CB_FIELD_OBJECT:
    case CB_FIELD_LIST:
        return read_nested(value, field, why);
    }
    return false;
}

/* The one kind whose value is copied. */
static bool no_memory_for(const cb_field *field)
{
    return field->kind == CB_FIELD_HEX && cb_buf_error(field->out) == CB_E_MEMORY;
}

static bool is_known(const char *name, const cb_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, fields[i].name) == 0)
            return true;
    return false;
}

cb_error cb_fields_read(const json_t *object, const cb_field *fields, size_t count, cb_buf *why)
{
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        if (is_known(json_object_iter_key(at), fields, count))
            continue;
        cb_buf_printf(why, "There is no field \"%.64s\" here: remove it or correct its spelling.",
                      json_object_iter_key(at));
        return CB_E_UNKNOWN_FIELD;
    }
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(object, fields[i].name);
        if (!value && fields[i].required) {
            cb_buf_printf(why, "%s is missing.", fields[i].name);
            return CB_E_ARGUMENT;
        }
        if (value && !read_field(value, &fields[i], why))
            return no_memory_for(&fields[i]) ? CB_E_MEMORY : CB_E_ARGUMENT;
    }
    return CB_OK;
}

void cb_json_text_free(char **text)
{
    json_free_t release = NULL;
    json_get_alloc_funcs(NULL, &release);
    if (*text)
        release(*text);
    *text = NULL;
}

char *cb_json_text(const json_t *object) { return cb_json_dumps(object, JSON_COMPACT); }
