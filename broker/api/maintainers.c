/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"
#include "broker/core/maintenance.h"

static json_t *json_maintainer(const cb_maintainer *maintainer)
{
    bool all = cb_id_is_zero(&maintainer->terminal);
    return json_pack("{so, so, so, so}", "id", cb_json_id(&maintainer->id), "holder",
                     cb_json_id(&maintainer->holder), "terminal",
                     all ? json_null() : cb_json_id(&maintainer->terminal), "created",
                     cb_json_time(maintainer->created));
}

cb_error cb_api_maintainer_add(cb_request *request, cb_reply *reply)
{
    cb_id holder, terminal = {{0}};
    cb_maintainer made;
    const cb_field fields[] = {{"holder", CB_FIELD_ID, true, 0, &holder},
                               {"terminal", CB_FIELD_ID, false, 0, &terminal}};
    cb_error error = cb_request_fields(request, reply, fields, 2);
    if (!error)
        error = cb_maintainer_add(cb_api_of(request)->store, request->actor, &holder,
                                  cb_id_is_zero(&terminal) ? NULL : &terminal, &made);
    return error ? error : cb_reply_json(reply, 201, json_maintainer(&made));
}

static cb_error add_row(void *page, const cb_maintainer *maintainer)
{
    return cb_page_add(page, json_maintainer(maintainer));
}

cb_error cb_api_maintainer_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_error error = cb_page_read(request, reply, false, NULL, 0, &page);
    if (!error)
        error = cb_maintainer_list(cb_api_of(request)->store, &page.after, (unsigned)page.limit,
                                   add_row, &page);
    return cb_page_reply(reply, &page, "maintainers", "id", error);
}

cb_error cb_api_maintainer_remove(cb_request *request, cb_reply *reply)
{
    const cb_id *id = &request->match.parameters[0].id;
    cb_error error = cb_maintainer_remove(cb_api_of(request)->store, request->actor, id);
    return error ? error
                 : cb_reply_json(reply, 200,
                                 json_pack("{so, ss}", "id", cb_json_id(id), "state", "removed"));
}

cb_error cb_api_put_maintenance(cb_api *api, const cb_terminal *terminal, json_t *json)
{
    cb_maintenance last;
    if (terminal->state != CB_TERMINAL_MAINTENANCE)
        return CB_OK;
    cb_error error = cb_maintenance_get(api->store, &terminal->id, &last);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_OK : error;
    json_t *about = json_pack("{so, so, ss, so, so, sb}", "holder", cb_json_id(&last.holder),
                              "card", cb_json_id(&last.card), "reason", last.reason, "began",
                              cb_json_time(last.began), "until", cb_json_time(last.until),
                              "overdue", (int)(cb_clock_wall_us() >= last.until));
    return json_object_set_new(json, "maintenance", about) == 0 ? CB_OK : CB_E_MEMORY;
}
