/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/api.h"
#include "base/pem.h"
#include "base/secret.h"
#include "broker/api/rows.h"
#include "broker/core/terminal_log.h"

enum { PEM_MAX = 16 * 1024, DAY = 86400 };

static cb_error read_key(cb_reply *reply, const char *pem, cb_digest *key)
{
    cb_buf der = CB_BUF(CB_CERTIFICATE_MAX);
    cb_error error = cb_pem_read(pem, &der, NULL);
    if (!error)
        error = cb_certificate_key(cb_buf_bytes(&der), key);
    cb_buf_free(&der);
    if (error && error != CB_E_MEMORY)
        error = cb_reply_fail(reply, CB_E_ARGUMENT,
                              "certificate must be one X.509 certificate in PEM.");
    return error;
}

static cb_error read_services(cb_reply *reply, const json_t *list, cb_terminal_new *terminal,
                              const char *names[CB_TERMINAL_SERVICES_MAX])
{
    if (!list)
        return CB_OK;
    for (size_t i = 0; i < json_array_size(list); i++) {
        names[i] = json_string_value(json_array_get(list, i));
        if (!names[i] || !cb_service_name_ok(names[i]))
            return cb_reply_fail(reply, CB_E_ARGUMENT,
                                 "services must be a list of services' names.");
    }
    terminal->services = names;
    terminal->service_count = (unsigned)json_array_size(list);
    return CB_OK;
}

static cb_error read_kind(cb_reply *reply, const char *name, uint8_t *kind)
{
    *kind = name ? cb_terminal_kind_parse(name) : CB_TERMINAL_UNSTATED;
    if (name && *kind == CB_TERMINAL_UNSTATED)
        return cb_reply_fail(reply, CB_E_ARGUMENT, "kind must be attended, unattended or personal.");
    return CB_OK;
}

/* The only time that anybody sees the code. */
static json_t *with_code(json_t *terminal, const cb_terminal_code *code)
{
    if (!terminal || !code)
        return terminal;
    if (json_object_set_new(terminal, "code", json_string(code->text)) != 0 ||
        json_object_set_new(terminal, "code_expires", cb_json_time(code->expires)) != 0) {
        json_decref(terminal);
        terminal = NULL;
    }
    return terminal;
}

cb_error cb_api_terminal_add(cb_request *request, cb_reply *reply)
{
    cb_terminal_new fresh = {0};
    const char *names[CB_TERMINAL_SERVICES_MAX];
    const char *pem = NULL, *kind = NULL;
    json_t *services = NULL;
    int64_t rate = 0, valid = DAY;
    cb_terminal terminal;
    cb_terminal_code code = {0};
    const cb_field fields[] = {
        {"name", CB_FIELD_TEXT, true, CB_NAME_MAX, &fresh.name},
        {"certificate", CB_FIELD_TEXT, false, PEM_MAX, &pem},
        {"valid", CB_FIELD_NUMBER, false, CB_TERMINAL_CODE_SECONDS_MAX, &valid},
        {"services", CB_FIELD_LIST, false, CB_TERMINAL_SERVICES_MAX, &services},
        {"rate", CB_FIELD_NUMBER, false, 1000000, &rate},
        {"passwords", CB_FIELD_TRUTH, false, 0, &fresh.passwords},
        {"kind", CB_FIELD_TEXT, false, 16, &kind},
        {"pin_pad", CB_FIELD_TRUTH, false, 0, &fresh.pad},
    };
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error)
        error = pem ? read_key(reply, pem, &fresh.key) : cb_terminal_code_make(valid, &code);
    if (!error)
        error = read_services(reply, services, &fresh, names);
    if (!error)
        error = read_kind(reply, kind, &fresh.kind);
    fresh.rate = (uint32_t)rate;
    fresh.code = pem ? NULL : &code;
    if (!error)
        error = cb_terminal_add(cb_api_of(request)->store, request->actor, &fresh, &terminal);
    if (!error)
        error = cb_reply_json(reply, 201, with_code(cb_json_terminal(&terminal), fresh.code));
    cb_wipe(&code, sizeof code);
    return error;
}

cb_error cb_api_terminal_code(cb_request *request, cb_reply *reply)
{
    int64_t valid = DAY;
    cb_terminal terminal;
    cb_terminal_code code = {0};
    const cb_id *id = &request->match.parameters[0].id;
    const cb_field fields[] = {
        {"valid", CB_FIELD_NUMBER, false, CB_TERMINAL_CODE_SECONDS_MAX, &valid}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = cb_terminal_code_make(valid, &code);
    if (!error)
        error = cb_terminal_code_set(cb_api_of(request)->store, request->actor, id, &code);
    if (!error)
        error = cb_terminal_get(cb_api_of(request)->store, id, &terminal);
    if (!error)
        error = cb_reply_json(reply, 200, with_code(cb_json_terminal(&terminal), &code));
    cb_wipe(&code, sizeof code);
    return error;
}

static cb_error add_row(void *page, const cb_terminal *terminal)
{
    return cb_page_add(page, cb_json_terminal(terminal));
}

cb_error cb_api_terminal_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_error error = cb_page_read(request, reply, false, NULL, 0, &page);
    if (!error)
        error = cb_terminal_list(cb_api_of(request)->store, &page.after, (unsigned)page.limit,
                                 add_row, &page);
    for (size_t i = 0; !error && i < json_array_size(page.rows); i++)
        error = cb_api_put_software(cb_api_of(request), json_array_get(page.rows, i));
    return cb_page_reply(reply, &page, "terminals", "id", error);
}

cb_error cb_api_terminal_get(cb_request *request, cb_reply *reply)
{
    cb_terminal terminal;
    cb_journal_row row;
    const cb_id *id = &request->match.parameters[0].id;
    cb_error error = cb_terminal_get(cb_api_of(request)->store, id, &terminal);
    if (!error)
        error = cb_terminal_log_get(cb_api_of(request)->store, id, &row);
    if (error)
        return error;
    json_t *json = cb_json_terminal(&terminal);
    if (json_object_set_new(json, "log", cb_json_terminal_log(&row)) != 0)
        error = CB_E_MEMORY;
    if (!error)
        error = cb_api_put_software(cb_api_of(request), json);
    if (!error)
        error = cb_api_put_maintenance(cb_api_of(request), &terminal, json);
    if (!error)
        return cb_api_reply_failing(request, reply, json, CB_OF_TERMINAL, id);
    json_decref(json);
    return error;
}

static cb_error change(cb_request *request, cb_reply *reply, cb_terminal_act act, const char *why)
{
    cb_api *api = cb_api_of(request);
    const char *reason = NULL;
    cb_affected affected = {0};
    cb_session_match match = {.terminal = request->match.parameters[0].id};
    const cb_field fields[] = {{"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = cb_terminal_change(api->store, request->actor, &match.terminal, act, reason,
                                   &affected);
    if (!error && why)
        cb_api_cut(api, &affected, &match, why);
    if (!error)
        error = cb_api_terminal_get(request, reply);
    cb_affected_free(&affected);
    return error;
}

cb_error cb_api_terminal_describe(cb_request *request, cb_reply *reply)
{
    const char *name = NULL, *reason = NULL;
    bool pad = false;
    uint8_t kind = CB_TERMINAL_UNSTATED;
    const cb_id *id = &request->match.parameters[0].id;
    const cb_field fields[] = {{"kind", CB_FIELD_TEXT, false, 16, &name},
                               {"pin_pad", CB_FIELD_TRUTH, true, 0, &pad},
                               {"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 3);
    if (!error)
        error = read_kind(reply, name, &kind);
    if (!error)
        error = cb_terminal_describe(cb_api_of(request)->store, request->actor, id, kind, pad,
                                     reason);
    return error ? error : cb_api_terminal_get(request, reply);
}

cb_error cb_api_terminal_confirm(cb_request *request, cb_reply *reply)
{
    cb_terminal_new as = {0};
    const char *names[CB_TERMINAL_SERVICES_MAX];
    const char *kind = NULL, *reason = NULL;
    json_t *services = NULL;
    int64_t rate = 0;
    bool all = false;
    cb_buf key = CB_BUF(CB_SHA256_SIZE);
    const cb_id *id = &request->match.parameters[0].id;
    const cb_field fields[] = {{"key", CB_FIELD_HEX, true, CB_SHA256_SIZE, &key},
                               {"services", CB_FIELD_LIST, false, CB_TERMINAL_SERVICES_MAX, &services},
                               {"all_services", CB_FIELD_TRUTH, false, 0, &all},
                               {"rate", CB_FIELD_NUMBER, true, 1000000, &rate},
                               {"passwords", CB_FIELD_TRUTH, false, 0, &as.passwords},
                               {"kind", CB_FIELD_TEXT, false, 16, &kind},
                               {"pin_pad", CB_FIELD_TRUTH, false, 0, &as.pad},
                               {"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error && key.len != sizeof as.key.bytes)
        error = cb_reply_fail(reply, CB_E_ARGUMENT, "key is a SHA-256, as the terminal has it.");
    if (!error && all == (services != NULL))
        error = cb_reply_fail(reply, CB_E_ARGUMENT, "Either services or all_services says what it may ask for.");
    if (!error)
        error = read_services(reply, services, &as, names);
    if (!error)
        error = read_kind(reply, kind, &as.kind);
    if (!error) {
        memcpy(as.key.bytes, key.data, sizeof as.key.bytes);
        as.rate = (uint32_t)rate;
        error = cb_terminal_confirm(cb_api_of(request)->store, request->actor, id, &as, reason);
    }
    cb_buf_free(&key);
    return error ? error : cb_api_terminal_get(request, reply);
}

cb_error cb_api_terminal_revoke(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_TERMINAL_REVOKE, "revoked");
}

cb_error cb_api_terminal_deactivate(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_TERMINAL_DEACTIVATE, "deactivated");
}

cb_error cb_api_terminal_reactivate(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_TERMINAL_REACTIVATE, NULL);
}

cb_error cb_api_terminal_dispose(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_TERMINAL_DISPOSE, "revoked");
}

/* The terminal's own word about itself, also of one that is de-activated; it can take rights away
 * from nobody else. */
cb_error cb_api_terminal_end(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    const char *reason = NULL;
    cb_affected affected = {0};
    cb_session_match match = {.terminal = request->terminal};
    const cb_field fields[] = {{"reason", CB_FIELD_TEXT, true, 16, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    bool tamper = !error && strcmp(reason, "tamper") == 0;
    if (!error && !tamper && strcmp(reason, "erased") != 0)
        error = cb_reply_fail(reply, CB_E_ARGUMENT, "reason must be erased or tamper.");
    if (!error)
        error = tamper ? cb_terminal_opened(api->store, &request->terminal, &affected)
                       : cb_terminal_change(api->store, "terminal", &request->terminal,
                                            CB_TERMINAL_REVOKE, reason, &affected);
    if (!error) {
        cb_api_cut(api, &affected, &match, tamper ? "deactivated" : "revoked");
        error = cb_reply_json(reply, 200,
                              json_pack("{ss}", "state", tamper ? "deactivated" : "revoked"));
    }
    cb_affected_free(&affected);
    return error;
}
