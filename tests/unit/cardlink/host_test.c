/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Broker's side and card, one against the other.
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static int setup(void **state)
{
    *state = malloc(sizeof(world));
    world_make(*state, false);
    return 0;
}

static int setup_in_transit(void **state)
{
    *state = malloc(sizeof(world));
    world_make(*state, true);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    free(*state);
    return 0;
}

static void a_tap_without_a_pin_proves_possession(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(world_tap(w, (typed){0}, &claim), CB_OK);
        assert_int_equal(claim.counter, i);
        assert_int_equal(claim.pin, CB_PIN_NOT_PRESENTED);
        assert_int_equal(claim.pin_tries_left, 3);
    }
}

static void the_right_pin_is_reported_once(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_NOT_PRESENTED);
}

static void wrong_pins_are_counted_reported_and_block(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(world_tap(w, (typed){"0000", NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_WRONG);
    assert_int_equal(claim.pin_tries_left, 2);
    assert_int_equal(claim.pin_failures, 1);
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
    assert_int_equal(claim.pin_tries_left, 3);
    assert_int_equal(claim.pin_failures, 0); /* the wrong one was reported */
    for (uint8_t left = 2; left > 0; left--) {
        assert_int_equal(world_tap(w, (typed){"12345", NULL}, &claim), CB_OK);
        assert_int_equal(claim.pin_tries_left, left);
    }
    assert_int_equal(world_tap(w, (typed){"1235", NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_BLOCKED);
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_BLOCKED);
    assert_int_equal(claim.pin_tries_left, 0);
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_NOT_PRESENTED);
}

static void the_pin_can_be_changed(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    w->context.purpose = CB_TAP_PIN_CHANGE;
    assert_int_equal(world_tap(w, (typed){"9999", "777777"}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_WRONG);
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, "777777"}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
    w->context.purpose = CB_TAP_AUTHENTICATE;
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_WRONG);
    assert_int_equal(world_tap(w, (typed){"777777", NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
}

static void a_blocked_pin_is_unblocked_by_the_code(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    for (int i = 0; i < 3; i++)
        assert_int_equal(world_tap(w, (typed){"0000", NULL}, &claim), CB_OK);
    w->context.purpose = CB_TAP_PIN_UNBLOCK;
    assert_int_equal(world_tap(w, (typed){"00000000", "4321"}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_WRONG);
    assert_int_equal(claim.pin_tries_left, 9);
    assert_int_equal(world_tap(w, (typed){WORLD_CODE, "4321"}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
    assert_int_equal(claim.pin_tries_left, 10);
    w->context.purpose = CB_TAP_AUTHENTICATE;
    assert_int_equal(world_tap(w, (typed){"4321", NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
}

static void ten_wrong_codes_end_the_card(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    w->context.purpose = CB_TAP_PIN_UNBLOCK;
    for (int i = 0; i < 10; i++)
        assert_int_equal(world_tap(w, (typed){"00000000", "4321"}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_BLOCKED);
    assert_int_equal(world_tap(w, (typed){WORLD_CODE, "4321"}, &claim), CB_E_CARD_BLOCKED);
    assert_int_equal(cb_vcard_state_of(w->card)->life_cycle, CB_LIFE_TERMINATED);
}

static void a_card_in_transit_only_takes_a_new_pin(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_NOT_ACTIVE);
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_E_CARD_NOT_ACTIVE);
    w->context.purpose = CB_TAP_PIN_UNBLOCK;
    assert_int_equal(world_tap(w, (typed){WORLD_CODE, "5678"}, &claim), CB_E_CARD_NOT_ACTIVE);
    w->context.purpose = CB_TAP_PIN_CHANGE;
    assert_int_equal(world_tap(w, (typed){"0000", "5678"}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_WRONG);
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, "5678"}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
    w->context.purpose = CB_TAP_AUTHENTICATE;
    assert_int_equal(world_tap(w, (typed){"5678", NULL}, &claim), CB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tap_without_a_pin_proves_possession, setup, teardown),
        cmocka_unit_test_setup_teardown(the_right_pin_is_reported_once, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_pins_are_counted_reported_and_block, setup, teardown),
        cmocka_unit_test_setup_teardown(the_pin_can_be_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_blocked_pin_is_unblocked_by_the_code, setup, teardown),
        cmocka_unit_test_setup_teardown(ten_wrong_codes_end_the_card, setup, teardown),
        cmocka_unit_test_setup_teardown(a_card_in_transit_only_takes_a_new_pin, setup_in_transit,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
