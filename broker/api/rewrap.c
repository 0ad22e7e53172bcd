/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sealed keys, out and in again: an administrator has hsmd seal them under its newest generation,
 * which this process may not ask for. What comes back must be the same keys; what they are sealed
 * under only hsmd can tell.
 */
#include "broker/api/api.h"
#include "broker/api/rows.h"

static cb_error add_key(json_t *keys, const cb_enrolment_key *key)
{
    cb_sealed_info info;
    if (cb_id_is_zero(&key->id))
        return CB_OK;
    cb_error error = cb_sealed_info_read(cb_buf_bytes(&key->sealed), &info);
    if (error)
        return CB_E_STORE;
    json_t *item =
        json_pack("{so, sI, so}", "id", cb_json_id(&key->id), "generation",
                  (json_int_t)info.generation, "sealed", cb_json_hex(cb_buf_bytes(&key->sealed)));
    return item && json_array_append_new(keys, item) == 0 ? CB_OK : CB_E_MEMORY;
}

cb_error cb_api_enrolment_sealed(cb_request *request, cb_reply *reply)
{
    cb_enrolment enrolment;
    json_t *keys = json_array();
    cb_enrolment_init(&enrolment);
    cb_error error = keys ? cb_enrolment_get(cb_api_of(request)->store,
                                             &request->match.parameters[0].id, &enrolment)
                          : CB_E_MEMORY;
    if (!error)
        error = add_key(keys, &enrolment.current);
    if (!error)
        error = add_key(keys, &enrolment.next);
    if (!error)
        error = cb_reply_json(reply, 200, json_pack("{sO}", "keys", keys));
    json_decref(keys);
    cb_enrolment_free(&enrolment);
    return error;
}

cb_error cb_api_enrolment_rewrap(cb_request *request, cb_reply *reply)
{
    cb_buf sealed = CB_BUF(CB_SEALED_MAX);
    const cb_field fields[] = {{"sealed", CB_FIELD_HEX, true, CB_SEALED_MAX, &sealed}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = cb_enrolment_rewrap(cb_api_of(request)->store, request->actor,
                                    &request->match.parameters[0].id, cb_buf_bytes(&sealed));
    if (!error)
        error = cb_api_enrolment_get(request, reply);
    cb_buf_free(&sealed);
    return error;
}
