/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/call.h"

#include <stdio.h>

#include "broker/http/headers.h"
#include "broker/http/problem.h"

/* An answer without one of its headers (do not keep this, do not frame that) would be another one:
 * rather none. */
static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

static bool add_common(const cb_call *call, struct MHD_Response *response)
{
    bool all = true;
    for (size_t i = 0; i < sizeof cb_common_headers / sizeof *cb_common_headers; i++)
        all = all && add(response, cb_common_headers[i][0], cb_common_headers[i][1]);
    return all && (call->request.peer.kind != CB_PEER_NETWORK ||
                   add(response, CB_HSTS_HEADER, CB_HSTS_VALUE));
}

static bool add_own(const cb_call *call, struct MHD_Response *response)
{
    const cb_reply *reply = &call->reply;
    char seconds[12];
    snprintf(seconds, sizeof seconds, "%u", reply->retry_after);
    return (reply->body.len == 0 ||
            add(response, "Content-Type", reply->type ? reply->type : "application/json")) &&
           (call->error != CB_E_METHOD || add(response, "Allow", call->request.match.allow)) &&
           (reply->retry_after == 0 || add(response, "Retry-After", seconds));
}

enum MHD_Result cb_call_give_up(cb_call *call, struct MHD_Response *response)
{
    cb_turn_starve(call->turn);
    if (response)
        MHD_destroy_response(response);
    return MHD_NO;
}

enum MHD_Result cb_call_queue(cb_call *call, unsigned status, struct MHD_Response *response)
{
    char id[CB_ID_TEXT];
    cb_id_text(&call->request.id, id);
    call->last |= atomic_load(&call->server->draining);
    if (!add(response, "Request-Id", id) || (call->last && !add(response, "Connection", "close")))
        return cb_call_give_up(call, response);
    cb_turn_begin_answer(call->turn);
    enum MHD_Result result = MHD_queue_response(call->connection, status, response);
    MHD_destroy_response(response);
    call->status = status;
    return result;
}

/* Puts the reply's JSON into its body. */
static cb_error write_json(cb_reply *reply)
{
    if (!reply->json)
        return CB_OK;
    char *text = cb_json_text(reply->json);
    if (!text)
        return CB_E_MEMORY;
    cb_buf_reset(&reply->body);
    cb_buf_put_str(&reply->body, text);
    cb_buf_put_str(&reply->body, "\n");
    cb_json_text_free(&text);
    return cb_buf_error(&reply->body);
}

/* False: there is no memory even to say what went wrong. */
static bool finish_reply(cb_call *call)
{
    cb_reply *reply = &call->reply;
    if (call->error)
        cb_problem_write(reply, call->error, &call->request.id);
    cb_error error = write_json(reply);
    if (error && !call->error) {
        call->error = error;
        cb_problem_write(reply, error, &call->request.id);
        error = write_json(reply);
    }
    if (reply->status == 0)
        reply->status = 200;
    return !error && (!call->error || reply->body.len > 0);
}

enum MHD_Result cb_call_answer(cb_call *call)
{
    cb_reply *reply = &call->reply;
    if (!finish_reply(call))
        return cb_call_give_up(call, NULL);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->body.len, reply->body.data, MHD_RESPMEM_MUST_COPY);
    if (!response || !add_common(call, response) || !add_own(call, response))
        return cb_call_give_up(call, response);
    return cb_call_queue(call, reply->status, response);
}
