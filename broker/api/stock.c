/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/stock.h"

#include <stdlib.h>
#include <string.h>

#include "broker/api/api.h"
#include "broker/api/rows.h"

/* What a request says of cards that nobody holds. */
typedef struct stock_request {
    cb_stock_list list;
    const char *act;
    json_t *serials, *identities;
    bool last;
    const char **serial;
    cb_id *identity;
} stock_request;

static void request_free(stock_request *r)
{
    free(r->serial);
    free(r->identity);
}

static cb_error take_texts(cb_reply *reply, stock_request *r)
{
    size_t count = json_array_size(r->serials), known = json_array_size(r->identities);
    bool good = !r->identities || known == count;
    r->serial = calloc(count + 1, sizeof *r->serial);
    r->identity = calloc(count + 1, sizeof *r->identity);
    if (!r->serial || !r->identity)
        return CB_E_MEMORY;
    for (size_t i = 0; good && i < count; i++) {
        const char *identity = json_string_value(json_array_get(r->identities, i));
        r->serial[i] = json_string_value(json_array_get(r->serials, i));
        good = r->serial[i] &&
               (!r->identities ||
                (identity && (!identity[0] || cb_id_parse(identity, &r->identity[i]) == CB_OK)));
    }
    if (!good)
        return cb_reply_fail(
            reply, CB_E_ARGUMENT,
            "serials must be a list of texts, and identities as many identifiers or empty texts.");
    r->list.serials = r->serial;
    r->list.identities = r->identities ? r->identity : NULL;
    r->list.count = count;
    r->list.last = r->last;
    return CB_OK;
}

static cb_error answer(cb_reply *reply, const cb_stock_outcome *out)
{
    return cb_reply_json(reply, 200,
                         json_pack("{sI, sI, sb}", "done", (json_int_t)out->done, "mismatches",
                                   (json_int_t)out->mismatches, "more", out->more));
}

cb_error cb_api_batch_enter(cb_request *request, cb_reply *reply)
{
    stock_request r = {.list = {.first = 1}};
    cb_stock_outcome out;
    const cb_field fields[] = {
        {"manufacturer", CB_FIELD_TEXT, true, CB_STOCK_NAME_MAX, &r.list.manufacturer},
        {"name", CB_FIELD_TEXT, true, CB_STOCK_NAME_MAX, &r.list.name},
        {"serials", CB_FIELD_LIST, true, CB_STOCK_STEP_MAX, &r.serials},
        {"identities", CB_FIELD_LIST, false, CB_STOCK_STEP_MAX, &r.identities}};
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error)
        error = take_texts(reply, &r);
    if (!error)
        error = cb_stock_enter(cb_api_of(request)->store, request->actor, &r.list, &out);
    if (!error)
        error = answer(reply, &out);
    request_free(&r);
    return error;
}

static cb_card_act act_of(const char *name)
{
    static const struct {
        const char *name;
        cb_card_act act;
    } acts[] = {{"send", CB_CARD_SEND},
                {"receive", CB_CARD_RECEIVE},
                {"revoke", CB_CARD_REVOKE},
                {"destroy", CB_CARD_DESTROY}};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (strcmp(acts[i].name, name) == 0)
            return acts[i].act;
    }
    return 0;
}

cb_error cb_api_stock_act(cb_request *request, cb_reply *reply)
{
    stock_request r = {.list = {.first = 1}};
    cb_stock_outcome out;
    const cb_field fields[] = {
        {"act", CB_FIELD_TEXT, true, 16, &r.act},
        {"manufacturer", CB_FIELD_TEXT, true, CB_STOCK_NAME_MAX, &r.list.manufacturer},
        {"delivery", CB_FIELD_TEXT, true, CB_STOCK_NAME_MAX, &r.list.name},
        {"serials", CB_FIELD_LIST, true, CB_STOCK_STEP_MAX, &r.serials},
        {"first", CB_FIELD_NUMBER, false, (size_t)1 << 53, &r.list.first},
        {"last", CB_FIELD_TRUTH, false, 0, &r.last}};
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error && !act_of(r.act))
        error =
            cb_reply_fail(reply, CB_E_ARGUMENT, "act must be send, receive, revoke or destroy.");
    if (!error)
        error = take_texts(reply, &r);
    if (!error)
        error =
            cb_stock_act(cb_api_of(request)->store, request->actor, act_of(r.act), &r.list, &out);
    if (!error)
        error = answer(reply, &out);
    request_free(&r);
    return error;
}

static cb_error add_stock(void *page, const cb_stock *stock)
{
    return cb_page_add(
        page, json_pack("{ss, ss, ss, ss, so, so}", "manufacturer", stock->manufacturer, "serial",
                        stock->serial, "state", cb_card_state_name(stock->state), "delivery",
                        stock->delivery, "card", cb_json_id_or_null(&stock->identity), "changed",
                        cb_json_time(stock->changed)));
}

cb_error cb_api_stock_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    const char *manufacturer = NULL, *state = NULL, *delivery = NULL;
    const cb_field own[] = {
        {"manufacturer", CB_FIELD_TEXT, false, CB_STOCK_NAME_MAX, &manufacturer},
        {"state", CB_FIELD_TEXT, false, 16, &state},
        {"delivery", CB_FIELD_TEXT, false, CB_STOCK_NAME_MAX, &delivery}};
    cb_error error = cb_page_read(request, reply, true, own, 3, &page);
    if (!error)
        error = cb_stock_page(cb_api_of(request)->store, manufacturer ? manufacturer : "", state,
                              delivery, page.name, (unsigned)page.limit, add_stock, &page);
    return cb_page_reply(reply, &page, "stock", "serial", error);
}

static cb_error add_mismatch(void *page, const cb_mismatch *m)
{
    return cb_page_add(page, json_pack("{so, ss, ss, ss, ss, so, so, ss, so}", "id",
                                       cb_json_id(&m->id), "what", m->kind, "manufacturer",
                                       m->manufacturer, "serial", m->serial, "delivery",
                                       m->delivery, "card", cb_json_id_or_null(&m->card),
                                       "application", cb_json_id_or_null(&m->application), "actor",
                                       m->actor, "time", cb_json_time(m->time)));
}

cb_error cb_api_mismatch_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_error error = cb_page_read(request, reply, false, NULL, 0, &page);
    if (!error)
        error = cb_mismatch_page(cb_api_of(request)->store, &page.after, (unsigned)page.limit,
                                 add_mismatch, &page);
    return cb_page_reply(reply, &page, "mismatches", "id", error);
}

/* ---- Applications ---- */

static json_t *application_json(const cb_application *a)
{
    return json_pack("{so, so, si, ss, ss, ss, so, so, so, so}", "id", cb_json_id(&a->id), "holder",
                     cb_json_id(&a->holder), "profile", (int)a->profile, "reason", a->reason,
                     "state", cb_application_state_name(a->state), "operator", a->operator,
                     "approver", a->approver[0] ? json_string(a->approver) : json_null(), "card",
                     cb_json_id_or_null(&a->card), "created", cb_json_time(a->created), "changed",
                     cb_json_time(a->changed));
}

cb_error cb_api_application_add(cb_request *request, cb_reply *reply)
{
    cb_application application;
    cb_application_new fresh = {.reason = NULL};
    int64_t profile = CB_PROFILE_NATIVE;
    const cb_field fields[] = {
        {"id", CB_FIELD_ID, false, 0, &fresh.id},
        {"holder", CB_FIELD_ID, true, 0, &fresh.holder},
        {"holder_name", CB_FIELD_TEXT, false, CB_NAME_MAX, &fresh.holder_name},
        {"profile", CB_FIELD_NUMBER, false, UINT8_MAX, &profile},
        {"reason", CB_FIELD_TEXT, true, 16, &fresh.reason}};
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    fresh.profile = (uint8_t)profile;
    if (!error)
        error = cb_application_enter(cb_api_of(request)->store, request->actor, &fresh, &application);
    return error ? error : cb_reply_json(reply, 201, application_json(&application));
}

static cb_error decide(cb_request *request, cb_reply *reply,
                       cb_error (*how)(cb_store *store, const char *actor, const cb_id *id,
                                       const char *reason, cb_application *out))
{
    cb_application application;
    const char *reason = NULL;
    const cb_field fields[] = {{"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = how(cb_api_of(request)->store, request->actor, &request->match.parameters[0].id,
                    reason, &application);
    return error ? error : cb_reply_json(reply, 200, application_json(&application));
}

cb_error cb_api_application_approve(cb_request *request, cb_reply *reply)
{
    return decide(request, reply, cb_application_approve);
}

cb_error cb_api_application_refuse(cb_request *request, cb_reply *reply)
{
    return decide(request, reply, cb_application_refuse);
}

cb_error cb_api_application_get(cb_request *request, cb_reply *reply)
{
    cb_application application;
    cb_error error = cb_application_get(cb_api_of(request)->store, &request->match.parameters[0].id,
                                        &application);
    return error ? error : cb_reply_json(reply, 200, application_json(&application));
}

static cb_error add_application(void *page, const cb_application *application)
{
    return cb_page_add(page, application_json(application));
}

cb_error cb_api_application_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_id holder = {{0}};
    const char *state = NULL;
    const cb_field own[] = {{"holder", CB_FIELD_ID, false, 0, &holder},
                            {"state", CB_FIELD_TEXT, false, 16, &state}};
    cb_error error = cb_page_read(request, reply, false, own, 2, &page);
    if (!error)
        error =
            cb_application_page(cb_api_of(request)->store, cb_id_is_zero(&holder) ? NULL : &holder,
                                state, &page.after, (unsigned)page.limit, add_application, &page);
    return cb_page_reply(reply, &page, "applications", "id", error);
}
