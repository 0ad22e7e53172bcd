/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Errors as application/problem+json (RFC 9457).
 */
#ifndef CB_BROKER_HTTP_PROBLEM_H
#define CB_BROKER_HTTP_PROBLEM_H

#include "broker/http/request.h"

/* The HTTP status of an error. */
unsigned cb_problem_status(cb_error error);

/* The reason phrase of a status that the broker sends; "Unknown" for others. */
const char *cb_problem_title(unsigned status);

/* A problem's object; NULL: no memory, or the detail is not UTF-8. */
json_t *cb_problem(unsigned status, cb_error error, const char *detail, const cb_id *request);

/* Turns a reply into a problem: its status, body, type, detail, extra fields, and when to come back
 * for what is busy. */
void cb_problem_write(cb_reply *reply, cb_error error, const cb_id *request);

#endif
