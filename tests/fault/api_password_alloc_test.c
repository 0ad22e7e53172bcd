/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A name and a password over HTTP, and the change of a password, while each allocation of the
 * broker fails in turn. Who types it gets the whole answer, or an error that is said to be the
 * server's, or an end. A wrong one opens nothing, and is one guess at most, also when its proof is
 * brought again. A password is changed or not: the record says which of the two it is, that one
 * opens and the other does not, and what the old one had opened is closed. Asked again, it is done.
 */
#include "tests/fault/api_judge.h"
#include "tests/fault/api_typist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hsm/password.h"
#include "tests/support/alloc_faults.h"

enum { RUNS = 6, WRONG_ONE = 1000000 };

typedef struct passwords {
    api_world w;
    api_typist who;
    unsigned right; /* the number of the password that counts */
    api_tally before;
    uint64_t wrong_before; /* passwords, at the terminal */
    size_t script;
    int64_t since;
    unsigned looks; /* of hsmd at passwords */
} passwords;

/* hsmd looks at so many passwords a second, and at a number of them at once. */
static void before_hsmd_looks(passwords *p)
{
    const cb_brake_rate rate = CB_PASSWORD_RATE;
    int64_t ahead = (int64_t)(++p->looks) - (int64_t)rate.burst / 2;
    int64_t left = p->since + ahead * (int64_t)rate.each_us - cb_clock_monotonic_us();
    if (left > 0)
        cb_pause(left);
}

/* ---- The steps ---- */

static void ask(passwords *p)
{
    if (p->who.service)
        api_step(&p->w, "challenge", ",\"service\":\"%s\"", p->who.service);
    else
        api_step(&p->w, "challenge", ",\"purpose\":\"password_change\"");
}

/* Up to the proof, which is at hand. */
static void come_to_proof(passwords *p)
{
    api_begin(&p->w, "password");
    ask(p);
    api_come_to_proof(&p->w);
}

static void bring_proof(passwords *p)
{
    before_hsmd_looks(p);
    api_bring_proof(&p->w);
}

/* A whole tap with what is typed; service NULL: a change. */
static void tap(passwords *p, const char *service)
{
    const char *was = p->who.service;
    p->who.service = service;
    come_to_proof(p);
    bring_proof(p);
    p->who.service = was;
}

static void opened(void *context)
{
    passwords *p = context;
    cb_failure_row row;
    api_open_again(&p->w, &p->before);
    MUST(cb_failures_get(p->w.api.store, CB_OF_TERMINAL, &p->w.terminal, &row));
    p->wrong_before = row.count[CB_FAILURE_PASSWORD];
    p->who.typed = p->right;
    p->who.next = p->right + 1;
}

static void dialled(void *context)
{
    passwords *p = context;
    opened(p);
    api_dial(&p->w);
}

static void begun(void *context)
{
    passwords *p = context;
    opened(p);
    api_begin(&p->w, "password");
}

static void challenged(void *context)
{
    opened(context);
    come_to_proof(context);
}

static void challenged_wrong(void *context)
{
    passwords *p = context;
    opened(p);
    p->who.typed = WRONG_ONE;
    come_to_proof(p);
}

/* What the password of before has opened is to be closed with it. */
static void logged_in_and_challenged(void *context)
{
    passwords *p = context;
    opened(p);
    tap(p, "web");
    assert_int_equal(p->w.answer.status, 200);
    assert_int_equal(cb_sessions_count(p->w.api.sessions), 1);
    api_count(&p->w, &p->before);
    come_to_proof(p);
}

static cb_error begin(void *context)
{
    passwords *p = context;
    api_ask_dialled(&p->w, "POST", "/v1/taps", "{\"profile\":\"password\"}");
    return api_judge_script(&p->w, 201, &p->script);
}

static cb_error challenge(void *context)
{
    passwords *p = context;
    ask(p);
    return api_judge_script(&p->w, 200, &p->script);
}

static cb_error judge_accept(const passwords *p)
{
    return api_judge_accept(&p->w, CB_LEVEL_PASSWORD, p->who.service,
                            strcmp(p->who.service, "web") == 0);
}

static cb_error judge_change(const passwords *p)
{
    return api_judge_accept(&p->w, CB_LEVEL_PASSWORD, NULL, false);
}

static cb_error judge_refusal(const passwords *p)
{
    static const char *const parts[] = {"\"code\":\"password.wrong\"", NULL};
    return api_judge_parts(&p->w, 422, parts);
}

static cb_error prove(void *context)
{
    passwords *p = context;
    bring_proof(p);
    return judge_accept(p);
}

static cb_error prove_wrong(void *context)
{
    passwords *p = context;
    bring_proof(p);
    return judge_refusal(p);
}

static cb_error prove_change(void *context)
{
    passwords *p = context;
    bring_proof(p);
    return judge_change(p);
}

/* ---- Afterwards ---- */

/* As hsmd has them. */
static unsigned guesses(const passwords *p)
{
    cb_memo *memo = NULL;
    cb_digest value = {{0}};
    cb_id place = cb_memo_place("cardbroker password guesses 1", cb_id_bytes(&p->who.name));
    alloc_faults_pause(true);
    MUST(cb_memo_open(p->w.hsmd.config.guesses_path, &memo));
    cb_error error = cb_memo_get(memo, &place, &value);
    cb_memo_close(&memo);
    alloc_faults_pause(false);
    MUST(error);
    cb_cursor in = cb_cursor_over(cb_bytes_make(value.bytes + CB_ID_SIZE, 4));
    return cb_cursor_u32(&in);
}

/* The terminal brings the same answers once more: said again as it was, or an error. */
static bool bring_again(passwords *p)
{
    before_hsmd_looks(p);
    return api_bring_again(&p->w);
}

static void types_right(passwords *p)
{
    p->who.typed = p->right;
    tap(p, "net");
    assert_int_equal(p->w.answer.status, 200);
    assert_int_equal(guesses(p), 0);
}

static void told_as_it_was(void *context, cb_error result, bool struck)
{
    passwords *p = context;
    api_tally is;
    bool relayed = p->who.service && strcmp(p->who.service, "web") == 0, told = result == CB_OK;
    (void)struck;
    api_settled(&p->w, &p->before, &is);
    api_accepted_as_told(&is, relayed, told);
    assert_int_equal(guesses(p), 0);
    told = bring_again(p);
    api_settled(&p->w, &p->before, &is);
    api_accepted_as_told(&is, relayed, told);
    api_let_it_sign(&p->w);
    types_right(p);
    api_world_close(&p->w);
}

/* A tap that did not come to its proof has done nothing. */
static void nothing_is_done(void *context, cb_error result, bool struck)
{
    passwords *p = context;
    api_tally is;
    (void)result, (void)struck;
    api_settled(&p->w, &p->before, &is);
    assert_int_equal(api_number(&is, "leaf tap.intent"), 0);
    assert_int_equal(api_number(&is, "leaf tap.password"), 0);
    assert_true(api_number(&is, "leaf tap.refused") <= 1);
    assert_int_equal(guesses(p), 0);
    api_let_it_sign(&p->w);
    types_right(p);
    api_world_close(&p->w);
}

/* What the record counts, it says. */
static long refused(const passwords *p, const api_tally *is)
{
    cb_failure_row row;
    long leaves = api_number(is, "leaf tap.refused");
    MUST(cb_failures_get(p->w.api.store, CB_OF_TERMINAL, &p->w.terminal, &row));
    assert_true((long)(row.count[CB_FAILURE_PASSWORD] - p->wrong_before) <= leaves);
    return leaves;
}

static void one_guess_at_most(void *context, cb_error result, bool struck)
{
    passwords *p = context;
    api_tally is;
    for (int i = 0; i < 2; i++) {
        api_settled(&p->w, &p->before, &is);
        assert_int_equal(api_number(&is, "leaf tap.intent"), 0);
        assert_int_equal(api_number(&is, "session"), 0);
        assert_true(refused(p, &is) <= 1);
        assert_true(guesses(p) <= 1);
        if (result == CB_OK)
            assert_int_equal(guesses(p), 1);
        if (!struck)
            assert_int_equal(refused(p, &is), 1);
        if (i == 0)
            assert_false(bring_again(p));
    }
    api_let_it_sign(&p->w);
    types_right(p);
    api_world_close(&p->w);
}

/* How often; as a whole or not at all. */
static long changed(passwords *p)
{
    api_tally is;
    api_settled(&p->w, &p->before, &is);
    long done = api_number(&is, "leaf tap.password");
    bool good = done >= 0 && done <= 1 && api_number(&is, "leaf card.renewed") == done &&
                api_number(&is, "leaf card.keys_retired") == done &&
                api_number(&is, "leaf tap.intent") == 0 && api_number(&is, "session") <= 0;
    if (!good) {
        api_say("is", &is);
        fail_msg("half changed");
    }
    return done;
}

static void changed_or_not(void *context, cb_error result, bool struck)
{
    passwords *p = context;
    (void)struck;
    long done = changed(p);
    assert_true(done == 1 || result != CB_OK);
    bool told = bring_again(p);
    done = changed(p);
    assert_true(done == 1 || !told);
    if (done)
        api_sessions_are_over(&p->w);
    api_let_it_sign(&p->w);
    if (!done) { /* the old one counts, and is changed when that is asked for again */
        p->who.typed = p->right;
        tap(p, NULL);
        MUST(judge_change(p));
        assert_int_equal(changed(p), 1);
    }
    p->who.typed = p->right;
    tap(p, "net");
    MUST(judge_refusal(p));
    assert_int_equal(guesses(p), 1);
    p->right = p->who.next;
    types_right(p);
    api_world_close(&p->w);
}

static const struct {
    fault_flow flow;
    const char *service;
} flows[] = {
    {{"a tap with a password begun", dialled, begin, nothing_is_done}, "net"},
    {{"a password asked for", begun, challenge, nothing_is_done}, "net"},
    {{"a right password, for a token", challenged, prove, told_as_it_was}, "net"},
    {{"a right password, for a relayed session", challenged, prove, told_as_it_was}, "web"},
    {{"a wrong password", challenged_wrong, prove_wrong, one_guess_at_most}, "net"},
    {{"a password's change asked for", begun, challenge, nothing_is_done}, NULL},
    {{"a password changed", logged_in_and_challenged, prove_change, changed_or_not}, NULL},
};

/* ---- ---- */

static void make(passwords *p)
{
    p->right = 1;
    p->since = cb_clock_monotonic_us();
    p->looks = 0;
    api_world_make(&p->w);
    MUST(api_world_open(&p->w));
    api_serve(&p->w, "net", "gives", CB_LEVEL_PASSWORD);
    api_serve(&p->w, "web", "relays", CB_LEVEL_PASSWORD);
    api_typist_bind(&p->w, &p->who, "hanako", p->right);
    api_world_close(&p->w);
}

static void make_anew(void *context)
{
    passwords *p = context;
    api_world_over(&p->w);
    make(p);
}

static void a_password_opens_or_is_changed_as_it_is_told(void **state)
{
    static passwords p;
    (void)state;
    make(&p);
    fault_anew(make_anew);
    fault_theirs(FAULT_THEIRS_HTTP);
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        p.who.service = flows[i].service;
        p.script = 0;
        fault_each(&alloc_faults, &flows[i].flow, &p, RUNS);
    }
    api_world_over(&p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_password_opens_or_is_changed_as_it_is_told, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
