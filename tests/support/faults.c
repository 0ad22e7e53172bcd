/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/support/faults.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/support/alloc_faults.h"

enum { RUN_SECONDS = 60, ANEW = 100, THOUSANDTH = 1009 };

static struct {
    const fault_kind *kind; /* NULL: no run is under way */
    fault_flow flow;        /* a copy: a test that fails leaves the function that has it */
    unsigned nth;
    bool lasting;
    bool mapped; /* so many calls that only some are taken */
} now;

static long theirs;
static long (*also)(void);
static void (*anew)(void *context);

void fault_theirs(long blocks) { theirs = blocks; }

void fault_anew(void (*make_anew)(void *context)) { anew = make_anew; }

void fault_also(long (*kept)(void)) { also = kept; }

static long kept(void) { return alloc_faults_live() + (also ? also() : 0); }

static void say_where(void)
{
    fprintf(stderr, "at %s %s %u of flow \"%s\"\n", now.kind->name,
            now.lasting ? "failing for good from call" : "failing at call", now.nth, now.flow.name);
    if (now.kind->where)
        now.kind->where();
}

/* Also after a test has failed, when the program ends beside the threads that it has left. */
static void crashed(int number)
{
    if (now.kind)
        now.kind->disarm();
    fprintf(stderr, number == SIGALRM ? "hangs " : "signal %d ", number);
    if (now.kind)
        say_where();
    signal(number, SIG_DFL);
    raise(number == SIGALRM ? SIGABRT : number);
}

/* Under a sanitizer its own handlers say more. */
static void watch(void)
{
    signal(SIGALRM, crashed);
#ifndef CB_SANITIZED
    signal(SIGSEGV, crashed);
    signal(SIGBUS, crashed);
    signal(SIGFPE, crashed);
#endif
    signal(SIGABRT, crashed);
}

static unsigned one_run(void *context, unsigned nth, bool lasting, long *leaked)
{
    const char *patience = getenv("CARDBROKER_PATIENCE");
    int factor = patience ? atoi(patience) : 1;
    now.nth = nth;
    now.lasting = lasting;
    alarm(RUN_SECONDS * (unsigned)(factor > 1 ? factor : 1));
    long before = kept();
    if (now.flow.before)
        now.flow.before(context);
    now.kind->arm(nth, lasting);
    cb_error result = now.flow.run(context);
    unsigned calls = now.kind->disarm();
    bool struck = nth > 0 && calls >= nth;
    if ((unsigned)result >= CB_ERROR_COUNT)
        fail_msg("%d is no error that is listed", (int)result);
    if (!struck && result)
        fail_msg("without a fault: %s", cb_error_code(result));
    now.flow.after(context, result, struck);
    *leaked = kept() - before;
    alarm(0);
    if (getenv("CARDBROKER_FAULTS_SHOW") && struck) {
        fprintf(stderr, "%ld %s %u: %s\n", (long)time(NULL), now.flow.name, nth,
                cb_error_code(result));
    }
    return calls;
}

/* What is made once and kept (by libraries, too) is no leak: a leak is lost at each run. */
static unsigned run_clean(void *context, unsigned nth, bool lasting)
{
    long leaked = 0;
    for (int i = 0; i < 3; i++) {
        unsigned calls = one_run(context, nth, lasting, &leaked);
        if (leaked <= (nth > 0 ? theirs : 0))
            return calls;
    }
    fail_msg("%ld blocks of memory are lost at each run", leaked);
    return 0;
}

static bool takes_all(void)
{
    const char *wish = getenv("CARDBROKER_FAULTS");
    return wish && strcmp(wish, "all") == 0;
}

static void map_run(void *context)
{
    long leaked = 0;
    alloc_faults_map(true);
    one_run(context, 0, false, &leaked);
    alloc_faults_map(false);
}

static void enumerate(void *context, unsigned calls, bool lasting, unsigned runs)
{
    const char *from = getenv("CARDBROKER_FAULTS_FROM");
    unsigned stride = takes_all() || runs == 0 || calls <= runs ? 1 : (calls + runs - 1) / runs;
    unsigned nth = from ? (unsigned)atoi(from) : 1;
    unsigned made = calls, runs_made = 0;
    /* Between processes and threads it is chance how many they are, so the end is looked for. */
    for (; nth <= made && nth <= 2 * calls; nth += stride) {
        if (now.mapped && nth % THOUSANDTH != 0 && !alloc_faults_is_new(nth))
            continue;
        if (anew && ++runs_made % ANEW == 0)
            anew(context);
        made = run_clean(context, nth, lasting);
        made = made > calls ? made : calls;
    }
}

void fault_each(const fault_kind *kind, const fault_flow *flow, void *context, unsigned runs)
{
    long leaked = 0;
    const char *only = getenv("CARDBROKER_FAULTS_FLOW");
    if (only && !strstr(flow->name, only))
        return;
    now.kind = kind;
    now.flow = *flow;
    watch();
    one_run(context, 0, false, &leaked);
    unsigned calls = one_run(context, 0, false, &leaked);
    if (calls == 0)
        fail_msg("the flow makes no such call");
    run_clean(context, 0, false);
    now.mapped = takes_all() && kind == &alloc_faults && calls > FAULT_MANY;
    if (now.mapped)
        map_run(context);
    enumerate(context, calls, false, runs);
    if (!kind->passing)
        enumerate(context, calls, true, runs);
    print_message("%s: %s, %u calls\n", flow->name, kind->name, calls);
    now.kind = NULL;
}

void fault_quiet(void)
{
    if (!getenv("CARDBROKER_FAULTS_SHOW"))
        cb_log_init("test", (cb_log_level)(CB_LOG_ERROR + 1));
}

int fault_said(void **state)
{
    (void)state;
    if (!now.kind)
        return 0;
    alarm(0);
    now.kind->disarm();
    say_where();
    now.kind = NULL;
    return 0;
}
