/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What cards say of how often they proved themselves: the first use of a native card, what it was
 * used for before, and numbers that do not follow, of SCP03 cards as well.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "broker/core/registry.h"
#include "broker/core/stock.h"
#include "hsm/client.h"
#include "tests/unit/broker/support.h"

/* T1 of a tap in which the card signed that number, and its end. */
static cb_error tap_with(world *w, uint32_t counter, cb_error outcome)
{
    cb_intent_grant grant;
    cb_intent_request request = intent_of(w);
    cb_result_request result = {.tap = request.context.tap, .outcome = outcome, .counter = counter};
    request.counter = counter;
    cb_intent_grant_init(&grant);
    cb_error error = cb_decide_intent(w->store, &request, &grant);
    cb_intent_grant_free(&grant);
    return error ? error : cb_decide_result(w->store, &result);
}

/* A proof that came and was refused, of a tap that began then; whether the card was suspended. */
static bool refused_since(world *w, uint32_t counter, cb_error why, int64_t begun)
{
    cb_failure_effect effect = {.noted = false};
    cb_refusal refusal = {.tap = cb_id_random(),
                          .terminal = w->terminal.id,
                          .card = w->card,
                          .holder = w->holder.id,
                          .profile = CB_PROFILE_NATIVE,
                          .error = why,
                          .proof_heard = true,
                          .counter = counter,
                          .begun = begun};
    assert_int_equal(cb_decide_refused(w->store, &refusal, &effect), CB_OK);
    bool suspended = effect.suspended;
    cb_failure_effect_free(&effect);
    return suspended;
}

static bool refused_with(world *w, uint32_t counter, cb_error why)
{
    return refused_since(w, counter, why, cb_clock_wall_us());
}

static void change(world *w, cb_card_act act)
{
    assert_int_equal(cb_card_change(w->store, "test", &w->card, act, NULL, NULL), CB_OK);
}

static cb_error pin_with(world *w, uint32_t counter)
{
    cb_intent_request request = intent_of(w);
    request.context.purpose = CB_TAP_PIN_CHANGE;
    request.context.service[0] = 0;
    request.counter = counter;
    return cb_decide_pin(w->store, &request);
}

/* ---- What was written down ---- */

typedef struct first_use {
    unsigned leaves;
    unsigned counter, heard, generation; /* of the last */
} first_use;

static unsigned number(cb_bytes leaf, const char *name)
{
    char text[16];
    unsigned value;
    assert_int_equal(cb_leaf_find_text(leaf, name, text, sizeof text), CB_OK);
    assert_int_equal(sscanf(text, "%u", &value), 1);
    return value;
}

static cb_error look(void *context, const cb_log_leaf *leaf)
{
    first_use *use = context;
    char kind[64];
    assert_int_equal(cb_leaf_find_text(leaf->data, "kind", kind, sizeof kind), CB_OK);
    if (strcmp(kind, "card.first_use") != 0)
        return CB_OK;
    *use = (first_use){use->leaves + 1, number(leaf->data, "counter"), number(leaf->data, "heard"),
                       number(leaf->data, "generation")};
    return CB_OK;
}

static first_use first_of(world *w)
{
    first_use use = {0};
    assert_int_equal(cb_log_leaves(w->store, 0, 1000, look, &use), CB_OK);
    return use;
}

typedef struct fits {
    const char *what;
    const cb_id *card;
    unsigned count;
} fits;

static cb_error count_what(void *context, const cb_mismatch *m)
{
    fits *f = context;
    if (strcmp(m->kind, f->what) == 0 && cb_id_same(&m->card, f->card)) {
        assert_string_equal(m->actor, "cardbrokerd");
        f->count++;
    }
    return CB_OK;
}

static unsigned mismatches(world *w, const char *what)
{
    fits f = {what, &w->card, 0};
    assert_int_equal(cb_mismatch_page(w->store, NULL, 0, count_what, &f), CB_OK);
    return f.count;
}

/* ---- The first use ---- */

static void the_first_accepted_tap_of_a_card_is_a_leaf_and_no_other_is(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_with(&w, 1, CB_OK), CB_OK);
    first_use use = first_of(&w);
    assert_int_equal(use.leaves, 1);
    assert_int_equal(use.counter, 1);
    assert_int_equal(use.heard, 1);
    assert_int_equal(tap_with(&w, 2, CB_OK), CB_OK);
    assert_int_equal(pin_with(&w, 3), CB_OK);
    assert_int_equal(first_of(&w).leaves, 1);
    assert_int_equal(mismatches(&w, "used-before"), 0);
    verify_and_end(&w);
}

static void a_tap_that_was_not_accepted_is_no_use(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_with(&w, 1, CB_E_SERVICE_DOWN), CB_OK);
    refused_with(&w, 2, CB_E_PIN_WRONG);
    assert_int_equal(first_of(&w).leaves, 0);
    verify_and_end(&w);
}

static void a_new_pin_is_a_first_use_too(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(pin_with(&w, 1), CB_OK);
    assert_int_equal(first_of(&w).leaves, 1);
    assert_int_equal(tap_with(&w, 2, CB_OK), CB_OK);
    assert_int_equal(first_of(&w).leaves, 1);
    assert_int_equal(mismatches(&w, "used-before"), 0);
    verify_and_end(&w);
}

static void a_card_that_made_more_proofs_than_came_here_is_a_mismatch_once(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_with(&w, 9, CB_OK), CB_OK); /* its holder is not refused */
    first_use use = first_of(&w);
    assert_int_equal(use.counter, 9);
    assert_int_equal(use.heard, 1);
    assert_int_equal(mismatches(&w, "used-before"), 1);
    assert_int_equal(tap_with(&w, 20, CB_OK), CB_OK); /* interrupted ones, later on */
    assert_int_equal(mismatches(&w, "used-before"), 1);
    assert_int_equal(first_of(&w).leaves, 1);
    verify_and_end(&w);
}

static void what_came_and_was_refused_explains_what_a_card_has_counted(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_false(refused_with(&w, 0, CB_E_CARD_NOT_ACTIVE)); /* 1: hsmd was not asked */
    refused_with(&w, 2, CB_E_PIN_WRONG);
    assert_int_equal(tap_with(&w, 3, CB_E_SERVICE_DOWN), CB_OK);
    refused_with(&w, 3, CB_E_HSM_DOWN); /* of the same tap: its intent was closed unheard */
    assert_int_equal(tap_with(&w, 4, CB_OK), CB_OK);
    first_use use = first_of(&w);
    assert_int_equal(use.counter, 4);
    assert_int_equal(use.heard, 4);
    assert_int_equal(mismatches(&w, "used-before"), 0);
    verify_and_end(&w);
}

static void a_refused_pin_is_heard_as_well(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    change(&w, CB_CARD_SUSPEND);
    assert_int_equal(pin_with(&w, 1), CB_E_CARD_SUSPENDED);
    change(&w, CB_CARD_RESUME);
    assert_int_equal(tap_with(&w, 2, CB_OK), CB_OK);
    assert_int_equal(first_of(&w).heard, 2);
    assert_int_equal(mismatches(&w, "used-before"), 0);
    verify_and_end(&w);
}

static void of_cards_from_before_no_first_use_is_known(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    world_close(&w);
    tamper(&w, "INSERT INTO card_proof SELECT id, 0, 0, 0, -1, 0 FROM card");
    world_open(&w);
    assert_int_equal(tap_with(&w, 40, CB_OK), CB_OK);
    assert_int_equal(first_of(&w).leaves, 0);
    assert_int_equal(mismatches(&w, "used-before"), 0);
    assert_int_equal(tap_with(&w, 40, CB_OK), CB_E_CARD_COUNTER);
    verify_and_end(&w);
}

/* ---- Numbers that do not follow ---- */

static void a_number_that_was_there_is_a_copys_and_suspends_the_card(void **state)
{
    static const uint32_t before[] = {5, 4, 1};
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_with(&w, 5, CB_OK), CB_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tap_with(&w, before[i], CB_OK), CB_E_CARD_COUNTER);
        assert_true(refused_with(&w, before[i], CB_E_CARD_COUNTER));
        assert_int_equal(tap_with(&w, 6, CB_OK), CB_E_CARD_SUSPENDED); /* whichever of the two */
        assert_int_equal(mismatches(&w, "counter-back"), 1); /* one for people to look at */
        change(&w, CB_CARD_RESUME);
    }
    assert_int_equal(tap_with(&w, 6, CB_OK), CB_OK);
    verify_and_end(&w);
}

static void a_proof_that_was_late_is_refused_and_nothing_more(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    int64_t begun = cb_clock_wall_us();
    assert_int_equal(tap_with(&w, 5, CB_OK), CB_OK);
    assert_int_equal(tap_with(&w, 4, CB_OK), CB_E_CARD_COUNTER);
    assert_false(refused_since(&w, 4, CB_E_CARD_COUNTER, begun));
    assert_int_equal(mismatches(&w, "counter-back"), 0);
    assert_int_equal(tap_with(&w, 6, CB_OK), CB_OK);
    /* The very number that came is nobody's late one. */
    assert_true(refused_since(&w, 6, CB_E_CARD_COUNTER, begun));
    assert_int_equal(mismatches(&w, "counter-back"), 1);
    verify_and_end(&w);
}

static void a_copy_is_seen_by_what_only_refusals_told(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_false(refused_with(&w, 7, CB_E_PIN_WRONG));
    assert_int_equal(tap_with(&w, 7, CB_OK), CB_E_CARD_COUNTER);
    assert_int_equal(tap_with(&w, 8, CB_OK), CB_OK);
    verify_and_end(&w);
}

static void a_copy_that_has_set_a_pin_is_refused_too(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_with(&w, 5, CB_OK), CB_OK);
    assert_int_equal(pin_with(&w, 5), CB_E_CARD_COUNTER);
    assert_int_equal(pin_with(&w, 6), CB_OK);
    verify_and_end(&w);
}

static void a_claim_that_hsmd_has_not_believed_sets_no_number(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_with(&w, 1, CB_OK), CB_OK);
    assert_false(refused_with(&w, 0, CB_E_CARD_SUSPENDED));
    assert_int_equal(tap_with(&w, 2, CB_OK), CB_OK);
    verify_and_end(&w);
}

/* ---- SCP03 cards ---- */

/* In the place of the world's own card. */
static void with_scp03_card(world *w)
{
    cb_id id = cb_id_new();
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    const cb_binding_info info = {.card = id,
                                  .holder = w->holder.id,
                                  .profile = CB_PROFILE_SCP03,
                                  .level = CB_LEVEL_POSSESSION,
                                  .sequence = 2};
    make_binding_of(&info, &binding);
    assert_int_equal(cb_card_add(w->store, "test", cb_buf_bytes(&binding), (cb_bytes){0}, NULL),
                     CB_OK);
    cb_buf_free(&binding);
    w->card = id;
    change(w, CB_CARD_ACTIVATE);
}

/* What it did before it was registered here nobody wrote down, and its issuer may have tried it. */
static void the_first_tap_of_an_scp03_card_is_no_first_use_whatever_it_has_counted(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    with_scp03_card(&w);
    assert_int_equal(tap_with(&w, 40, CB_OK), CB_OK);
    assert_int_equal(tap_with(&w, 43, CB_OK), CB_OK); /* some were interrupted */
    assert_int_equal(first_of(&w).leaves, 0);
    assert_int_equal(mismatches(&w, "used-before"), 0);
    verify_and_end(&w);
}

static void an_scp03_card_whose_number_goes_back_or_repeats_is_suspended_as_copied(void **state)
{
    static const uint32_t before[] = {5, 4, 1};
    world w;
    (void)state;
    world_begin(&w);
    with_scp03_card(&w);
    assert_int_equal(tap_with(&w, 5, CB_OK), CB_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tap_with(&w, before[i], CB_OK), CB_E_CARD_COUNTER);
        assert_true(refused_with(&w, before[i], CB_E_CARD_COUNTER));
        assert_int_equal(tap_with(&w, 6, CB_OK), CB_E_CARD_SUSPENDED);
        assert_int_equal(mismatches(&w, "counter-back"), 1);
        change(&w, CB_CARD_RESUME);
    }
    assert_int_equal(tap_with(&w, 6, CB_OK), CB_OK);
    verify_and_end(&w);
}

/* ---- The record ---- */

static void edited(const char *sql, const char *what)
{
    world w;
    world_begin(&w);
    add_card(&w, true); /* which nobody uses */
    assert_int_equal(tap_with(&w, 1, CB_OK), CB_OK);
    world_close(&w);
    tamper(&w, sql);
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of(what), 1);
    world_end(&w);
}

static void an_audit_finds_what_was_edited(void **state)
{
    (void)state;
    edited("DELETE FROM card_proof", "table.missing");
    edited("UPDATE card_proof SET first_use = 0", "table.missing");
    edited("INSERT INTO card_proof SELECT id, 1, 1, 1, 1, 0 FROM card "
           "WHERE id NOT IN (SELECT card FROM card_proof)",
           "table.extra");
}

static void a_second_first_use_is_a_finding(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_with(&w, 1, CB_OK), CB_OK);
    world_close(&w);
    tamper(&w, "UPDATE card_proof SET first_use = 0");
    world_open(&w);
    assert_int_equal(tap_with(&w, 2, CB_OK), CB_OK);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_E_EVIDENCE);
    assert_int_equal(findings_of("card.first_use"), 1);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_accepted_tap_of_a_card_is_a_leaf_and_no_other_is),
        cmocka_unit_test(a_tap_that_was_not_accepted_is_no_use),
        cmocka_unit_test(a_new_pin_is_a_first_use_too),
        cmocka_unit_test(a_card_that_made_more_proofs_than_came_here_is_a_mismatch_once),
        cmocka_unit_test(what_came_and_was_refused_explains_what_a_card_has_counted),
        cmocka_unit_test(a_refused_pin_is_heard_as_well),
        cmocka_unit_test(of_cards_from_before_no_first_use_is_known),
        cmocka_unit_test(a_number_that_was_there_is_a_copys_and_suspends_the_card),
        cmocka_unit_test(a_proof_that_was_late_is_refused_and_nothing_more),
        cmocka_unit_test(a_copy_is_seen_by_what_only_refusals_told),
        cmocka_unit_test(a_copy_that_has_set_a_pin_is_refused_too),
        cmocka_unit_test(a_claim_that_hsmd_has_not_believed_sets_no_number),
        cmocka_unit_test(the_first_tap_of_an_scp03_card_is_no_first_use_whatever_it_has_counted),
        cmocka_unit_test(an_scp03_card_whose_number_goes_back_or_repeats_is_suspended_as_copied),
        cmocka_unit_test(an_audit_finds_what_was_edited),
        cmocka_unit_test(a_second_first_use_is_a_finding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
