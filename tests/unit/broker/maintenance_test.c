/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Maintenance of terminals: who begins and ends it, what happens meanwhile, and what it helps to
 * write into the database.
 */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/core/failures.h"
#include "broker/core/maintenance.h"
#include "tests/unit/broker/support.h"

enum { BEGIN = CB_TAP_MAINTENANCE, END = CB_TAP_MAINTENANCE_END };

static cb_intent_request proof(const world *w, uint8_t purpose)
{
    cb_intent_request request = intent_of(w);
    request.context.purpose = purpose;
    request.context.service[0] = 0;
    request.reached = CB_LEVEL_PIN;
    return request;
}

static cb_error maintain(world *w, uint8_t purpose)
{
    int64_t until;
    cb_intent_request request = proof(w, purpose);
    return cb_decide_maintenance(w->store, &request, "update", 60 * CB_SECOND, &until);
}

static cb_id add(world *w, const cb_id *terminal)
{
    cb_maintainer made;
    assert_int_equal(cb_maintainer_add(w->store, "admin", &w->holder.id, terminal, &made), CB_OK);
    return made.id;
}

static uint8_t state_of(world *w)
{
    cb_terminal now;
    assert_int_equal(cb_terminal_get(w->store, &w->terminal.id, &now), CB_OK);
    return now.state;
}

static cb_error change(world *w, cb_terminal_act act)
{
    return cb_terminal_change(w->store, "admin", &w->terminal.id, act, NULL, NULL);
}

static void a_maintainer_begins_and_ends_it(void **state)
{
    world w;
    cb_maintenance last;
    (void)state;
    world_begin(&w);
    assert_int_equal(maintain(&w, BEGIN), CB_E_MAINTAINER);
    add(&w, NULL);
    assert_int_equal(maintain(&w, END), CB_E_STATE);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    assert_int_equal(state_of(&w), CB_TERMINAL_MAINTENANCE);
    assert_int_equal(maintain(&w, BEGIN), CB_E_STATE);
    assert_int_equal(cb_maintenance_get(w.store, &w.terminal.id, &last), CB_OK);
    assert_memory_equal(&last.card, &w.card, sizeof last.card);
    assert_string_equal(last.reason, "update");
    world_close(&w);
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_TERMINAL_MAINTENANCE);
    assert_int_equal(maintain(&w, END), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    verify_and_end(&w);
}

/* And is not said to have failed, nor asked for again. */
static void it_is_done_though_its_record_is_not_signed_in_time(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    add(&w, NULL);
    set_signer(&w.signer->refuse, CB_E_HSM_DOWN);
    assert_int_equal(maintain(&w, BEGIN), CB_E_UNSIGNED);
    assert_int_equal(state_of(&w), CB_TERMINAL_MAINTENANCE);
    assert_int_equal(maintain(&w, BEGIN), CB_E_STATE);
    assert_int_equal(maintain(&w, END), CB_E_UNSIGNED);
    assert_int_equal(state_of(&w), CB_TERMINAL_ACTIVE);
    set_signer(&w.signer->refuse, CB_OK);
    verify_and_end(&w);
}

/* From the signature of the next head on. */
static void fill_the_disk(void *context, const char *step)
{
    atomic_bool *due = context;
    const struct rlimit small = {8192, RLIM_INFINITY};
    if (strcmp(step, "signed") == 0 && atomic_exchange(due, false))
        setrlimit(RLIMIT_FSIZE, &small);
}

static void begin_without_room_for_its_head(world *w)
{
    const struct rlimit enough = {RLIM_INFINITY, RLIM_INFINITY};
    atomic_bool due = false;
    w->options.probe = fill_the_disk;
    w->options.probe_context = &due;
    signal(SIGXFSZ, SIG_IGN);
    world_open(w);
    add(w, NULL);
    atomic_store(&due, true);
    assert_int_equal(maintain(w, BEGIN), CB_E_UNSIGNED);
    setrlimit(RLIMIT_FSIZE, &enough);
    assert_int_equal(error_without_fault(w), CB_OK);
    assert_int_equal(state_of(w), CB_TERMINAL_MAINTENANCE);
    world_close(w);
    _exit(0);
}

/* The record would say that it was refused. */
static void nor_is_it_said_to_have_failed_without_room_for_its_head(void **state)
{
    world w;
    int status = 0;
    (void)state;
    world_begin(&w);
    world_close(&w);
    pid_t child = fork();
    if (child == 0)
        begin_without_room_for_its_head(&w);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    world_open(&w);
    verify_and_end(&w);
}

static void a_tap_that_was_under_way_does_not_count(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    add(&w, &w.terminal.id);
    for (int ended = 0; ended < 2; ended++) {
        cb_intent_request tap = intent_of(&w);
        assert_int_equal(t1(&w, &tap), CB_OK);
        assert_int_equal(maintain(&w, BEGIN), CB_OK);
        if (ended)
            assert_int_equal(maintain(&w, END), CB_OK);
        cb_result_request result = {.tap = tap.context.tap};
        assert_int_equal(cb_decide_result(w.store, &result), CB_E_TAP_WITHDRAWN);
        if (!ended)
            assert_int_equal(maintain(&w, END), CB_OK);
    }
    verify_and_end(&w);
}

static void a_proof_for_one_is_none_for_the_other(void **state)
{
    world w;
    int64_t until;
    (void)state;
    world_begin(&w);
    add(&w, NULL);
    cb_intent_request login = intent_of(&w), maintenance = proof(&w, BEGIN);
    login.reached = CB_LEVEL_PIN;
    assert_int_equal(cb_decide_maintenance(w.store, &login, "", CB_SECOND, &until), CB_E_ARGUMENT);
    assert_int_equal(t1(&w, &maintenance), CB_E_ARGUMENT);
    strcpy(maintenance.context.service, "tax");
    assert_int_equal(t1(&w, &maintenance), CB_E_ARGUMENT);
    maintenance = proof(&w, BEGIN);
    maintenance.reached = CB_LEVEL_POSSESSION;
    assert_int_equal(cb_decide_maintenance(w.store, &maintenance, "", CB_SECOND, &until),
                     CB_E_PIN_REQUIRED);
    maintenance.reached = CB_LEVEL_TERMINAL_PIN; /* the most that some cards reach */
    assert_int_equal(cb_decide_maintenance(w.store, &maintenance, "No word", CB_SECOND, &until),
                     CB_E_ARGUMENT);
    assert_int_equal(cb_decide_maintenance(w.store, &maintenance, "", CB_SECOND, &until), CB_OK);
    verify_and_end(&w);
}

static void it_takes_a_card_and_a_terminal_that_are_good(void **state)
{
    world w;
    cb_terminal other;
    (void)state;
    world_begin(&w);
    cb_terminal_new fresh = {.name = "another", .key = {{9}}};
    assert_int_equal(cb_terminal_add(w.store, "admin", &fresh, &other), CB_OK);
    cb_id of_other = add(&w, &other.id);
    assert_int_equal(maintain(&w, BEGIN), CB_E_MAINTAINER);
    assert_int_equal(cb_maintainer_remove(w.store, "admin", &of_other), CB_OK);
    assert_int_equal(cb_maintainer_remove(w.store, "admin", &of_other), CB_E_NOT_FOUND);
    add(&w, &w.terminal.id);
    assert_int_equal(cb_maintainer_add(w.store, "admin", &w.holder.id, &w.terminal.id, NULL),
                     CB_E_EXISTS);
    cb_id nobody = cb_id_new();
    assert_int_equal(cb_maintainer_add(w.store, "admin", &nobody, NULL, NULL), CB_E_NOT_FOUND);
    assert_int_equal(cb_card_change(w.store, "admin", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(maintain(&w, BEGIN), CB_E_CARD_SUSPENDED);
    assert_int_equal(cb_card_change(w.store, "admin", &w.card, CB_CARD_RESUME, NULL, NULL), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
    assert_int_equal(maintain(&w, BEGIN), CB_E_TERMINAL_INACTIVE);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_REVOKE), CB_OK);
    assert_int_equal(maintain(&w, END), CB_E_TERMINAL_REVOKED);
    verify_and_end(&w);
}

static void an_administrator_ends_it_too_and_may_do_more(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    add(&w, NULL);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
    assert_int_equal(maintain(&w, END), CB_E_TERMINAL_INACTIVE);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_DISPOSE), CB_OK);
    verify_and_end(&w);
}

static uint64_t leaves_of(const world *w)
{
    cb_store_state status;
    assert_int_equal(cb_store_status(w->store, &status), CB_OK);
    return status.leaves;
}

/* The end of the one and the other's beginning are recorded, each once. */
static void one_that_is_opened_meanwhile_is_deactivated_and_maintained_no_more(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    add(&w, NULL);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    uint64_t before = leaves_of(&w);
    for (int i = 0; i < 3; i++) {
        cb_affected affected = {0};
        assert_int_equal(cb_terminal_opened(w.store, &w.terminal.id, &affected), CB_OK);
        cb_affected_free(&affected);
        assert_int_equal(state_of(&w), CB_TERMINAL_DEACTIVATED);
        assert_int_equal(leaves_of(&w), before + 2);
    }
    assert_int_equal(maintain(&w, END), CB_E_TERMINAL_INACTIVE);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    assert_int_equal(maintain(&w, END), CB_E_STATE);
    verify_and_end(&w);
}

static uint32_t proofs_in_row(world *w)
{
    cb_failure_row row;
    assert_int_equal(cb_failures_get(w->store, CB_OF_TERMINAL, &w->terminal.id, &row), CB_OK);
    return row.proofs_row;
}

/* The record says what was forgiven, and is counted again. */
static void its_end_forgives_nothing_and_activation_does(void **state)
{
    world w;
    static const cb_failure_limits limits = {.slow = 6, .stop = 10, .window = CB_SECOND};
    (void)state;
    world_begin(&w);
    add(&w, NULL);
    cb_refusal refusal = {.tap = cb_id_random(),
                          .terminal = w.terminal.id,
                          .card = w.card,
                          .holder = w.holder.id,
                          .profile = CB_PROFILE_NATIVE,
                          .error = CB_E_CARD_PROOF,
                          .limits = &limits};
    cb_failure_effect effect = {.noted = false};
    assert_int_equal(cb_decide_refused(w.store, &refusal, &effect), CB_OK);
    cb_failure_effect_free(&effect);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    world_open(&w);
    assert_int_equal(proofs_in_row(&w), 1);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
    assert_int_equal(proofs_in_row(&w), 1);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    assert_int_equal(proofs_in_row(&w), 0);
    verify_and_end(&w);
}

static void what_was_not_ended_in_time_is_an_administrators_to_end(void **state)
{
    world w;
    int64_t until;
    (void)state;
    world_begin(&w);
    add(&w, NULL);
    cb_intent_request request = proof(&w, BEGIN);
    assert_int_equal(cb_decide_maintenance(w.store, &request, "", 1, &until), CB_OK);
    assert_int_equal(maintain(&w, END), CB_E_MAINTAINER);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_TERMINAL_MAINTENANCE);
    world_close(&w);
    tamper(&w, "UPDATE terminal_maintenance SET until = 9000000000000000");
    world_open(&w);
    assert_int_equal(maintain(&w, END), CB_E_HSM_RECORD);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE); /* the row stays as it was written */
    assert_int_equal(findings_of("table.content"), 1);
    assert_int_equal(findings_of(NULL), 1);
    world_end(&w);
}

static void writing_the_database_makes_nobody_a_maintainer_and_ends_nothing(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w);
    tamper(&w, "INSERT INTO maintainer SELECT randomblob(16), id, x'', 1 FROM holder");
    world_open(&w);
    assert_int_equal(maintain(&w, BEGIN), CB_E_MAINTAINER);
    world_close(&w);
    tamper(&w, "DELETE FROM maintainer");
    world_open(&w);
    add(&w, NULL);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    world_close(&w);
    tamper(&w, "UPDATE terminal SET state = 'active'");
    world_open(&w);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_E_HSM_RECORD);
    world_end(&w);
}

/* Its certificate is renewed all the same; that changes nothing of where it is. */
static void a_renewal_meanwhile_is_no_finding(void **state)
{
    world w;
    cb_terminal found;
    cb_terminal_code code;
    static const cb_digest key = {{7}}, next = {{8}};
    char symbols[CB_CODE_SYMBOLS];
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_terminal_code_make(60, &code), CB_OK);
    assert_int_equal(cb_code_read(cb_bytes_str(code.text), symbols), CB_OK);
    cb_terminal_new new = {.name = "gate", .code = &code};
    assert_int_equal(cb_terminal_add(w.store, "admin", &new, &w.terminal), CB_OK);
    int64_t later = cb_clock_wall_us() + 3600 * CB_SECOND;
    cb_terminal_activation activation = {
        .terminal = w.terminal.id, .code = symbols, .key = key, .expires = later};
    assert_int_equal(cb_terminal_activate(w.store, &activation), CB_OK);
    add(&w, NULL);
    assert_int_equal(maintain(&w, BEGIN), CB_OK);
    assert_int_equal(
        cb_terminal_certify(w.store, &w.terminal.id, &next, cb_bytes_str("c"), later), CB_OK);
    assert_int_equal(cb_terminal_find(w.store, &next, &found), CB_OK);
    assert_int_equal(found.state, CB_TERMINAL_MAINTENANCE);
    verify_and_end(&w);
}

static void wait_until_signed(world *w)
{
    cb_store_state now = {.leaves_unsigned = 1};
    int64_t deadline = cb_deadline_in(30 * CB_SECOND);
    while (now.leaves_unsigned > 0 && cb_deadline_left_ms(deadline) > 0) {
        assert_int_equal(cb_store_status(w->store, &now), CB_OK);
        usleep(1000);
    }
    assert_int_equal(now.leaves_unsigned, 0);
}

/* An act that no signed head covered when the broker stopped counts for nothing afterwards: an
 * administrator says it again, and the terminal goes on. */
static void an_end_that_nobody_signed_is_ended_again(void **state)
{
    enum { ENDED, DEACTIVATED, REACTIVATED, BOTH, CASES };
    (void)state;
    for (int i = 0; i < CASES; i++) {
        world w;
        world_begin(&w);
        add(&w, NULL);
        if (i == REACTIVATED)
            assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
        else
            assert_int_equal(maintain(&w, BEGIN), CB_OK);
        wait_until_signed(&w); /* or nobody's answer is noticed too early */
        set_signer(&w.signer->fail, CB_E_HSM_DOWN);
        if (i == ENDED || i == BOTH)
            assert_int_equal(maintain(&w, END), CB_E_UNSIGNED);
        if (i == DEACTIVATED || i == BOTH) /* acknowledged all the same */
            assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE), CB_OK);
        if (i == REACTIVATED)
            assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_E_UNSIGNED);
        world_close(&w);
        set_signer(&w.signer->fail, CB_OK);
        world_open(&w);
        bool off = i == DEACTIVATED || i == BOTH;
        assert_int_equal(tap_once(&w, NULL, NULL),
                         off ? CB_E_TERMINAL_INACTIVE : CB_E_HSM_RECORD);
        assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_OK);
        assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
        assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE), CB_E_STATE);
        assert_int_equal(maintain(&w, BEGIN), CB_OK);
        assert_int_equal(maintain(&w, END), CB_OK);
        verify_and_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_maintainer_begins_and_ends_it),
        cmocka_unit_test(it_is_done_though_its_record_is_not_signed_in_time),
        cmocka_unit_test(nor_is_it_said_to_have_failed_without_room_for_its_head),
        cmocka_unit_test(a_tap_that_was_under_way_does_not_count),
        cmocka_unit_test(a_proof_for_one_is_none_for_the_other),
        cmocka_unit_test(it_takes_a_card_and_a_terminal_that_are_good),
        cmocka_unit_test(an_administrator_ends_it_too_and_may_do_more),
        cmocka_unit_test(one_that_is_opened_meanwhile_is_deactivated_and_maintained_no_more),
        cmocka_unit_test(its_end_forgives_nothing_and_activation_does),
        cmocka_unit_test(what_was_not_ended_in_time_is_an_administrators_to_end),
        cmocka_unit_test(writing_the_database_makes_nobody_a_maintainer_and_ends_nothing),
        cmocka_unit_test(an_end_that_nobody_signed_is_ended_again),
        cmocka_unit_test(a_renewal_meanwhile_is_no_finding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
