/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which generation cards have, as they signed it; and what the end of one costs.
 */
#include "broker/core/generation.h"

#include "base/clock.h"
#include "base/leaf.h"
#include "tests/unit/broker/support.h"

/* By generation, those of all states together. */
typedef struct counts {
    uint64_t cards[128];
} counts;

static cb_error add(void *context, uint8_t generation, uint8_t state, uint64_t cards)
{
    (void)state;
    ((counts *)context)->cards[generation] += cards;
    return CB_OK;
}

static counts count(world *w)
{
    counts c = {{0}};
    assert_int_equal(cb_generation_list(w->store, add, &c), CB_OK);
    return c;
}

static uint8_t generation_of(world *w, const cb_id *id)
{
    cb_card card;
    cb_card_init(&card);
    assert_int_equal(cb_card_get(w->store, id, &card), CB_OK);
    uint8_t generation = card.generation;
    cb_card_free(&card);
    return generation;
}

/* T1 of a tap in which the card signed a generation, and the end of it. */
static cb_error tap_with(world *w, uint8_t generation)
{
    cb_intent_grant grant;
    cb_intent_request request = intent_of(w);
    cb_result_request result = {.tap = request.context.tap, .outcome = CB_E_SERVICE_DOWN};
    request.generation = generation;
    cb_intent_grant_init(&grant);
    cb_error error = cb_decide_intent(w->store, &request, &grant);
    cb_intent_grant_free(&grant);
    return error ? error : cb_decide_result(w->store, &result);
}

static void what_a_card_signed_is_written_down_with_its_tap(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(generation_of(&w, &w.card), 0);
    assert_int_equal(tap_with(&w, 1), CB_OK);
    assert_int_equal(generation_of(&w, &w.card), 1);
    assert_int_equal(tap_with(&w, 0), CB_OK); /* nothing new */
    assert_int_equal(generation_of(&w, &w.card), 1);
    assert_int_equal(tap_with(&w, 2), CB_OK);
    assert_int_equal(generation_of(&w, &w.card), 2);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    assert_int_equal(findings_of(NULL), 0);
    world_end(&w);
}

static void a_tap_that_is_refused_writes_nothing_down(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(cb_card_change(w.store, "test", &w.card, CB_CARD_SUSPEND, NULL, NULL), CB_OK);
    assert_int_equal(tap_with(&w, 1), CB_E_CARD_SUSPENDED);
    assert_int_equal(generation_of(&w, &w.card), 0);
    world_end(&w);
}

static void a_change_of_pin_tells_it_too(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    cb_intent_request request = intent_of(&w);
    request.context.purpose = CB_TAP_PIN_CHANGE;
    request.context.service[0] = 0;
    request.generation = 3;
    assert_int_equal(cb_decide_pin(w.store, &request), CB_OK);
    assert_int_equal(generation_of(&w, &w.card), 3);
    world_end(&w);
}

static void who_retires_has_to_know_what_it_costs(void **state)
{
    world w;
    cb_generation_loss loss;
    (void)state;
    world_begin(&w);
    assert_int_equal(tap_with(&w, 2), CB_OK);
    add_card(&w, true);
    cb_id revoked = add_card(&w, true);
    assert_int_equal(cb_card_change(w.store, "test", &revoked, CB_CARD_REVOKE, NULL, NULL), CB_OK);
    counts now = count(&w);
    assert_int_equal(now.cards[2], 1);
    uint64_t unseen = now.cards[0];
    assert_true(unseen >= 1);
    /* Of the first, nobody is known: but some were not heard of. */
    assert_int_equal(cb_generation_retire(w.store, "test", 1, 0, "test", &loss),
                     CB_E_GENERATION_CARDS);
    assert_int_equal(loss.cards, 0);
    assert_int_equal(loss.unseen, unseen);
    assert_int_equal(cb_generation_retire(w.store, "test", 1, unseen, "test", &loss), CB_OK);
    assert_int_equal(cb_generation_retire(w.store, "test", 2, unseen, "test", &loss),
                     CB_E_GENERATION_CARDS);
    assert_int_equal(loss.cards, 1);
    assert_int_equal(cb_generation_retire(w.store, "test", 2, unseen + 1, "test", &loss), CB_OK);
    assert_int_equal(cb_generation_retire(w.store, "test", 0, 0, "test", &loss), CB_E_ARGUMENT);
    assert_int_equal(cb_generation_retire(w.store, "test", 128, 0, "test", &loss), CB_E_ARGUMENT);
    assert_int_equal(cb_generation_retire(w.store, "", 1, unseen, "test", &loss), CB_E_ARGUMENT);
    world_close(&w);
    assert_int_equal(verify_file(&w, NULL), CB_OK);
    assert_int_equal(findings_of(NULL), 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_card_signed_is_written_down_with_its_tap),
        cmocka_unit_test(a_tap_that_is_refused_writes_nothing_down),
        cmocka_unit_test(a_change_of_pin_tells_it_too),
        cmocka_unit_test(who_retires_has_to_know_what_it_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
