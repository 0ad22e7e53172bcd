/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Every kind of request to the broker while each allocation fails in turn: jansson's, SQLite's,
 * libmicrohttpd's, wolfSSL's and its own. Who asks gets the whole answer, or an error that is said
 * to be the server's, or an end. What was asked is then done or not: never half, and the record
 * says the same as the tables. Asked again, it is done.
 */
#include "tests/fault/api_acts.h"
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/alloc_faults.h"

typedef struct flows {
    api_acts a;
    const api_act *act;
    bool known; /* what a run without faults does */
    char said[sizeof((calm_answer *)0)->body];
    api_tally before, clean;
} flows;

/* ---- Judging answers ---- */

/* Within numbers, identifiers and codes. */
static bool joins(const char *text, size_t len)
{
    return isalnum((unsigned char)text[len]) || (len > 0 && text[len] && strchr("-*~$=", text[len]));
}

/* Numbers, times, identifiers and codes are others each time; of metrics, so is which there are. */
static void flatten(const char *text, char *out)
{
    while (*text) {
        if (strncmp(text, "cardbroker_", 11) == 0 && text[-1] == '\n') {
            text = strchr(text, '\n') + 1;
            continue;
        }
        size_t len = 0;
        bool digits = false;
        while (joins(text, len))
            digits |= isdigit((unsigned char)text[len++]) != 0;
        if (len == 0) {
            *out++ = *text++;
            continue;
        }
        if (digits || len > 20)
            *out++ = '#';
        else
            out = (char *)memcpy(out, text, len) + len;
        text += len;
    }
    *out = 0;
}

static cb_error judge(flows *f)
{
    char said[sizeof f->said];
    cb_error error = api_judge(&f->a.w, f->act->status);
    if (error)
        return error;
    flatten(f->a.w.answer.body, said);
    if (f->known && strcmp(said, f->said) != 0) {
        fprintf(stderr, "due: %s\nis:  %s\n", f->said, said);
        return api_wrong(&f->a.w, "not the whole answer");
    }
    if (!f->known)
        strcpy(f->said, said);
    return CB_OK;
}

/* ---- A run ---- */

static void open_again(flows *f)
{
    api_world_close(&f->a.w);
    assert_int_equal(api_world_open(&f->a.w), CB_OK);
}

static void prepare(void *context)
{
    flows *f = context;
    open_again(f);
    f->act->prepare(&f->a);
    api_count(&f->a.w, &f->before);
}

static cb_error ask(void *context)
{
    flows *f = context;
    api_acts_ask(&f->a);
    return judge(f);
}

/* A key service that was not heard is asked again within half a second; the next start asks at
 * once, and takes back what was not signed. Whether it was one. */
static bool let_it_sign(flows *f)
{
    cb_store_state state;
    assert_int_equal(cb_store_status(f->a.w.api.store, &state), CB_OK);
    bool again = state.signer || state.error;
    if (again)
        open_again(f);
    return again;
}

static void done_or_not(void *context, cb_error result, bool struck)
{
    flows *f = context;
    api_tally is, twice;
    (void)struck;
    api_settled(&f->a.w, &f->before, &is);
    if (!f->known)
        f->clean = is;
    f->known = true;
    bool done = api_same(&is, &f->clean);
    if ((is.count > 0 && !done) || (result == CB_OK && !done)) {
        api_say("due", &f->clean);
        api_say("is", &is);
        fail_msg("half done");
    }
    bool taken_back = let_it_sign(f);
    api_acts_ask(&f->a);
    if (taken_back && f->a.w.answer.status == 403 && api_acts_confirm(&f->a))
        api_acts_ask(&f->a);
    int again = f->a.w.answer.status;
    bool over = again == 409 || (again == 404 && strcmp(f->a.method, "DELETE") == 0);
    if (!done || !over)
        assert_int_equal(judge(f), CB_OK);
    api_settled(&f->a.w, &f->before, &twice);
    if (!done && !api_same(&twice, &f->clean)) {
        api_say("due", &f->clean);
        api_say("is", &twice);
        fail_msg("not done when asked again");
    }
    api_world_close(&f->a.w);
}

static void make_anew(void *context)
{
    flows *f = context;
    api_world_over(&f->a.w);
    api_acts_make(&f->a);
}

static void each_of(const api_act *table)
{
    static flows f;
    static fault_flow flow;
    fault_anew(make_anew);
    for (const api_act *act = table; act->name; act++) {
        const char *only = getenv("CARDBROKER_FAULTS_FLOW");
        if (only && !strstr(act->name, only))
            continue;
        flow = (fault_flow){act->name, prepare, ask, done_or_not};
        memset(&f, 0, sizeof f);
        f.act = act;
        api_acts_make(&f.a);
        fault_theirs(FAULT_THEIRS_HTTP);
        fault_each(&alloc_faults, &flow, &f, act->runs);
        api_world_over(&f.a.w);
    }
}

#ifndef TABLE
#define TABLE api_act_table
#endif

static void each_request_is_done_or_not(void **state)
{
    (void)state;
    each_of(TABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_request_is_done_or_not, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
