/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/problem.h"

unsigned cb_problem_status(cb_error error)
{
    static const unsigned statuses[] = {
        [CB_CLASS_OK] = 200,       [CB_CLASS_INVALID] = 400,     [CB_CLASS_AUTH] = 401,
        [CB_CLASS_DENIED] = 403,   [CB_CLASS_MISSING] = 404,     [CB_CLASS_CONFLICT] = 409,
        [CB_CLASS_GONE] = 410,     [CB_CLASS_LARGE] = 413,       [CB_CLASS_CARD] = 422,
        [CB_CLASS_UPSTREAM] = 502, [CB_CLASS_UNAVAILABLE] = 503, [CB_CLASS_TIMEOUT] = 504,
        [CB_CLASS_INTERNAL] = 500,
    };
    return error == CB_E_METHOD ? 405 : statuses[cb_error_class_of(error)];
}

const char *cb_problem_title(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {422, "Unprocessable Content"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Unknown";
}

json_t *cb_problem(unsigned status, cb_error error, const char *detail, const cb_id *request)
{
    char id[CB_ID_TEXT];
    cb_id_text(request, id);
    return json_pack("{ss, ss, si, ss, ss, ss}", "type", "about:blank", "title",
                     cb_problem_title(status), "status", (int)status, "code", cb_error_code(error),
                     "detail", detail, "request", id);
}

/* jansson's own function for this does not look whether there was memory. */
static bool add_missing(json_t *object, json_t *extra)
{
    const char *name;
    json_t *value;
    json_object_foreach(extra, name, value)
    {
        if (!json_object_get(object, name) && json_object_set(object, name, value) != 0)
            return false;
    }
    return true;
}

void cb_problem_write(cb_reply *reply, cb_error error, const cb_id *request)
{
    const char *detail = reply->detail.len > 0 ? cb_buf_cstr(&reply->detail) : NULL;
    reply->status = cb_problem_status(error);
    reply->type = "application/problem+json";
    if (reply->status == 503 && reply->retry_after == 0)
        reply->retry_after = 1;
    json_decref(reply->json);
    reply->json = cb_problem(reply->status, error, detail ? detail : cb_error_text(error), request);
    if (!reply->json) /* a detail may quote what is not UTF-8 */
        reply->json = cb_problem(reply->status, error, cb_error_text(error), request);
    if (reply->json && reply->extra && !add_missing(reply->json, reply->extra)) {
        json_decref(reply->json);
        reply->json = NULL;
    }
}
