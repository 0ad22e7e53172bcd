/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker is killed at every step of its work. Afterwards: what was acknowledged is there, what
 * is there is whole, and the record verifies.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/store/txn.h"
#include "tests/unit/broker/support.h"

enum { TAPS_MAX = 64 };

/* What the child has been told, in memory that it shares with the test. */
typedef struct told {
    volatile int accepted;
    cb_id tap[TAPS_MAX];
    volatile int revoked;
    volatile int seen; /* of the step at which it dies */
} told;

typedef struct plan {
    const char *step;
    int when; /* the how-manieth time; 0: never */
    told *told;
} plan;

static void probe(void *context, const char *step)
{
    plan *p = context;
    if (p->when > 0 && strcmp(step, p->step) == 0 && ++p->told->seen == p->when)
        kill(getpid(), SIGKILL);
}

/* One that is under way is made; taps do not wait for it. */
static void wait_for_checkpoint(const world *w)
{
    char name[160];
    snprintf(name, sizeof name, "%s-checkpoint", w->path);
    for (int i = 0; i < 10000 && access(name, F_OK) != 0; i++)
        usleep(1000);
}

static void live(world *w, plan *p)
{
    bool checkpoints = strncmp(p->step, "checkpoint", 10) == 0;
    w->options.probe = probe;
    w->options.probe_context = p;
    w->options.checkpoint = checkpoints ? 16 : 0;
    if (cb_store_open(&w->options, &w->store) != CB_OK)
        _exit(3);
    for (int i = 0; i < 6; i++) {
        cb_id session = cb_id_new();
        if (tap_once(w, &p->told->tap[p->told->accepted], &session) != CB_OK)
            _exit(4);
        p->told->accepted++;
        if (checkpoints && i == 5)
            wait_for_checkpoint(w);
    }
    if (cb_card_change(w->store, "test", &w->card, CB_CARD_REVOKE, NULL, NULL) != CB_OK)
        _exit(5);
    p->told->revoked = 1;
    cb_store_close(&w->store);
    _exit(0);
}

static told *new_told(void)
{
    told *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(t != MAP_FAILED);
    return t;
}

typedef struct accepted_count {
    const told *told;
    int found;
} accepted_count;

static cb_error count_accepted(void *context, const cb_log_leaf *leaf)
{
    accepted_count *count = context;
    cb_buf value = CB_BUF(128);
    bool accepted = cb_leaf_find(leaf->data, "outcome", &value) == CB_OK &&
                    strcmp(cb_buf_cstr(&value), "accepted") == 0;
    cb_buf_reset(&value);
    cb_id tap;
    if (accepted && cb_leaf_find(leaf->data, "tap", &value) == CB_OK &&
        cb_id_parse(cb_buf_cstr(&value), &tap) == CB_OK) {
        for (int i = 0; i < count->told->accepted; i++)
            count->found += cb_id_same(&tap, &count->told->tap[i]);
    }
    cb_buf_free(&value);
    return CB_OK;
}

static void check_after(world *w, const told *t)
{
    cb_store_state state;
    cb_card card;
    accepted_count count = {.told = t};
    w->options.probe = NULL;
    assert_int_equal(verify_file(w, NULL), CB_OK); /* as the crash left it */
    world_open(w);
    assert_int_equal(cb_store_checked(w->store, cb_deadline_in(10 * CB_SECOND)), CB_OK);
    assert_int_equal(cb_store_status(w->store, &state), CB_OK);
    assert_int_equal(state.open_intents, 0);
    assert_int_equal(state.open_sessions, 0);
    assert_int_equal(cb_log_leaves(w->store, 0, 1000, count_accepted, &count), CB_OK);
    assert_int_equal(count.found, t->accepted);
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w->store, &w->card, &card), CB_OK);
    if (t->revoked)
        assert_int_equal(card.state, CB_CARD_REVOKED);
    cb_card_free(&card);
    world_close(w);
    cb_evidence_summary summary;
    assert_int_equal(verify_file(w, &summary), CB_OK); /* and after the start that mended it */
    assert_int_equal(summary.open_intents, 0);
    assert_int_equal(summary.leaves_unsigned, 0);
}

/* True when the child lived through it: there are no more such steps. */
static bool die_at(const char *step, int when)
{
    world w;
    int status = 0;
    plan p = {step, when, new_told()};
    world_begin(&w);
    world_close(&w);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        live(&w, &p);
    assert_int_equal(waitpid(child, &status, 0), child);
    bool lived = WIFEXITED(status);
    if (lived)
        assert_int_equal(WEXITSTATUS(status), 0);
    check_after(&w, p.told);
    world_end(&w);
    munmap(p.told, sizeof *p.told);
    return lived;
}

static void killed_at_each_time_of(const char *step)
{
    int when = 1;
    while (when < 60 && !die_at(step, when))
        when++;
    assert_true(when > 1);
}

static void killed_when_a_group_begins(void **state)
{
    (void)state;
    killed_at_each_time_of("begin");
}

static void killed_when_a_change_has_run(void **state)
{
    (void)state;
    killed_at_each_time_of("ran");
}

static void killed_before_commit(void **state)
{
    (void)state;
    killed_at_each_time_of("commit");
}

static void killed_after_commit(void **state)
{
    (void)state;
    killed_at_each_time_of("committed");
}

static void killed_when_a_head_is_signed(void **state)
{
    (void)state;
    killed_at_each_time_of("signed");
}

static void killed_while_a_checkpoint_is_made(void **state)
{
    (void)state;
    killed_at_each_time_of("checkpoint.written");
    killed_at_each_time_of("checkpoint.said");
    killed_at_each_time_of("checkpoint.kept");
}

static void killed_when_the_caller_goes_on(void **state)
{
    (void)state;
    killed_at_each_time_of("released");
}

/* Kills at moments that no step names. */
static void killed_at_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 25; i++) {
        world w;
        plan p = {"", 0, new_told()};
        world_begin(&w);
        world_close(&w);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            live(&w, &p);
        usleep((useconds_t)(1000 + 1300 * i));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        check_after(&w, p.told);
        world_end(&w);
        munmap(p.told, sizeof *p.told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_when_a_group_begins),
        cmocka_unit_test(killed_when_a_change_has_run),
        cmocka_unit_test(killed_before_commit),
        cmocka_unit_test(killed_after_commit),
        cmocka_unit_test(killed_when_a_head_is_signed),
        cmocka_unit_test(killed_when_the_caller_goes_on),
        cmocka_unit_test(killed_while_a_checkpoint_is_made),
        cmocka_unit_test(killed_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
