/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a terminal asks for itself, and what anybody may ask for through it.
 */
#include "base/text.h"
#include "cardlink/terminal/relay_json.h"
#include "cardlink/terminal/relay_parts.h"
#include "cardlink/x509/request.h"

cb_error cb_relay_services(cb_relay *relay, json_t **services, cb_problem *problem)
{
    json_t *answer = NULL;
    cb_relay_request what = {.path = "/v1/services", .safe = true, .success = 200};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    *services = NULL;
    if (!error && !json_is_array(json_object_get(answer, "services")))
        error = cb_problem_set(problem, CB_E_PROTOCOL, "the broker's answer lists no services");
    else if (!error)
        *services = json_incref(json_object_get(answer, "services"));
    json_decref(answer);
    return error;
}

/* NULL: no memory. */
static json_t *certificate_body(const char *name, const char *code, cb_bytes csr)
{
    char hex[2 * CB_X509_REQUEST_MAX + 1];
    if (csr.len > CB_X509_REQUEST_MAX)
        return NULL;
    cb_hex(csr, hex);
    return name ? json_pack("{s:s,s:s,s:s}", "name", name, "code", code, "request", hex)
                : json_pack("{s:s}", "request", hex);
}

static cb_error read_certificate(const json_t *answer, cb_buf *out)
{
    const json_t *hex = json_object_get(answer, "certificate");
    if (!json_is_string(hex))
        return CB_E_PROTOCOL;
    cb_error error = cb_unhex(cb_bytes_make(json_string_value(hex), json_string_length(hex)), out);
    return error && error != CB_E_MEMORY ? CB_E_PROTOCOL : error;
}

cb_error cb_relay_certificate(cb_relay *relay, const char *name, const char *code, cb_bytes csr,
                              cb_buf *out, cb_problem *problem)
{
    json_t *answer = NULL;
    if (name && !cb_relay_is_text(name))
        return cb_problem_set(problem, CB_E_ARGUMENT, "the name is not UTF-8");
    json_t *body = certificate_body(name, code, csr);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    cb_relay_request what = {.path = name ? "/v1/activations" : "/v1/certificate",
                           .body = body,
                           .safe = true,
                           .success = name ? 201 : 200};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    if (!error && (error = read_certificate(answer, out)) != CB_OK)
        cb_problem_set(problem, error, "the broker's answer has no certificate");
    json_decref(answer);
    json_decref(body);
    return error;
}

/* Whether a refusal says that the broker knows already. One that heard the first question, whose
 * answer was lost, serves this terminal no more when it is asked again. That this terminal is
 * de-activated says nothing of it: somebody may have done that before, for another reason. */
static bool has_left(const cb_relay *relay, cb_error error)
{
    switch (error) {
    case CB_E_TERMINAL_REVOKED:
    case CB_E_TERMINAL_DISPOSED:
        return true;
    case CB_E_STATE: /* it was still at work on the first */
        return cb_relay_asked_again(relay);
    default:
        return false;
    }
}

cb_error cb_relay_leave(cb_relay *relay, const char *why, cb_problem *problem)
{
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "reason", why);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    cb_relay_request what = {.path = "/v1/terminal/end", .body = body, .safe = true, .success = 200};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    if (has_left(relay, error))
        error = CB_OK;
    json_decref(answer);
    json_decref(body);
    return error;
}

/* NULL: no memory. */
static json_t *log_body(const cb_relay_log *log)
{
    char previous[2 * CB_SHA256_SIZE + 1], key[2 * CB_P256_POINT + 1];
    char signature[2 * CB_P256_SIGNATURE + 1], entries[2 * CB_JOURNAL_BATCH_MAX + 1];
    if (log->entries.len > CB_JOURNAL_BATCH_MAX)
        return NULL;
    cb_hex(cb_digest_bytes(&log->before.hash), previous);
    cb_hex(CB_BYTES_OF(log->point), key);
    cb_hex(CB_BYTES_OF(log->signature), signature);
    cb_hex(log->entries, entries);
    return json_pack("{s:I,s:s,s:s,s:s,s:s}", "after", (json_int_t)log->before.number, "previous",
                     previous, "entries", entries, "key", key, "signature", signature);
}

cb_error cb_relay_bring(cb_relay *relay, const cb_relay_log *log, cb_journal_head *taken,
                        cb_problem *problem)
{
    json_t *answer = NULL;
    json_t *body = log_body(log);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    cb_relay_request what = {.path = "/v1/log", .body = body, .safe = true, .success = 200};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    if (!error && (error = cb_json_read_head(answer, taken)) != CB_OK)
        cb_problem_set(problem, error, "the broker's answer does not say what it has of the log");
    json_decref(answer);
    json_decref(body);
    return error;
}

/* NULL unless the answer says it. */
static const char *state_of(const json_t *answer)
{
    static const char *const states[] = {"suspended", "expired", "revoked", "returned", "destroyed"};
    const char *said = json_string_value(json_object_get(answer, "state"));
    for (size_t i = 0; said && i < sizeof states / sizeof *states; i++)
        if (strcmp(said, states[i]) == 0)
            return states[i];
    return NULL;
}

cb_error cb_relay_suspend(cb_relay *relay, const char *code, cb_relay_suspended *out,
                          cb_problem *problem)
{
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "code", code);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    cb_relay_request what = {.path = "/v1/suspensions", .body = body, .safe = true, .success = 200};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    *out = (cb_relay_suspended){
        .state = error ? NULL : state_of(answer),
        .code_withdrawn = json_integer_value(json_object_get(answer, "codes_withdrawn")) > 0};
    if (!error && !out->state)
        error = cb_problem_set(problem, CB_E_PROTOCOL, "the broker's answer names no state");
    json_decref(answer);
    json_decref(body);
    return error;
}
