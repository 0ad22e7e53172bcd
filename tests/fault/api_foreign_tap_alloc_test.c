/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A holder logs in with a PIV, a JPKI and an SCP03 card that others issued, over HTTP and through
 * hsmd's lanes, while each allocation of the broker fails in turn. The terminal gets the whole
 * answer, or an error that is said to be the server's, or an end. A tap that did not succeed is not
 * told as accepted, nor when the proof is brought again, and has left no intent open; the next tap
 * of the same card works.
 */
#include "tests/fault/api_foreign.h"
#include "tests/fault/api_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/alloc_faults.h"

enum { RUNS = 5 };

typedef struct taps {
    api_world w;
    api_foreign *k; /* whose card lies there */
    bool proves;
    api_tally before;
    size_t script;
} taps;

static void make(taps *t)
{
    api_foreign_world(&t->w);
    api_world_close(&t->w);
}

/* ---- The steps ---- */

static void ask(taps *t) { api_step(&t->w, "challenge", ",\"service\":\"%s\"", t->k->service); }

static void started(void *context)
{
    taps *t = context;
    api_foreign_lay_down(&t->w, t->k);
    api_open_again(&t->w, &t->before);
    api_foreign_begin(&t->w);
}

static void challenged(void *context)
{
    taps *t = context;
    started(t);
    ask(t);
    api_come_to_proof(&t->w);
}

static cb_error challenge(void *context)
{
    taps *t = context;
    ask(t);
    return api_judge_script(&t->w, 200, &t->script);
}

static cb_error prove(void *context)
{
    taps *t = context;
    api_bring_proof(&t->w);
    return api_judge_accept(&t->w, t->k->level, t->k->service, false);
}

/* ---- Afterwards ---- */

static void told_as_it_was(void *context, cb_error result, bool struck)
{
    taps *t = context;
    api_tally is;
    bool told = t->proves && result == CB_OK;
    (void)struck;
    api_settled(&t->w, &t->before, &is);
    api_accepted_as_told(&is, false, told);
    if (t->proves) {
        told = api_bring_again(&t->w) || told;
        api_settled(&t->w, &t->before, &is);
        api_accepted_as_told(&is, false, told);
    }
    api_let_it_sign(&t->w);
    api_count(&t->w, &t->before);
    api_foreign_begin(&t->w);
    ask(t);
    api_come_to_proof(&t->w);
    MUST(prove(t));
    api_settled(&t->w, &t->before, &is);
    api_accepted_as_told(&is, false, true);
    api_world_close(&t->w);
}

static const struct {
    unsigned kind;
    fault_flow flow;
} flows[] = {
    {API_PIV, {"a PIV card's challenge", started, challenge, told_as_it_was}},
    {API_PIV, {"a PIV card's proof", challenged, prove, told_as_it_was}},
    {API_JPKI, {"a JPKI card's challenge", started, challenge, told_as_it_was}},
    {API_JPKI, {"a JPKI card's proof", challenged, prove, told_as_it_was}},
    {API_SCP03, {"an SCP03 card's challenge", started, challenge, told_as_it_was}},
    {API_SCP03, {"an SCP03 card's proof", challenged, prove, told_as_it_was}},
};

static void make_anew(void *context)
{
    taps *t = context;
    api_world_over(&t->w);
    make(t);
}

static void a_tap_of_others_cards_succeeds_or_has_not_been(void **state)
{
    static taps t;
    (void)state;
    api_foreign_make();
    make(&t);
    fault_anew(make_anew);
    fault_theirs(FAULT_THEIRS_HTTP);
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        t.k = &api_foreign_cards[flows[i].kind];
        t.proves = flows[i].flow.run == prove;
        t.script = 0;
        fault_each(&alloc_faults, &flows[i].flow, &t, RUNS);
    }
    api_world_over(&t.w);
    api_foreign_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_tap_of_others_cards_succeeds_or_has_not_been, fault_said),
    };
    fault_quiet();
    cb_json_wipe_always();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
