/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"

enum { SECONDS_MAX = 7 * 24 * 3600 };

static cb_error read_session(cb_reply *reply, const json_t *object, cb_service_new *service)
{
    const char *kind = NULL;
    int64_t life = 0;
    int64_t idle = 0;
    const cb_field fields[] = {
        {"kind", CB_FIELD_TEXT, false, 16, &kind},
        {"life", CB_FIELD_NUMBER, false, SECONDS_MAX, &life},
        {"idle", CB_FIELD_NUMBER, false, SECONDS_MAX, &idle},
    };
    if (!object)
        return CB_OK;
    cb_error error = cb_fields_read(object, fields, sizeof fields / sizeof *fields, &reply->detail);
    if (!error && kind && cb_session_kind_parse(kind, &service->kind) != CB_OK)
        error = cb_reply_fail(reply, CB_E_ARGUMENT,
                              "session.kind must be token, url, cookies or relayed.");
    service->life = life * CB_SECOND;
    service->idle = idle * CB_SECOND;
    return error;
}

/* Names of kinds of terminals; none, or no list: any. */
static cb_error read_kinds(cb_reply *reply, const json_t *list, cb_service_new *service)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        uint8_t kind = name ? cb_terminal_kind_parse(name) : CB_TERMINAL_UNSTATED;
        if (kind == CB_TERMINAL_UNSTATED)
            return cb_reply_fail(reply, CB_E_ARGUMENT,
                                 "terminals must be a list of attended, unattended, personal.");
        service->kinds |= (uint8_t)(1U << kind);
    }
    return CB_OK;
}

/* The connector knows what its configuration must look like. */
static cb_error check_config(cb_request *request, cb_reply *reply, const cb_service_new *service)
{
    cb_buf why = CB_BUF(512);
    cb_error error = cb_connectors_check(cb_api_of(request)->connectors, service->connector,
                                         service->config, &why);
    const char *text = cb_buf_cstr(&why);
    if (error == CB_E_ARGUMENT && why.len > 0 && text)
        error = cb_reply_fail(reply, error, "config: %s", text);
    cb_buf_free(&why);
    return error;
}

typedef cb_error (*store_act)(cb_store *store, const char *actor, const cb_service_new *service);

/* name: from the path, or NULL: from the body. */
static cb_error put_service(cb_request *request, cb_reply *reply, const char *name, store_act act,
                            unsigned status)
{
    cb_service_new fresh = {.name = name};
    json_t *config = NULL;
    json_t *session = NULL;
    json_t *kinds = NULL;
    int64_t level = CB_LEVEL_POSSESSION;
    cb_service service;
    const cb_field fields[] = {
        {"title", CB_FIELD_TEXT, true, CB_NAME_MAX, &fresh.title},
        {"connector", CB_FIELD_TEXT, true, CB_SERVICE_NAME_MAX, &fresh.connector},
        {"config", CB_FIELD_OBJECT, false, 0, &config},
        {"level", CB_FIELD_NUMBER, false, UINT8_MAX, &level},
        {"certificate", CB_FIELD_TRUTH, false, 0, &fresh.certificate},
        {"terminals", CB_FIELD_LIST, false, CB_TERMINAL_PERSONAL, &kinds},
        {"pin_pad", CB_FIELD_TRUTH, false, 0, &fresh.pad},
        {"session", CB_FIELD_OBJECT, false, 0, &session},
        {"name", CB_FIELD_TEXT, true, CB_SERVICE_NAME_MAX, &fresh.name},
    };
    size_t count = sizeof fields / sizeof *fields - (name ? 1 : 0);
    cb_service_init(&service);
    cb_error error = cb_request_fields(request, reply, fields, count);
    char *text = error || !config ? NULL : cb_json_text(config);
    fresh.config = text ? text : "{}";
    fresh.level = (uint8_t)level;
    if (!error && config && !text)
        error = CB_E_MEMORY;
    if (!error)
        error = read_session(reply, session, &fresh);
    if (!error)
        error = read_kinds(reply, kinds, &fresh);
    if (!error)
        error = check_config(request, reply, &fresh);
    if (!error)
        error = act(cb_api_of(request)->store, request->actor, &fresh);
    if (!error)
        error = cb_service_get(cb_api_of(request)->store, fresh.name, &service);
    if (!error)
        error = cb_reply_json(reply, status, cb_json_service(&service));
    cb_service_free(&service);
    cb_json_text_free(&text);
    return error;
}

cb_error cb_api_service_add(cb_request *request, cb_reply *reply)
{
    return put_service(request, reply, NULL, cb_service_add, 201);
}

cb_error cb_api_service_update(cb_request *request, cb_reply *reply)
{
    return put_service(request, reply, request->match.parameters[0].text, cb_service_update, 200);
}

static cb_error add_row(void *page, const cb_service *service)
{
    return cb_page_add(page, cb_json_service(service));
}

cb_error cb_api_service_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_error error = cb_page_read(request, reply, true, NULL, 0, &page);
    if (!error)
        error = cb_service_list(cb_api_of(request)->store, page.name, (unsigned)page.limit, add_row,
                                &page);
    return cb_page_reply(reply, &page, "services", "name", error);
}

cb_error cb_api_service_get(cb_request *request, cb_reply *reply)
{
    cb_service service;
    cb_service_init(&service);
    cb_error error =
        cb_service_get(cb_api_of(request)->store, request->match.parameters[0].text, &service);
    if (!error)
        error = cb_reply_json(reply, 200, cb_json_service(&service));
    cb_service_free(&service);
    return error;
}

/* ---- What a terminal may ask for ---- */

struct allowed {
    const cb_terminal *terminal;
    json_t *list;
    char last[CB_SERVICE_NAME_MAX + 1];
    unsigned seen;
};

static cb_error add_allowed(void *context, const cb_service *service)
{
    struct allowed *allowed = context;
    memcpy(allowed->last, service->name, sizeof allowed->last);
    allowed->seen++;
    if (!cb_terminal_allows(allowed->terminal, service->name))
        return CB_OK;
    return json_array_append_new(allowed->list,
                                 json_pack("{ss, ss, si}", "name", service->name, "title",
                                           service->title, "level", (int)service->level)) == 0
               ? CB_OK
               : CB_E_MEMORY;
}

cb_error cb_api_services_allowed(cb_request *request, cb_reply *reply)
{
    struct allowed allowed = {.terminal = request->identity, .list = json_array()};
    cb_error error = allowed.list ? CB_OK : CB_E_MEMORY;
    do {
        char after[sizeof allowed.last];
        memcpy(after, allowed.last, sizeof after);
        allowed.seen = 0;
        if (!error)
            error = cb_service_list(cb_api_of(request)->store, after, CB_PAGE_LIMIT, add_allowed,
                                    &allowed);
    } while (!error && allowed.seen == CB_PAGE_LIMIT);
    if (!error)
        error = cb_reply_json(reply, 200, json_pack("{sO}", "services", allowed.list));
    json_decref(allowed.list);
    return error;
}
