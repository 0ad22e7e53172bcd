/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/rejection.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "broker/http/headers.h"
#include "broker/http/problem.h"

static const char interim[CB_REJECTION_HEAD + 1] = "HTTP/1.1 100 Continue\r\n\r\n";
static const char version[] = "HTTP/1.";

enum { STATUS_AT = 9, STATUS_END = STATUS_AT + 3 };

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static unsigned status_of(const uint8_t *head)
{
    const uint8_t *at = head + STATUS_AT;
    if (memcmp(head, version, sizeof version - 1) != 0 || !is_digit(at[0]) || !is_digit(at[1]) ||
        !is_digit(at[2]))
        return 400;
    unsigned status = (at[0] - '0') * 100u + (at[1] - '0') * 10u + (at[2] - '0');
    return status >= 400 && status < 600 ? status : 400;
}

cb_rejection cb_rejection_look(cb_bytes head, unsigned *status)
{
    size_t same = head.len < CB_REJECTION_HEAD ? head.len : CB_REJECTION_HEAD;
    if (memcmp(head.data, interim, same) == 0)
        return same == CB_REJECTION_HEAD ? CB_REJECTION_INTERIM : CB_REJECTION_INCOMPLETE;
    if (head.len < STATUS_END)
        return CB_REJECTION_INCOMPLETE;
    *status = status_of(head.data);
    return CB_REJECTION_FINAL;
}

static cb_error error_of(unsigned status)
{
    switch (status) {
    case 413: /* content */
    case 414: /* target */
    case 431: /* header fields */
        return CB_E_TOO_LARGE;
    case 503:
        return CB_E_BUSY;
    default:
        return status < 500 || status == 501 || status == 505 ? CB_E_FORMAT : CB_E_INTERNAL;
    }
}

static const char *detail_of(cb_error error)
{
    if (error == CB_E_FORMAT)
        return "What was sent is not HTTP/1.1 as this server reads it: check the client and what "
               "stands between.";
    if (error == CB_E_TOO_LARGE)
        return "The request line, a header or a piece of the body is larger than is read here: "
               "send less.";
    return cb_error_text(error);
}

static void write_head(cb_buf *out, unsigned status, size_t length, const char *id, bool network)
{
    cb_buf_printf(out, "HTTP/1.1 %u %s\r\n", status, cb_problem_title(status));
    for (size_t i = 0; i < sizeof cb_common_headers / sizeof *cb_common_headers; i++)
        cb_buf_printf(out, "%s: %s\r\n", cb_common_headers[i][0], cb_common_headers[i][1]);
    if (network)
        cb_buf_printf(out, "%s: %s\r\n", CB_HSTS_HEADER, CB_HSTS_VALUE);
    if (status == 503)
        cb_buf_put_str(out, "Retry-After: 1\r\n");
    cb_buf_printf(out,
                  "Request-Id: %s\r\nConnection: close\r\n"
                  "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n",
                  id, length);
}

static void log_rejection(unsigned status, cb_error error, const cb_id *request,
                          const cb_peer *peer)
{
    char text[12];
    snprintf(text, sizeof text, "%u", status);
    cb_log_set_request(request);
    cb_log(CB_LOG_INFO, "http.rejected", "What a client sent could not be read as HTTP", "status",
           text, "error", cb_error_code(error), "address", peer->address, NULL);
    cb_log_set_request(NULL);
}

cb_error cb_rejection_write(unsigned status, const cb_peer *peer, cb_buf *out)
{
    char id[CB_ID_TEXT];
    cb_id request = cb_id_new();
    cb_error error = error_of(status);
    json_t *problem = cb_problem(status, error, detail_of(error), &request);
    char *body = problem ? cb_json_text(problem) : NULL;
    cb_error result = body ? CB_OK : CB_E_MEMORY;
    if (!result) {
        cb_id_text(&request, id);
        write_head(out, status, strlen(body) + 1, id, peer->kind == CB_PEER_NETWORK);
        cb_buf_printf(out, "%s\n", body);
        result = cb_buf_error(out);
    }
    log_rejection(status, error, &request, peer);
    cb_json_text_free(&body);
    json_decref(problem);
    return result;
}
