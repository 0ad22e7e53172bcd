/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/api.h"
#include "base/json_text.h"
#include "base/pem.h"
#include "broker/api/rows.h"

enum { PEM_MAX = 56 * 1024 };

cb_error cb_api_enrolment_add(cb_request *request, cb_reply *reply)
{
    cb_enrolment_new fresh = {{{0}}, NULL, {NULL, 0}, {NULL, 0}, NULL};
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    cb_buf public_key = CB_BUF(CB_PUBLIC_KEY_MAX);
    json_t *data = NULL;
    cb_enrolment enrolment;
    const cb_field fields[] = {
        {"holder", CB_FIELD_ID, true, 0, &fresh.holder},
        {"service", CB_FIELD_TEXT, true, CB_SERVICE_NAME_MAX, &fresh.service},
        {"sealed", CB_FIELD_HEX, true, CB_SEALED_MAX, &sealed},
        {"public_key", CB_FIELD_HEX, false, CB_PUBLIC_KEY_MAX, &public_key},
        {"data", CB_FIELD_OBJECT, false, 0, &data},
    };
    cb_enrolment_init(&enrolment);
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    char *text = error || !data ? NULL : cb_json_text(data);
    fresh.sealed = cb_buf_bytes(&sealed);
    fresh.public_key = cb_buf_bytes(&public_key);
    fresh.data = text;
    if (!error && data && !text)
        error = CB_E_MEMORY;
    if (!error)
        error = cb_enrolment_add(cb_api_of(request)->store, request->actor, &fresh, &enrolment);
    if (!error)
        error = cb_reply_json(reply, 201, cb_json_enrolment(&enrolment));
    cb_enrolment_free(&enrolment);
    cb_buf_free(&sealed);
    cb_buf_free(&public_key);
    cb_json_text_free(&text);
    return error;
}

static cb_error add_row(void *page, const cb_enrolment *enrolment)
{
    return cb_page_add(page, cb_json_enrolment(enrolment));
}

cb_error cb_api_enrolment_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_id holder = {{0}};
    const char *service = NULL;
    const cb_field own[] = {
        {"holder", CB_FIELD_ID, false, 0, &holder},
        {"service", CB_FIELD_TEXT, false, CB_SERVICE_NAME_MAX, &service},
    };
    cb_error error = cb_page_read(request, reply, false, own, 2, &page);
    if (!error)
        error =
            cb_enrolment_list(cb_api_of(request)->store, cb_id_is_zero(&holder) ? NULL : &holder,
                              service, &page.after, (unsigned)page.limit, add_row, &page);
    return cb_page_reply(reply, &page, "enrolments", "id", error);
}

cb_error cb_api_enrolment_get(cb_request *request, cb_reply *reply)
{
    cb_enrolment enrolment;
    cb_enrolment_init(&enrolment);
    cb_error error =
        cb_enrolment_get(cb_api_of(request)->store, &request->match.parameters[0].id, &enrolment);
    if (!error)
        error = cb_reply_json(reply, 200, cb_json_enrolment(&enrolment));
    cb_enrolment_free(&enrolment);
    return error;
}

static cb_error read_chain(cb_reply *reply, const char *pem, cb_buf *certificate, cb_buf *chain)
{
    cb_error error = cb_pem_read(pem, certificate, chain);
    if (error && error != CB_E_MEMORY)
        error = cb_reply_fail(reply, CB_E_ARGUMENT,
                              "certificate must be a chain of X.509 certificates in PEM, the "
                              "holder's first.");
    return error;
}

cb_error cb_api_enrolment_certificate(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    const char *pem = NULL;
    cb_buf certificate = CB_BUF(CB_CERTIFICATE_MAX);
    cb_buf chain = CB_BUF(CB_CHAIN_MAX);
    const cb_field fields[] = {{"certificate", CB_FIELD_TEXT, true, PEM_MAX, &pem}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = read_chain(reply, pem, &certificate, &chain);
    if (!error)
        error =
            cb_enrolment_certificate(api->store, request->actor, &request->match.parameters[0].id,
                                     cb_buf_bytes(&certificate), cb_buf_bytes(&chain));
    if (!error) {
        cb_watch_feed(api->watch); /* the old key may have been retired */
        error = cb_api_enrolment_get(request, reply);
    }
    cb_buf_free(&certificate);
    cb_buf_free(&chain);
    return error;
}

cb_error cb_api_enrolment_renew(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    cb_buf public_key = CB_BUF(CB_PUBLIC_KEY_MAX);
    const cb_field fields[] = {
        {"sealed", CB_FIELD_HEX, true, CB_SEALED_MAX, &sealed},
        {"public_key", CB_FIELD_HEX, false, CB_PUBLIC_KEY_MAX, &public_key},
    };
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error)
        error = cb_enrolment_renew(api->store, request->actor, &request->match.parameters[0].id,
                                   cb_buf_bytes(&sealed), cb_buf_bytes(&public_key));
    if (!error) {
        cb_watch_feed(api->watch);
        error = cb_api_enrolment_get(request, reply);
    }
    cb_buf_free(&sealed);
    cb_buf_free(&public_key);
    return error;
}

/* Asks the service's connector; no key is used. */
static cb_error ask_connector(cb_request *request, const cb_enrolment *enrolment,
                              const cb_service *service, cb_buf *json, cb_buf *why)
{
    const cb_enrolment_key *key =
        cb_id_is_zero(&enrolment->next.id) ? &enrolment->current : &enrolment->next;
    cb_buf config = CB_BUF(CB_SERVICE_CONFIG_MAX + 1), data = CB_BUF(CB_ENROLMENT_DATA_MAX + 1);
    if (cb_id_is_zero(&key->id))
        return CB_E_STATE;
    cb_buf_put(&config, cb_buf_bytes(&service->config));
    cb_buf_put(&data, cb_buf_bytes(&enrolment->data));
    cb_login_request asked = {.connector = service->connector,
                              .service = service->name,
                              .config = cb_buf_cstr(&config),
                              .enrolment = cb_buf_cstr(&data),
                              .certificate = cb_buf_bytes(&key->certificate),
                              .chain = cb_buf_bytes(&key->chain),
                              .public_key = cb_buf_bytes(&key->public_key),
                              .algorithm = key->algorithm,
                              .session = request->id};
    cb_error error = asked.config && asked.enrolment ? CB_OK : CB_E_MEMORY;
    if (!error)
        error = cb_connectors_enrol(cb_api_of(request)->connectors, &asked, json, why);
    cb_buf_free(&config);
    cb_buf_free(&data);
    return error;
}

static cb_error reply_for_service(cb_reply *reply, const cb_buf *json)
{
    json_t *object = cb_json_load(cb_buf_bytes(json), JSON_REJECT_DUPLICATES, NULL);
    cb_error error = json_is_object(object) ? CB_OK : CB_E_CONNECTOR_ANSWER;
    if (!error)
        error = cb_reply_json(reply, 200, json_pack("{sO}", "for_service", object));
    json_decref(object);
    return error;
}

/* What the service has to be given so that it takes the newest of the keys. */
cb_error cb_api_enrolment_for_service(cb_request *request, cb_reply *reply)
{
    cb_store *store = cb_api_of(request)->store;
    cb_buf json = CB_BUF(CB_LOGIN_VALUE_MAX + 1), why = CB_BUF(512);
    cb_enrolment enrolment;
    cb_service service;
    cb_enrolment_init(&enrolment);
    cb_service_init(&service);
    cb_error error = cb_enrolment_get(store, &request->match.parameters[0].id, &enrolment);
    if (!error)
        error = cb_service_get(store, enrolment.service, &service);
    if (!error)
        error = ask_connector(request, &enrolment, &service, &json, &why);
    if (error && why.len > 0 && cb_buf_cstr(&why))
        error = cb_reply_fail(reply, error, "%s", cb_buf_cstr(&why));
    if (!error)
        error = reply_for_service(reply, &json);
    cb_service_free(&service);
    cb_enrolment_free(&enrolment);
    cb_buf_free(&json);
    cb_buf_free(&why);
    return error;
}

cb_error cb_api_enrolment_remove(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    cb_affected affected = {0};
    cb_session_match match = {.enrolment = request->match.parameters[0].id};
    cb_error error = cb_enrolment_remove(api->store, request->actor, &match.enrolment, &affected);
    if (!error) {
        cb_api_cut(api, &affected, &match, "revoked");
        error = cb_api_enrolment_get(request, reply);
    }
    cb_affected_free(&affected);
    return error;
}
