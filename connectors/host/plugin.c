/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connectors/host/plugin.h"

#include <ctype.h>
#include <dlfcn.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/json_text.h"
#include "hsm/records.h"

enum { FIELDS_MAX = 64, NAME_MAX_BYTES = 63 };

static const struct {
    unsigned bit;
    const char *name;
} kinds[] = {{CARDBROKER_TOKEN, "token"},
             {CARDBROKER_ONE_TIME_URL, "url"},
             {CARDBROKER_COOKIES, "cookies"},
             {CARDBROKER_RELAYED, "relayed"}};

static const char *const algorithms[] = {NULL,       "ec-p256",     "ec-p384", "rsa-2048",
                                         "rsa-3072", "hmac-sha256", "secret"};
static const char *const types[] = {NULL, "string", "integer", "boolean", "url", "file", "choice"};

enum {
    KINDS = sizeof kinds / sizeof *kinds,
    ALGORITHMS = sizeof algorithms / sizeof *algorithms,
    TYPES = sizeof types / sizeof *types
};

static cb_error refuse(cb_buf *why, const char *name, const char *reason)
{
    cb_buf_printf(why, "connector %s: %s", name, reason);
    return CB_E_CONFIG;
}

static bool is_name(const char *text)
{
    size_t len = text ? strlen(text) : 0;
    for (size_t i = 0; i < len; i++) {
        if (!islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i]) &&
            text[i] != '-' && text[i] != '_')
            return false;
    }
    return len > 0 && len <= NAME_MAX_BYTES;
}

static const char *fault_of_field(const cardbroker_field *field)
{
    if (!is_name(field->name) || !field->help)
        return "a field has no proper name or no help";
    if (field->type < CARDBROKER_STRING || field->type > CARDBROKER_CHOICE)
        return "a field has an unknown type";
    if (field->type == CARDBROKER_CHOICE && !field->choices)
        return "a field of choices has none";
    if (field->flags & ~(unsigned)(CARDBROKER_REQUIRED | CARDBROKER_OF_ENROLMENT))
        return "a field has unknown flags";
    if ((field->type == CARDBROKER_FILE || field->type == CARDBROKER_URL) &&
        field->flags & CARDBROKER_OF_ENROLMENT)
        return "files and URLs are the service's, never an enrolment's";
    return NULL;
}

static const char *fault_of_description(const cardbroker_description *about)
{
    if (!about || about->size < sizeof *about)
        return "its description is missing or too short";
    if (!is_name(about->name) || !about->title || !about->version)
        return "its description lacks name, title or version";
    if (about->kinds == 0 || about->kinds >= 1u << KINDS)
        return "it declares no kind of result, or an unknown one";
    if (about->algorithms == 0 || about->algorithms >= 1u << ALGORITHMS || about->algorithms & 1)
        return "it declares no algorithm, or an unknown one";
    if (about->field_count > FIELDS_MAX || (about->field_count > 0 && !about->fields))
        return "its table of fields is missing or too long";
    const char *fault = NULL;
    for (size_t i = 0; i < about->field_count && !fault; i++)
        fault = fault_of_field(&about->fields[i]);
    return fault;
}

cb_error cb_plugin_check(cb_plugin *plugin, const char *name, const cardbroker_connector *table,
                         cb_buf *why)
{
    if (table->abi != CARDBROKER_CONNECTOR_ABI)
        return refuse(why, name, "it was built for another version of the connector interface");
    if (table->size < sizeof *table || table->size > 4096)
        return refuse(why, name, "its table has the wrong size: build it anew");
    if (!table->describe || !table->authenticate)
        return refuse(why, name, "it lacks describe or authenticate");
    const cardbroker_description *about = table->describe();
    const char *fault = fault_of_description(about);
    if (fault)
        return refuse(why, name, fault);
    if (strcmp(about->name, name) != 0)
        return refuse(why, name,
                      "the plug-in calls itself otherwise: correct the name or the path");
    *plugin = (cb_plugin){.name = name, .table = table, .about = about};
    return CB_OK;
}

cb_error cb_plugin_load(cb_plugin *plugin, const char *name, const char *path, cb_buf *why)
{
    if (path[0] != '/')
        return refuse(why, name, "the path of the plug-in must start with \"/\"");
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return refuse(why, name, dlerror());
    const cardbroker_connector *table = dlsym(handle, CARDBROKER_CONNECTOR_SYMBOL);
    if (!table)
        return refuse(why, name, "the file has no symbol " CARDBROKER_CONNECTOR_SYMBOL);
    cb_error error = cb_plugin_check(plugin, name, table, why);
    plugin->handle = handle;
    return error;
}

static json_t *field_as_json(const cardbroker_field *field)
{
    json_t *out = json_pack(
        "{s:s, s:s, s:b, s:s, s:s}", "name", field->name, "type", types[field->type], "required",
        (field->flags & CARDBROKER_REQUIRED) != 0, "of",
        field->flags & CARDBROKER_OF_ENROLMENT ? "enrolment" : "service", "help", field->help);
    int failed = 0;
    if (field->fallback)
        failed |= json_object_set_new(out, "default", json_string(field->fallback));
    if (field->choices)
        failed |= json_object_set_new(out, "choices", json_string(field->choices));
    if (field->type == CARDBROKER_INTEGER) {
        failed |= json_object_set_new(out, "least", json_integer(field->least));
        failed |= json_object_set_new(out, "most", json_integer(field->most));
    }
    if (failed) {
        json_decref(out);
        out = NULL;
    }
    return out;
}

cb_error cb_plugin_describe(const cb_plugin *plugin, cb_buf *json)
{
    const cardbroker_description *about = plugin->about;
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:[], s:[], s:[]}", "name", about->name, "title", about->title,
                  "version", about->version, "kinds", "algorithms", "fields");
    bool whole = root;
    for (unsigned i = 0; whole && i < KINDS; i++) {
        if (about->kinds & kinds[i].bit)
            whole = json_array_append_new(json_object_get(root, "kinds"),
                                          json_string(kinds[i].name)) == 0;
    }
    for (unsigned i = 1; whole && i < ALGORITHMS; i++) {
        if (about->algorithms & CARDBROKER_USES(i))
            whole = json_array_append_new(json_object_get(root, "algorithms"),
                                          json_string(algorithms[i])) == 0;
    }
    for (size_t i = 0; whole && i < about->field_count; i++)
        whole = json_array_append_new(json_object_get(root, "fields"),
                                      field_as_json(&about->fields[i])) == 0;
    char *text = whole ? cb_json_dumps(root, JSON_COMPACT) : NULL;
    if (text)
        cb_buf_put_str(json, text);
    free(text);
    json_decref(root);
    return text ? cb_buf_error(json) : CB_E_MEMORY;
}
