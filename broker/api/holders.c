/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/api.h"
#include "broker/api/rows.h"

cb_error cb_api_holder_add(cb_request *request, cb_reply *reply)
{
    const char *name = NULL;
    cb_holder holder;
    cb_id id = cb_id_new();
    const cb_field fields[] = {{"name", CB_FIELD_TEXT, true, CB_NAME_MAX, &name},
                               {"id", CB_FIELD_ID, false, 0, &id}};
    cb_error error = cb_request_fields(request, reply, fields, 2);
    if (!error)
        error = cb_holder_add_as(cb_api_of(request)->store, request->actor, &id, name, &holder);
    return error ? error : cb_reply_json(reply, 201, cb_json_holder(&holder));
}

static cb_error add_row(void *page, const cb_holder *holder)
{
    return cb_page_add(page, cb_json_holder(holder));
}

cb_error cb_api_holder_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_error error = cb_page_read(request, reply, false, NULL, 0, &page);
    if (!error)
        error = cb_holder_list(cb_api_of(request)->store, &page.after, (unsigned)page.limit,
                               add_row, &page);
    return cb_page_reply(reply, &page, "holders", "id", error);
}

cb_error cb_api_holder_get(cb_request *request, cb_reply *reply)
{
    cb_holder holder;
    cb_error error =
        cb_holder_get(cb_api_of(request)->store, &request->match.parameters[0].id, &holder);
    return error ? error
                 : cb_api_reply_failing(request, reply, cb_json_holder(&holder), CB_OF_HOLDER,
                                        &holder.id);
}
