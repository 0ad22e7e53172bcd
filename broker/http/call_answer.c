/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/call.h"

#include <stdio.h>

#include "broker/http/headers.h"
#include "broker/http/problem.h"

static void add_common(const cb_call *call, struct MHD_Response *response)
{
    for (size_t i = 0; i < sizeof cb_common_headers / sizeof *cb_common_headers; i++)
        MHD_add_response_header(response, cb_common_headers[i][0], cb_common_headers[i][1]);
    if (call->request.peer.kind == CB_PEER_NETWORK)
        MHD_add_response_header(response, CB_HSTS_HEADER, CB_HSTS_VALUE);
}

enum MHD_Result cb_call_queue(cb_call *call, unsigned status, struct MHD_Response *response)
{
    char id[CB_ID_TEXT];
    if (!response)
        return MHD_NO;
    cb_id_text(&call->request.id, id);
    MHD_add_response_header(response, "Request-Id", id);
    call->last |= atomic_load(&call->server->draining);
    if (call->last)
        MHD_add_response_header(response, "Connection", "close");
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

static void finish_reply(cb_call *call)
{
    cb_reply *reply = &call->reply;
    if (call->error)
        cb_problem_write(reply, call->error, &call->request.id);
    cb_error error = write_json(reply);
    if (error && !call->error) {
        call->error = error;
        cb_problem_write(reply, error, &call->request.id);
        write_json(reply);
    }
    if (reply->status == 0)
        reply->status = 200;
}

enum MHD_Result cb_call_answer(cb_call *call)
{
    cb_reply *reply = &call->reply;
    finish_reply(call);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->body.len, reply->body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    add_common(call, response);
    if (reply->body.len > 0)
        MHD_add_response_header(response, "Content-Type",
                                reply->type ? reply->type : "application/json");
    if (call->error == CB_E_METHOD)
        MHD_add_response_header(response, "Allow", call->request.match.allow);
    if (reply->retry_after) {
        char seconds[12];
        snprintf(seconds, sizeof seconds, "%u", reply->retry_after);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    return cb_call_queue(call, reply->status, response);
}
