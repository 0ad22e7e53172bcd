/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/api.h"
#include "broker/api/rows.h"

/* What a request says of a card that is issued. */
typedef struct issued {
    cb_buf binding, certificates;
    const char *expires;
    cb_card_new fresh;
    cb_card card;
} issued;

static void issued_init(issued *i)
{
    *i = (issued){.binding = CB_BUF(CB_BINDING_MAX),
                  .certificates = CB_BUF(CB_CARD_CERTIFICATES_MAX)};
    cb_card_init(&i->card);
}

static void issued_free(issued *i)
{
    cb_card_free(&i->card);
    cb_buf_free(&i->binding);
    cb_buf_free(&i->certificates);
}

enum { ISSUED_FIELDS = 7, MORE_FIELDS = 2 };

/* With fields of the request's own. */
static cb_error read_issued(cb_request *request, cb_reply *reply, const cb_field *more,
                            size_t more_count, issued *i)
{
    cb_field fields[ISSUED_FIELDS + MORE_FIELDS] = {
        {"binding", CB_FIELD_HEX, true, CB_BINDING_MAX, &i->binding},
        {"certificates", CB_FIELD_HEX, false, CB_CARD_CERTIFICATES_MAX, &i->certificates},
        {"expires", CB_FIELD_TEXT, false, CB_DAY_TEXT, &i->expires},
        {"station", CB_FIELD_TEXT, false, CB_STOCK_NAME_MAX, &i->fresh.station},
        {"manufacturer", CB_FIELD_TEXT, false, CB_STOCK_NAME_MAX, &i->fresh.manufacturer},
        {"serial", CB_FIELD_TEXT, false, CB_STOCK_NAME_MAX, &i->fresh.serial},
        {"application", CB_FIELD_ID, false, 0, &i->fresh.application}};
    for (size_t k = 0; k < more_count && k < MORE_FIELDS; k++)
        fields[ISSUED_FIELDS + k] = more[k];
    cb_error error = cb_request_fields(request, reply, fields, ISSUED_FIELDS + more_count);
    if (!error)
        error = cb_api_day(reply, i->expires, &i->fresh.expires);
    i->fresh.binding = cb_buf_bytes(&i->binding);
    i->fresh.certificates = cb_buf_bytes(&i->certificates);
    i->fresh.rules = &cb_api_of(request)->rules;
    return error;
}

cb_error cb_api_card_add(cb_request *request, cb_reply *reply)
{
    issued i;
    issued_init(&i);
    const cb_field more[] = {
        {"holder_name", CB_FIELD_TEXT, false, CB_NAME_MAX, &i.fresh.holder_name},
        {"activate", CB_FIELD_TRUTH, false, 0, &i.fresh.activate}};
    cb_error error = read_issued(request, reply, more, 2, &i);
    if (!error)
        error = cb_card_issue(cb_api_of(request)->store, request->actor, &i.fresh, &i.card);
    if (!error)
        error = cb_reply_json(reply, 201, cb_json_card(&i.card));
    issued_free(&i);
    return error;
}

cb_error cb_api_card_issuable(cb_request *request, cb_reply *reply)
{
    cb_card_new fresh = {.rules = &cb_api_of(request)->rules};
    cb_card card;
    int64_t profile = 0;
    cb_card_init(&card);
    const cb_field fields[] = {
        {"holder", CB_FIELD_ID, true, 0, &card.holder},
        {"profile", CB_FIELD_NUMBER, true, UINT8_MAX, &profile},
        {"card", CB_FIELD_ID, false, 0, &card.id},
        {"holder_name", CB_FIELD_TEXT, false, CB_NAME_MAX, &fresh.holder_name},
        {"manufacturer", CB_FIELD_TEXT, false, CB_STOCK_NAME_MAX, &fresh.manufacturer},
        {"serial", CB_FIELD_TEXT, false, CB_STOCK_NAME_MAX, &fresh.serial},
        {"application", CB_FIELD_ID, false, 0, &fresh.application},
        {"replaces", CB_FIELD_ID, false, 0, &fresh.replaces}};
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    card.profile = (uint8_t)profile;
    if (!error)
        error = cb_card_issuable(cb_api_of(request)->store, request->actor, &fresh, &card);
    if (!error)
        error = cb_reply_json(reply, 200, json_pack("{sb}", "issuable", 1));
    cb_card_free(&card);
    return error;
}

cb_error cb_api_card_renew(cb_request *request, cb_reply *reply)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX), certificates = CB_BUF(CB_CARD_CERTIFICATES_MAX);
    cb_api *api = cb_api_of(request);
    cb_card card;
    cb_card_init(&card);
    const cb_field fields[] = {
        {"binding", CB_FIELD_HEX, true, CB_BINDING_MAX, &binding},
        {"certificates", CB_FIELD_HEX, false, CB_CARD_CERTIFICATES_MAX, &certificates}};
    cb_error error = cb_request_fields(request, reply, fields, 2);
    if (!error)
        error = cb_card_renew(api->store, request->actor, &request->match.parameters[0].id,
                              cb_buf_bytes(&binding), cb_buf_bytes(&certificates), &card);
    if (!error) {
        cb_watch_feed(api->watch);
        error = cb_reply_json(reply, 200, cb_json_card(&card));
    }
    cb_card_free(&card);
    cb_buf_free(&binding);
    cb_buf_free(&certificates);
    return error;
}

cb_error cb_api_card_binding(cb_request *request, cb_reply *reply)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error =
        cb_card_get(cb_api_of(request)->store, &request->match.parameters[0].id, &card);
    if (!error)
        error =
            cb_reply_json(reply, 200,
                          json_pack("{so, so, so}", "holder", cb_json_id(&card.holder), "binding",
                                    cb_json_hex(cb_buf_bytes(&card.binding)), "certificates",
                                    cb_json_hex(cb_buf_bytes(&card.certificates))));
    cb_card_free(&card);
    return error;
}

static cb_error add_row(void *page, const cb_card *card)
{
    return cb_page_add(page, cb_json_card(card));
}

cb_error cb_api_card_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_id holder = {{0}};
    const cb_field own[] = {{"holder", CB_FIELD_ID, false, 0, &holder}};
    cb_error error = cb_page_read(request, reply, false, own, 1, &page);
    if (!error)
        error = cb_card_list(cb_api_of(request)->store, cb_id_is_zero(&holder) ? NULL : &holder,
                             &page.after, (unsigned)page.limit, add_row, &page);
    return cb_page_reply(reply, &page, "cards", "id", error);
}

static cb_error reply_card(cb_request *request, cb_reply *reply)
{
    cb_card card;
    cb_card_init(&card);
    cb_error error =
        cb_card_get(cb_api_of(request)->store, &request->match.parameters[0].id, &card);
    if (!error)
        error = cb_reply_json(reply, 200, cb_json_card(&card));
    cb_card_free(&card);
    return error;
}

cb_error cb_api_card_get(cb_request *request, cb_reply *reply)
{
    cb_card card;
    cb_card_init(&card);
    const cb_id *id = &request->match.parameters[0].id;
    cb_error error = cb_card_get(cb_api_of(request)->store, id, &card);
    if (!error)
        error = cb_api_reply_failing(request, reply, cb_json_card(&card), CB_OF_CARD, id);
    cb_card_free(&card);
    return error;
}

/* What a change put an end to goes into the answer, for whoever has to explain it. */
static cb_error add_affected(cb_reply *reply, const cb_affected *affected)
{
    bool added = json_object_set_new(reply->json, "taps_ended",
                                     json_integer((json_int_t)affected->tap_count)) == 0 &&
                 json_object_set_new(reply->json, "sessions_ended",
                                     json_integer((json_int_t)affected->session_count)) == 0;
    if (affected->code_count > 0)
        added = added && json_object_set_new(reply->json, "codes_withdrawn",
                                             json_integer((json_int_t)affected->code_count)) == 0;
    return added ? CB_OK : CB_E_MEMORY;
}

cb_error cb_api_card_replace(cb_request *request, cb_reply *reply)
{
    cb_api *api = cb_api_of(request);
    const char *reason = NULL;
    cb_affected affected = {0};
    const cb_id *old = &request->match.parameters[0].id;
    const cb_field why = {"reason", CB_FIELD_TEXT, false, 32, &reason};
    issued i;
    issued_init(&i);
    cb_error error = read_issued(request, reply, &why, 1, &i);
    if (!error)
        error = cb_card_replace(api->store, request->actor, old, &i.fresh, reason, &i.card,
                                &affected);
    /* Its head may be without a signature, and the old card is dead. */
    if (!error || error == CB_E_UNSIGNED) {
        cb_session_match match = {.card = *old};
        cb_api_cut(api, &affected, &match, "revoked");
    }
    if (!error)
        error = cb_reply_json(reply, 201, cb_json_card(&i.card));
    if (!error)
        error = add_affected(reply, &affected);
    cb_affected_free(&affected);
    issued_free(&i);
    return error;
}

cb_error cb_api_card_recall(cb_request *request, cb_reply *reply)
{
    int64_t due = 0;
    const char *reason = NULL, *by = NULL;
    const cb_field fields[] = {{"by", CB_FIELD_TEXT, false, CB_DAY_TEXT, &by},
                               {"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 2);
    if (!error)
        error = cb_api_day(reply, by, &due);
    if (!error)
        error = cb_card_recall(cb_api_of(request)->store, request->actor,
                               &request->match.parameters[0].id, due, reason);
    return error ? error : reply_card(request, reply);
}

cb_error cb_api_card_unblock(cb_request *request, cb_reply *reply)
{
    cb_id terminal;
    const char *reason = NULL;
    const cb_field fields[] = {{"terminal", CB_FIELD_ID, true, 0, &terminal},
                               {"reason", CB_FIELD_TEXT, true, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 2);
    if (!error)
        error = cb_card_pin_reset(cb_api_of(request)->store, request->actor,
                                  &request->match.parameters[0].id, &terminal, reason);
    return error ? error : reply_card(request, reply);
}

static cb_error change(cb_request *request, cb_reply *reply, cb_card_act act, const char *why)
{
    cb_api *api = cb_api_of(request);
    const char *reason = NULL;
    cb_affected affected = {0};
    const cb_id *id = &request->match.parameters[0].id;
    const cb_field fields[] = {{"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = cb_card_change(api->store, request->actor, id, act, reason, &affected);
    if (!error) {
        cb_session_match match = {.card = *id};
        if (why)
            cb_api_cut(api, &affected, &match, why);
        else
            cb_watch_feed(api->watch);
        error = reply_card(request, reply);
    }
    if (!error)
        error = add_affected(reply, &affected);
    cb_affected_free(&affected);
    return error;
}

cb_error cb_api_card_activate(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_CARD_ACTIVATE, NULL);
}

cb_error cb_api_card_suspend(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_CARD_SUSPEND, "revoked");
}

cb_error cb_api_card_resume(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_CARD_RESUME, NULL);
}

cb_error cb_api_card_return(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_CARD_RETURN, "revoked");
}

cb_error cb_api_card_destroy(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_CARD_DESTROY, NULL);
}

cb_error cb_api_card_revoke(cb_request *request, cb_reply *reply)
{
    return change(request, reply, CB_CARD_REVOKE, "revoked");
}
