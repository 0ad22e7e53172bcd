/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a handler sees of a request, and what it answers. Both belong to the server and live until
 * the answer is sent.
 */
#ifndef CB_BROKER_HTTP_REQUEST_H
#define CB_BROKER_HTTP_REQUEST_H

#include "broker/http/json.h"
#include "broker/http/route.h"

enum { CB_REPLY_MAX = 16 * 1024 * 1024, CB_ACTOR = 129 /* 128 characters and a zero */ };

typedef struct cb_request {
    void *context;      /* of the server's configuration */
    cb_id id;           /* made for this request */
    const char *method; /* as sent */
    const char *path;   /* without the query */
    const char *query;  /* after the '?'; "" if there is none */
    cb_peer peer;
    cb_match match;
    cb_buf body;
    json_t *json; /* the body as an object; NULL when there is none */
    /* Set by the identify function of the server's configuration: */
    cb_id terminal;       /* for CB_ROLE_TERMINAL */
    void *identity;       /* whatever it looked up; freed with free() */
    char actor[CB_ACTOR]; /* for CB_ROLE_ADMINISTRATOR: the name of the user, for the evidence */
} cb_request;

typedef struct cb_reply {
    unsigned status;  /* 0: 200 */
    const char *type; /* NULL: application/json */
    cb_buf body;
    json_t *json;         /* written into the body when it is set; the reply's own */
    json_t *extra;        /* fields added to a problem; the reply's own */
    cb_buf detail;        /* of a problem: what exactly; empty: the error's own sentence */
    unsigned retry_after; /* seconds; 0: not said */
} cb_reply;

/* Reads the fields of the body; a missing body is an empty object. The sentence about what is wrong
 * becomes the problem's detail. */
cb_error cb_request_fields(cb_request *request, cb_reply *reply, const cb_field *fields,
                           size_t count);

/* Reads the parameters of the query likewise: kinds TEXT, ID and NUMBER. Texts are kept by the
 * request. */
cb_error cb_request_query(cb_request *request, cb_reply *reply, const cb_field *fields,
                          size_t count);

void cb_request_free(cb_request *request);
void cb_reply_free(cb_reply *reply);

/* Fails with a sentence of the handler's own: return cb_reply_fail(reply, CB_E_ARGUMENT, "…"). */
cb_error cb_reply_fail(cb_reply *reply, cb_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Answers with an object, whose reference is taken over. json NULL: CB_E_MEMORY. */
cb_error cb_reply_json(cb_reply *reply, unsigned status, json_t *json);

#endif
