/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

cb_error api_wrong(const api_world *w, const char *why)
{
    fprintf(stderr, "%s: %s%s\n", why, w->answer.head, w->answer.body);
    return API_WRONG;
}

cb_error api_judge(const api_world *w, int status)
{
    const calm_answer *answer = &w->answer;
    if (answer->silent)
        return api_wrong(w, "silence");
    if (answer->status == 0)
        return CB_E_CLOSED;
    if (answer->status >= 500 && strstr(answer->body, "\"code\":"))
        return CB_E_MEMORY;
    return answer->status == status ? CB_OK : api_wrong(w, "a wrong answer");
}

cb_error api_judge_parts(const api_world *w, int status, const char *const *parts)
{
    cb_error error = api_judge(w, status);
    for (; !error && *parts; parts++)
        if (!strstr(w->answer.body, *parts))
            error = api_wrong(w, *parts);
    return error;
}

cb_error api_judge_accept(const api_world *w, int level, const char *service, bool relayed)
{
    char reached[16], at[64] = "";
    const char *const parts[] = {
        "\"outcome\":\"accepted\"",
        "\"holder\":\"",
        "\"card\":\"",
        reached,
        service ? at : NULL,
        "\"session\":\"",
        relayed ? "\"delivery\":{\"kind\":\"relayed\",\"url\":\"https://"
                : "\"delivery\":{\"kind\":\"token\",\"token\":{\"access_token\":\"let me in\"}",
        NULL};
    snprintf(reached, sizeof reached, "\"level\":%d", level);
    snprintf(at, sizeof at, "\"service\":\"%s\"", service ? service : "");
    return api_judge_parts(w, 200, parts);
}

cb_error api_judge_script(api_world *w, int status, size_t *whole)
{
    cb_error error = api_judge(w, status);
    if (error)
        return error;
    if (!api_play(w))
        return api_wrong(w, "no script");
    if (*whole == 0)
        *whole = w->script;
    return w->script == *whole ? CB_OK : api_wrong(w, "not the whole script");
}

void api_settled(api_world *w, const api_tally *before, api_tally *out)
{
    api_tally after;
    for (int i = 0; i < 20000 && cb_server_busy(w->api.server) > 0; i++)
        usleep(500);
    cb_store_settle(w->api.store);
    api_count(w, &after);
    api_added(before, &after, out);
}

void api_wait_signed(const api_world *w)
{
    cb_store_state state;
    int64_t deadline = cb_deadline_in(60 * CB_SECOND);
    do {
        assert_int_equal(cb_store_status(w->api.store, &state), CB_OK);
        if (!state.signer && state.leaves_unsigned == 0)
            return;
        usleep(5000);
    } while (cb_deadline_left_ms(deadline) > 0);
    fail_msg("nothing is signed any more");
}

void api_sessions_are_over(const api_world *w)
{
    int64_t deadline = cb_deadline_in(60 * CB_SECOND);
    while (cb_sessions_count(w->api.sessions) > 0 && cb_deadline_left_ms(deadline) > 0)
        usleep(1000);
    assert_int_equal(cb_sessions_count(w->api.sessions), 0);
}

void api_world_over(api_world *w)
{
    assert_int_equal(api_world_open(w), CB_OK);
    api_wait_signed(w);
    api_world_close(w);
    api_verify(w);
    api_world_end(w);
}

static void open_anew(api_world *w)
{
    static const cb_failure_limits none = {.window = 3600 * CB_SECOND, .slow_rate = 1};
    api_world_close(w);
    assert_int_equal(api_world_open(w), CB_OK);
    cb_taps_set_limits(w->api.taps, &none);
}

void api_open_again(api_world *w, api_tally *before)
{
    open_anew(w);
    api_count(w, before);
}

void api_let_it_sign(api_world *w)
{
    cb_store_state state;
    assert_int_equal(cb_store_status(w->api.store, &state), CB_OK);
    if (state.signer || state.error)
        open_anew(w);
}

void api_begin(api_world *w, const char *profile)
{
    char body[64];
    snprintf(body, sizeof body, "{\"profile\":\"%s\"}", profile);
    api_dial(w);
    api_ask_dialled(w, "POST", "/v1/taps", body);
    assert_int_equal(w->answer.status, 201);
    assert_true(api_play(w));
    api_dial(w);
}

void api_step(api_world *w, const char *step, const char *format, ...)
{
    char path[128];
    static char more[API_BODY], body[2 * API_BODY + 64];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(more, sizeof more, format, list);
    va_end(list);
    assert_true(len >= 0 && (size_t)len < sizeof more);
    snprintf(path, sizeof path, "/v1/taps/%s/%s", w->tap, step);
    snprintf(body, sizeof body, "{\"answers\":%s%s}", w->answers, more);
    api_ask_dialled(w, "POST", path, body);
}

void api_come_to_proof(api_world *w)
{
    assert_int_equal(w->answer.status, 200);
    assert_true(api_play(w));
    api_dial(w);
}

void api_bring_proof(api_world *w) { api_step(w, "proof", "%s", ""); }

bool api_bring_again(api_world *w)
{
    api_dial(w);
    api_bring_proof(w);
    assert_false(w->answer.silent);
    return w->answer.status == 200;
}

void api_accepted_as_told(const api_tally *is, bool relayed, bool told)
{
    long accepted = api_number(is, "leaf tap.result accepted"),
         withheld = api_number(is, "leaf tap.withheld"),
         results = accepted + api_number(is, "leaf tap.result");
    bool good = accepted <= 1 && results == api_number(is, "leaf tap.intent") &&
                api_number(is, "intent") == 0 && (!told || (accepted == 1 && withheld == 0)) &&
                api_number(is, "session") == (relayed ? accepted - withheld : 0);
    if (!good) {
        api_say("is", is);
        fail_msg("it is not told as it was: %s", told ? "accepted" : "not accepted");
    }
}
