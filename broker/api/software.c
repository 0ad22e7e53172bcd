/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/software.h"

#include "base/clock.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"

#define DAY (24 * 3600 * CB_SECOND)

static json_t *time_or_null(int64_t time) { return time ? cb_json_time(time) : json_null(); }

static json_t *json_entry(const cb_software_entry *entry)
{
    json_t *config =
        entry->any_config ? json_null() : cb_json_hex(cb_digest_bytes(&entry->what.config));
    return json_pack("{so, ss, so, so, ss, so, so, so}", "id", cb_json_id(&entry->id), "version",
                     entry->what.version, "program",
                     cb_json_hex(cb_digest_bytes(&entry->what.program)), "config", config, "note",
                     entry->note, "from", time_or_null(entry->since), "until",
                     time_or_null(entry->until), "created", cb_json_time(entry->created));
}

static cb_error take_digest(cb_reply *reply, const char *name, const cb_buf *given, cb_digest *out)
{
    if (given->len != CB_SHA256_SIZE)
        return cb_reply_fail(reply, CB_E_ARGUMENT, "%s must be a SHA-256 in hexadecimal.", name);
    memcpy(out->bytes, given->data, CB_SHA256_SIZE);
    return CB_OK;
}

cb_error cb_api_software_add(cb_request *request, cb_reply *reply)
{
    cb_software_new fresh = {0};
    cb_software_entry entry;
    cb_digest program, config;
    const char *from = NULL, *until = NULL;
    cb_buf program_hex = CB_BUF(CB_SHA256_SIZE), config_hex = CB_BUF(CB_SHA256_SIZE);
    const cb_field fields[] = {
        {"version", CB_FIELD_TEXT, true, CB_SOFTWARE_VERSION_MAX, &fresh.version},
        {"program", CB_FIELD_HEX, true, CB_SHA256_SIZE, &program_hex},
        {"config", CB_FIELD_HEX, false, CB_SHA256_SIZE, &config_hex},
        {"note", CB_FIELD_TEXT, false, CB_NAME_MAX, &fresh.note},
        {"from", CB_FIELD_TEXT, false, CB_DAY_TEXT, &from},
        {"until", CB_FIELD_TEXT, false, CB_DAY_TEXT, &until},
    };
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error)
        error = take_digest(reply, "program", &program_hex, &program);
    if (!error && config_hex.len > 0)
        error = take_digest(reply, "config", &config_hex, &config);
    if (!error)
        error = cb_api_day(reply, from, &fresh.since);
    if (!error)
        error = cb_api_day(reply, until, &fresh.until);
    fresh.since -= fresh.since ? DAY : 0; /* the first day from its beginning on */
    fresh.program = &program;
    fresh.config = config_hex.len > 0 ? &config : NULL;
    if (!error)
        error = cb_software_add(cb_api_of(request)->store, request->actor, &fresh, &entry);
    if (!error)
        error = cb_reply_json(reply, 201, json_entry(&entry));
    cb_buf_free(&program_hex);
    cb_buf_free(&config_hex);
    return error;
}

static cb_error add_row(void *page, const cb_software_entry *entry)
{
    return cb_page_add(page, json_entry(entry));
}

cb_error cb_api_software_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_error error = cb_page_read(request, reply, false, NULL, 0, &page);
    if (!error)
        error = cb_software_list(cb_api_of(request)->store, &page.after, (unsigned)page.limit,
                                 add_row, &page);
    return cb_page_reply(reply, &page, "software", "id", error);
}

cb_error cb_api_software_remove(cb_request *request, cb_reply *reply)
{
    const cb_id *id = &request->match.parameters[0].id;
    cb_error error = cb_software_remove(cb_api_of(request)->store, request->actor, id, NULL);
    return error ? error
                 : cb_reply_json(reply, 200,
                                 json_pack("{so, ss}", "id", cb_json_id(id), "state", "removed"));
}

/* ---- Of terminals ---- */

static json_t *json_said(const cb_terminal_software *said, uint8_t standing)
{
    const char *status = standing ? cb_software_standing_name(standing) : NULL;
    if (!said->what.version[0])
        return json_pack("{ss?}", "status", status);
    return json_pack("{ss?, ss, so, so, so, so}", "status", status, "version", said->what.version,
                     "program", cb_json_hex(cb_digest_bytes(&said->what.program)), "config",
                     cb_json_hex(cb_digest_bytes(&said->what.config)), "started",
                     cb_json_time(said->started), "received", cb_json_time(said->received));
}

cb_error cb_api_put_software(cb_api *api, json_t *terminal)
{
    cb_id id;
    uint8_t standing;
    cb_terminal_software said;
    const char *text = json_string_value(json_object_get(terminal, "id"));
    cb_error error = text ? cb_id_parse(text, &id) : CB_E_MEMORY;
    if (!error)
        error = cb_software_of(api->store, &id, &said, &standing);
    if (!error && json_object_set_new(terminal, "software", json_said(&said, standing)) != 0)
        error = CB_E_MEMORY;
    return error;
}
