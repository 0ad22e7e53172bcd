/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A relayed session as a browser meets it, over a whole broker, while each allocation and each call
 * for a socket fails in turn: the one-time code is exchanged for a cookie, pages are asked with it,
 * with another, and when the session has ended. The browser gets the whole answer, or an error that
 * is not its own, or an end; nobody comes in without the cookie, and no code is good once its
 * cookie was used. The session goes on, or it has ended and is on record; the next one works.
 */
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "broker/api/relay_rules.h"
#include "tests/support/alloc_faults.h"
#include "tests/support/socket_faults.h"

enum { RUNS = 8, SOCKETS = 8, MISSING = 404, GONE = 410, SEEN = 303 };

typedef struct relays {
    api_world w;
    struct WOLFSSL_CTX *browser;
    char host[128], path[160]; /* of the one-time URL */
    char cookie[CB_SESSION_SECRET];
    bool breaks; /* sockets do */
    api_tally before;
} relays;

/* ---- What the browser does ---- */

static void visit(relays *r, const char *path, const char *cookie)
{
    char request[1024];
    int len =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nCookie: a=1%s%s\r\n\r\n",
                 path, r->host, cookie ? "; " CB_RELAY_COOKIE "=" : "", cookie ? cookie : "");
    assert_true(len > 0 && (size_t)len < sizeof request);
    calm_ask_on(&r->w.line, request, &r->w.answer);
}

static void dial(relays *r) { api_dial_as(&r->w, r->browser); }

/* Within one process nothing breaks in earnest: here it looks as if nothing had been understood
 * (http_test.c). */
static bool not_understood(const relays *r)
{
    return r->breaks && r->w.answer.status == 400 &&
           strstr(r->w.answer.body, "\"request.malformed\"");
}

static cb_error judge(const relays *r, int status)
{
    const calm_answer *answer = &r->w.answer;
    if (answer->silent)
        return api_wrong(&r->w, "silence");
    if (answer->status == 0)
        return CB_E_CLOSED;
    if (answer->status >= 500)
        return CB_E_MEMORY;
    if (not_understood(r))
        return CB_E_FORMAT;
    return answer->status == status ? CB_OK : api_wrong(&r->w, "a wrong answer");
}

/* The cookie in the answer, whole. */
static bool take_cookie(relays *r)
{
    static const char line[] = "\r\nSet-Cookie: " CB_RELAY_COOKIE "=";
    const char *at = strstr(r->w.answer.head, line);
    size_t len = at ? strspn(at + sizeof line - 1, "0123456789abcdef") : 0;
    if (len != sizeof r->cookie - 1 || at[sizeof line - 1 + len] != ';')
        return false;
    snprintf(r->cookie, sizeof r->cookie, "%.*s", (int)len, at + sizeof line - 1);
    return true;
}

static cb_error enter(relays *r)
{
    visit(r, r->path, NULL);
    cb_error error = judge(r, SEEN);
    if (!error && (!take_cookie(r) || !strstr(r->w.answer.head, "\r\nLocation: /\r\n")))
        error = api_wrong(&r->w, "no cookie");
    return error;
}

static cb_error read_page(relays *r)
{
    visit(r, "/a/page?b=c", r->cookie);
    if (r->w.answer.status == GONE && strstr(r->w.answer.body, "session.ended"))
        return CB_E_SESSION_ENDED; /* its process was lost */
    cb_error error = judge(r, 200);
    if (!error && (strcmp(r->w.answer.body, "page /a/page?b=c") != 0 ||
                   !strstr(r->w.answer.head, "\r\nContent-Type: text/plain\r\n")))
        error = api_wrong(&r->w, "another page");
    return error;
}

/* ---- What is there before ---- */

static void log_in(relays *r)
{
    static const char before[] = "\"url\":\"https://";
    api_dial(&r->w);
    assert_int_equal(api_tap_start(&r->w), 201);
    assert_true(api_play(&r->w));
    api_dial(&r->w);
    assert_int_equal(api_tap_challenge(&r->w, "bus"), 200);
    assert_true(api_play(&r->w));
    api_dial(&r->w);
    assert_int_equal(api_tap_proof(&r->w), 200);
    const char *url = strstr(r->w.answer.body, before);
    assert_non_null(url);
    assert_int_equal(sscanf(url + sizeof before - 1, "%127[^/]%159[^\"]", r->host, r->path), 2);
}

/* Nobody else asks anything meanwhile: hsmd's sockets are none of this. */
static void logged_in(void *context)
{
    relays *r = context;
    api_open_again(&r->w, &r->before);
    log_in(r);
    cb_watch_close(&r->w.api.watch);
    dial(r);
}

static void entered(void *context)
{
    relays *r = context;
    logged_in(r);
    assert_int_equal(enter(r), CB_OK);
    dial(r);
}

/* As whoever revokes cuts it. */
static void cut(relays *r)
{
    const cb_session_match all = {.holder = r->w.holder};
    cb_sessions_cut(r->w.api.sessions, &all, "ended");
}

static void ended(void *context)
{
    relays *r = context;
    entered(r);
    assert_int_equal(read_page(r), CB_OK);
    cut(r);
    dial(r);
}

/* ---- The flows ---- */

static cb_error exchange_code(void *context) { return enter(context); }

static cb_error ask_page(void *context) { return read_page(context); }

static cb_error ask_with_another(void *context)
{
    relays *r = context;
    char other[sizeof r->cookie];
    memcpy(other, r->cookie, sizeof other);
    other[0] = other[0] == '0' ? '1' : '0';
    visit(r, "/a/page?b=c", other);
    return judge(r, MISSING);
}

static cb_error ask_too_late(void *context)
{
    relays *r = context;
    visit(r, "/a/page?b=c", r->cookie);
    return judge(r, GONE);
}

/* ---- Afterwards ---- */

static void works_again(relays *r)
{
    api_wait_signed(&r->w);
    log_in(r);
    dial(r);
    assert_int_equal(enter(r), CB_OK);
    dial(r);
    assert_int_equal(read_page(r), CB_OK);
}

static void code_is_used(relays *r)
{
    dial(r);
    visit(r, r->path, NULL);
    assert_true(r->w.answer.status == MISSING || r->w.answer.status == GONE);
    assert_null(strstr(r->w.answer.head, "\r\nSet-Cookie: " CB_RELAY_COOKIE));
}

/* Each session that was opened has ended, and the record says so. */
static void ends(relays *r)
{
    api_tally is;
    api_wait_signed(&r->w); /* nothing was told, if there was no memory for it */
    works_again(r);
    code_is_used(r);
    cut(r);
    api_sessions_are_over(&r->w);
    api_settled(&r->w, &r->before, &is);
    assert_int_equal(api_number(&is, "leaf tap.result accepted"), 2);
    assert_int_equal(api_number(&is, "leaf session.ended"), 2);
    assert_int_equal(api_number(&is, "session"), 0);
    api_world_close(&r->w);
}

/* Whoever got no cookie asks for it again. The sockets of the session's process break as well, and
 * it ends with them. */
static void session_goes_on(void *context, cb_error result, bool struck)
{
    relays *r = context;
    if (result) {
        dial(r);
        result = enter(r);
        assert_int_equal(result, CB_OK);
    }
    dial(r);
    cb_error page = read_page(r);
    assert_true(page == CB_OK || (page == CB_E_SESSION_ENDED && struck && r->breaks));
    code_is_used(r);
    ends(r);
}

static void page_is_there_or_session_is_over(void *context, cb_error result, bool struck)
{
    relays *r = context;
    dial(r);
    cb_error page = read_page(r);
    (void)result; /* the last question, whether there is more, may fail behind a whole page */
    assert_true(page == CB_OK || (page == CB_E_SESSION_ENDED && struck));
    code_is_used(r);
    ends(r);
}

static void own_cookie_is_good(void *context, cb_error result, bool struck)
{
    relays *r = context;
    (void)result;
    dial(r);
    cb_error page = read_page(r);
    assert_true(page == CB_OK || (page == CB_E_SESSION_ENDED && struck && r->breaks));
    ends(r);
}

static void stays_ended(void *context, cb_error result, bool struck)
{
    relays *r = context;
    (void)result, (void)struck;
    dial(r);
    assert_int_equal(ask_too_late(r), CB_OK);
    ends(r);
}

static const fault_flow flows[] = {
    {"a code exchanged for a cookie", logged_in, exchange_code, session_goes_on},
    {"a page", entered, ask_page, page_is_there_or_session_is_over},
    {"a page with another cookie", entered, ask_with_another, own_cookie_is_good},
    {"a page of a session that has ended", ended, ask_too_late, stays_ended},
};

static relays shared;

static void make_anew(void *context)
{
    relays *r = context;
    api_world_over(&r->w);
    api_world_make(&r->w);
}

static void each_flow(const fault_kind *kind, unsigned runs)
{
    relays *r = &shared;
    api_world_make(&r->w);
    r->browser = calm_tls(NULL, NULL);
    r->breaks = kind != &alloc_faults;
    fault_anew(make_anew);
    fault_theirs(FAULT_THEIRS_HTTP);
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++)
        fault_each(kind, &flows[i], r, runs);
    calm_tls_free(&r->browser);
    api_world_over(&r->w);
}

static void nobody_comes_in_for_want_of_memory(void **state)
{
    (void)state;
    each_flow(&alloc_faults, RUNS);
}

static void nobody_comes_in_over_broken_sockets(void **state)
{
    (void)state;
    each_flow(&socket_faults, SOCKETS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nobody_comes_in_for_want_of_memory, fault_said),
        cmocka_unit_test_teardown(nobody_comes_in_over_broken_sockets, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
