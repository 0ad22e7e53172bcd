/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/fields.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/config.h"
#include "base/json_text.h"

enum { HTTPS_PORT = 443, TEXT_MAX = 16 * 1024 };

static bool is_host_character(unsigned char c)
{
    return isalnum(c) || c == '-' || c == '.' || c == '_';
}

/* "[v6 address]" or a name; returns what follows it, NULL if it is neither. */
static const char *take_host(const char *at, cb_origin *out)
{
    bool brackets = *at == '[';
    size_t len = 0;
    at += brackets;
    while (brackets ? isxdigit((unsigned char)at[len]) || at[len] == ':' || at[len] == '.'
                    : is_host_character((unsigned char)at[len]))
        len++;
    if (len == 0 || len > CB_HOST_MAX || (brackets && at[len] != ']'))
        return NULL;
    for (size_t i = 0; i < len; i++)
        out->host[i] = (char)tolower((unsigned char)at[i]);
    out->host[len] = 0;
    return at + len + brackets;
}

static const char *take_port(const char *at, cb_origin *out)
{
    unsigned long port = HTTPS_PORT;
    if (*at == ':') {
        char *end;
        if (!isdigit((unsigned char)at[1]))
            return NULL;
        port = strtoul(at + 1, &end, 10);
        at = end;
    }
    out->port = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX ? at : NULL;
}

bool cb_is_header_text(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return false;
    }
    return true;
}

cb_error cb_origin_of(const char *url, cb_origin *out, const char **path)
{
    static const char scheme[] = "https://";
    *out = (cb_origin){.port = 0};
    if (strncasecmp(url, scheme, sizeof scheme - 1) != 0 || !cb_is_header_text(url) ||
        strpbrk(url, " #\\\"<>"))
        return CB_E_FORMAT;
    const char *at = take_host(url + sizeof scheme - 1, out);
    if (at)
        at = take_port(at, out);
    if (!at || (*at && *at != '/' && *at != '?'))
        return CB_E_FORMAT;
    if (path)
        *path = at;
    return CB_OK;
}

bool cb_origin_same(const cb_origin *a, const cb_origin *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static cb_error complain(cb_buf *why, const cardbroker_field *field, const char *what)
{
    cb_buf_printf(why, "%s: %s", field->name, what);
    return CB_E_ARGUMENT;
}

static cb_error take_url(cb_fields *fields, const cardbroker_field *field, const char *text,
                         cb_buf *why)
{
    cb_origin origin;
    if (cb_origin_of(text, &origin, NULL) != CB_OK)
        return complain(why, field, "is not an https:// address");
    for (size_t i = 0; i < fields->origin_count; i++) {
        if (cb_origin_same(&fields->origins[i], &origin))
            return CB_OK;
    }
    if (fields->origin_count == CB_ORIGINS_MAX)
        return complain(why, field, "names one origin too many");
    fields->origins[fields->origin_count++] = origin;
    return CB_OK;
}

/* Ended here once, the text can be had for ever: none seems to be absent for want of memory. */
static cb_error finished(cb_buf *text) { return cb_buf_cstr(text) ? CB_OK : cb_buf_error(text); }

static cb_error take_file(const cardbroker_field *field, const char *path, cb_field_value *value,
                          cb_buf *why)
{
    value->text = CB_BUF(CB_FILE_MAX);
    if (path[0] != '/')
        return complain(why, field, "is not a path that starts with \"/\"");
    cb_error error = cb_file_read(path, &value->text);
    if (error && error != CB_E_MEMORY)
        return complain(why, field, "names a file that cannot be read");
    return error ? error : finished(&value->text);
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    if (strchr(text, '|'))
        return false;
    for (const char *at = choices; len > 0 && at;
         at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        if (strncmp(at, text, len) == 0 && (at[len] == '|' || at[len] == 0))
            return true;
    }
    return false;
}

static cb_error take_integer(const cardbroker_field *field, const char *text, cb_field_value *value,
                             cb_buf *why)
{
    char *end;
    value->number = strtoll(text, &end, 10);
    if (end == text || *end)
        return complain(why, field, "is not a whole number");
    if (value->number < field->least || value->number > field->most) {
        cb_buf_printf(why, "%s: is not between %" PRId64 " and %" PRId64, field->name, field->least,
                      field->most);
        return CB_E_ARGUMENT;
    }
    return CB_OK;
}

static cb_error take_text(cb_fields *fields, const cardbroker_field *field, const char *text,
                          cb_field_value *value, cb_buf *why)
{
    value->set = true;
    if (field->type == CARDBROKER_FILE)
        return take_file(field, text, value, why);
    value->text = CB_BUF(TEXT_MAX);
    cb_buf_put_str(&value->text, text);
    cb_error error = finished(&value->text);
    if (error)
        return error;
    switch (field->type) {
    case CARDBROKER_URL:
        return take_url(fields, field, text, why);
    case CARDBROKER_INTEGER:
        return take_integer(field, text, value, why);
    case CARDBROKER_BOOLEAN:
        value->number = strcmp(text, "true") == 0;
        return value->number || strcmp(text, "false") == 0
                   ? CB_OK
                   : complain(why, field, "is neither true nor false");
    case CARDBROKER_CHOICE:
        return is_choice(field->choices, text) ? CB_OK
                                               : complain(why, field, "is not one of the choices");
    default:
        return CB_OK;
    }
}

static cb_error take_json(cb_fields *fields, const cardbroker_field *field, const json_t *json,
                          cb_field_value *value, cb_buf *why)
{
    char number[32];
    switch (field->type) {
    case CARDBROKER_INTEGER:
        if (!json_is_integer(json))
            return complain(why, field, "is not a whole number");
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        return take_text(fields, field, number, value, why);
    case CARDBROKER_BOOLEAN:
        if (!json_is_boolean(json))
            return complain(why, field, "is neither true nor false");
        return take_text(fields, field, json_is_true(json) ? "true" : "false", value, why);
    default:
        if (!json_is_string(json))
            return complain(why, field, "is not a string");
        return take_text(fields, field, json_string_value(json), value, why);
    }
}

static size_t place_of(const cardbroker_description *about, const char *name)
{
    size_t i = 0;
    while (i < about->field_count && strcmp(about->fields[i].name, name) != 0)
        i++;
    return i;
}

/* of: CARDBROKER_OF_ENROLMENT or 0. */
static cb_error take_object(cb_fields *fields, const char *text, unsigned of, cb_buf *why)
{
    json_error_t fault;
    const char *name;
    json_t *member;
    const char *whose = of ? "the enrolment's data" : "the configuration";
    json_t *root = cb_json_load(cb_bytes_str(text), JSON_REJECT_DUPLICATES, &fault);
    if (!root && errno == ENOMEM)
        return CB_E_MEMORY;
    cb_error error = json_is_object(root) ? CB_OK : CB_E_ARGUMENT;
    if (error)
        cb_buf_printf(why, "%s is not a JSON object: %s", whose, root ? "" : fault.text);
    void *walk = error ? NULL : json_object_iter(root);
    for (; walk && !error; walk = json_object_iter_next(root, walk)) {
        name = json_object_iter_key(walk);
        member = json_object_iter_value(walk);
        size_t i = place_of(fields->about, name);
        if (i == fields->about->field_count ||
            (fields->about->fields[i].flags & CARDBROKER_OF_ENROLMENT) != of) {
            cb_buf_printf(why, "%s has a field that this connector does not know: %.64s", whose,
                          name);
            error = CB_E_ARGUMENT;
        } else {
            error = take_json(fields, &fields->about->fields[i], member, &fields->values[i], why);
        }
    }
    json_decref(root);
    return error;
}

static cb_error complete(cb_fields *fields, unsigned of, cb_buf *why)
{
    cb_error error = CB_OK;
    for (size_t i = 0; i < fields->about->field_count && !error; i++) {
        const cardbroker_field *field = &fields->about->fields[i];
        if (fields->values[i].set || (field->flags & CARDBROKER_OF_ENROLMENT) != of)
            continue;
        if (field->fallback)
            error = take_text(fields, field, field->fallback, &fields->values[i], why);
        else if (field->flags & CARDBROKER_REQUIRED)
            error = complain(why, field, "is missing");
    }
    return error;
}

cb_error cb_fields_read(cb_fields *fields, const cardbroker_description *about, const char *config,
                        const char *enrolment, cb_buf *why)
{
    *fields = (cb_fields){.about = about};
    cb_error error = take_object(fields, config, 0, why);
    if (!error)
        error = complete(fields, 0, why);
    if (!error && enrolment)
        error = take_object(fields, enrolment, CARDBROKER_OF_ENROLMENT, why);
    if (!error && enrolment)
        error = complete(fields, CARDBROKER_OF_ENROLMENT, why);
    return error;
}

const cb_field_value *cb_fields_find(const cb_fields *fields, const char *name)
{
    size_t i = place_of(fields->about, name);
    return i < fields->about->field_count && fields->values[i].set ? &fields->values[i] : NULL;
}

void cb_fields_free(cb_fields *fields)
{
    for (size_t i = 0; i < CB_FIELDS_MAX; i++)
        cb_buf_free(&fields->values[i].text);
}
