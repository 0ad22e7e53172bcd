/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/problem.h"

#include "base/json_text.h"
#include "base/text.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sysexits.h>

enum { EXIT_REFUSED = 3, TRIES_MAX = 255 };

void cb_plain(char *out, size_t size, const char *text)
{
    size_t used = 0;
    while (text && *text) {
        uint32_t character = 0;
        size_t len = cb_utf8_read(text, &character);
        bool shown = len > 0 && !cb_utf8_acts(character);
        size_t need = shown ? len : 1;
        if (used + need >= size)
            break;
        memcpy(&out[used], shown ? text : "?", need);
        used += need;
        text += len ? len : 1;
    }
    out[used] = 0;
}

static void clear(cb_problem *problem, cb_error error)
{
    *problem = (cb_problem){.error = error, .retry_after = -1, .tries_left = -1};
    cb_plain(problem->code, sizeof problem->code, cb_error_code(error));
    cb_plain(problem->detail, sizeof problem->detail, cb_error_text(error));
}

cb_error cb_problem_set(cb_problem *problem, cb_error error, const char *more)
{
    clear(problem, error);
    if (more) {
        char detail[CB_PROBLEM_DETAIL * 2];
        snprintf(detail, sizeof detail, "%s (%s)", cb_error_text(error), more);
        cb_plain(problem->detail, sizeof problem->detail, detail);
    }
    return error;
}

cb_error cb_error_of_code(const char *code)
{
    for (int i = 1; i < CB_ERROR_COUNT; i++)
        if (code && strcmp(cb_error_code((cb_error)i), code) == 0)
            return (cb_error)i;
    return CB_OK;
}

static cb_error error_of_status(unsigned status)
{
    switch (status) {
    case 401:
        return CB_E_TERMINAL_UNKNOWN;
    case 403:
        return CB_E_DENIED;
    case 404:
        return CB_E_NOT_FOUND;
    case 413:
        return CB_E_TOO_LARGE;
    case 429:
        return CB_E_TERMINAL_RATE;
    case 503:
        return CB_E_BUSY;
    case 504:
        return CB_E_TIMEOUT;
    default:
        return CB_E_PROTOCOL;
    }
}

cb_error cb_problem_read(cb_problem *problem, unsigned status, cb_bytes body, int retry_after)
{
    errno = 0;
    json_t *root = body.len <= CB_PROBLEM_BODY_MAX
                       ? cb_json_load(body, JSON_REJECT_DUPLICATES, NULL)
                       : NULL;
    bool unread = !root && errno == ENOMEM;
    const char *code = json_string_value(json_object_get(root, "code"));
    const char *detail = json_string_value(json_object_get(root, "detail"));
    const json_t *tries = json_object_get(root, "tries_left");
    cb_error error = cb_error_of_code(code);
    if (!error)
        error = unread ? CB_E_MEMORY : error_of_status(status);
    clear(problem, error);
    problem->status = status;
    problem->retry_after = retry_after;
    if (code)
        cb_plain(problem->code, sizeof problem->code, code);
    if (detail && *detail)
        cb_plain(problem->detail, sizeof problem->detail, detail);
    cb_plain(problem->request, sizeof problem->request,
             json_string_value(json_object_get(root, "request")));
    problem->may_end = json_is_true(json_object_get(root, "may_end"));
    problem->may_renew = json_is_true(json_object_get(root, "may_renew"));
    if (json_is_integer(tries) && json_integer_value(tries) >= 0 &&
        json_integer_value(tries) <= TRIES_MAX)
        problem->tries_left = (int)json_integer_value(tries);
    json_decref(root);
    return problem->error;
}

int cb_problem_exit(cb_error error)
{
    switch (error) {
    case CB_OK:
        return 0;
    case CB_E_BROKER_DOWN:
    case CB_E_BROKER_CERTIFICATE:
    case CB_E_BUSY:
    case CB_E_STOPPING:
    case CB_E_TIMEOUT:
    case CB_E_TAP_UNHEARD:
    case CB_E_TAP_UNDER_WAY:
    case CB_E_CLOSED:
        return EX_UNAVAILABLE;
    case CB_E_CONFIG:
        return EX_CONFIG;
    case CB_E_PIN_FORMAT:
        return EXIT_REFUSED;
    default:
        return cb_error_class_of(error) == CB_CLASS_CARD ? EXIT_REFUSED : 1;
    }
}
