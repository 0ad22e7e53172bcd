/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that says that its housing was opened, whatever it is by then.
 */
#include <string.h>

#include "broker/core/registry.h"
#include "tests/unit/broker/support.h"

static uint64_t leaves_of(world *w)
{
    cb_store_state status;
    assert_int_equal(cb_store_status(w->store, &status), CB_OK);
    return status.leaves;
}

static cb_error opened(world *w)
{
    cb_affected affected = {0};
    cb_error error = cb_terminal_opened(w->store, &w->terminal.id, &affected);
    cb_affected_free(&affected);
    return error;
}

static cb_error change(world *w, cb_terminal_act act, const char *reason)
{
    return cb_terminal_change(w->store, "operator", &w->terminal.id, act, reason, NULL);
}

static uint8_t state_of(world *w)
{
    cb_terminal terminal;
    assert_int_equal(cb_terminal_get(w->store, &w->terminal.id, &terminal), CB_OK);
    return terminal.state;
}

static void one_that_was_opened_is_deactivated_and_that_is_recorded_once(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    uint64_t before = leaves_of(&w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(opened(&w), CB_OK);
        assert_int_equal(state_of(&w), CB_TERMINAL_DEACTIVATED);
        assert_int_equal(leaves_of(&w), before + 1);
    }
    verify_and_end(&w);
}

static void one_that_was_deactivated_before_is_recorded_as_opened_once(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE, "closed"), CB_OK);
    uint64_t before = leaves_of(&w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(opened(&w), CB_OK);
        assert_int_equal(state_of(&w), CB_TERMINAL_DEACTIVATED);
        assert_int_equal(leaves_of(&w), before + 1);
    }
    world_close(&w);
    world_open(&w); /* what was read again says the same */
    assert_int_equal(opened(&w), CB_OK);
    assert_int_equal(leaves_of(&w), before + 1);

    /* Somebody has looked at it, and it is opened again while he keeps it back. */
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE, NULL), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE, "tamper"),
                     CB_OK); /* his word, not its own */
    before = leaves_of(&w);
    assert_int_equal(opened(&w), CB_OK);
    assert_int_equal(opened(&w), CB_OK);
    assert_int_equal(leaves_of(&w), before + 1);
    assert_int_equal(change(&w, CB_TERMINAL_REACTIVATE, NULL), CB_OK);
    assert_int_equal(tap_once(&w, NULL, NULL), CB_OK);
    verify_and_end(&w);
}

static void one_that_is_over_has_nothing_more_to_say(void **state)
{
    world w;
    (void)state;
    world_begin(&w);
    assert_int_equal(change(&w, CB_TERMINAL_REVOKE, NULL), CB_OK);
    uint64_t before = leaves_of(&w);
    assert_int_equal(opened(&w), CB_E_STATE);
    assert_int_equal(leaves_of(&w), before);
    verify_and_end(&w);
}

static void a_deactivated_one_is_found_by_its_key_for_its_end_alone(void **state)
{
    world w;
    cb_terminal terminal;
    (void)state;
    world_begin(&w);
    const cb_digest *key = &w.terminal.key;
    assert_int_equal(cb_terminal_find_ending(w.store, key, &terminal), CB_OK);
    assert_int_equal(change(&w, CB_TERMINAL_DEACTIVATE, NULL), CB_OK);
    assert_int_equal(cb_terminal_find(w.store, key, &terminal), CB_E_TERMINAL_INACTIVE);
    assert_int_equal(cb_terminal_find_ending(w.store, key, &terminal), CB_OK);
    assert_int_equal(terminal.state, CB_TERMINAL_DEACTIVATED);
    assert_int_equal(change(&w, CB_TERMINAL_REVOKE, NULL), CB_OK);
    assert_int_equal(cb_terminal_find_ending(w.store, key, &terminal), CB_E_TERMINAL_REVOKED);
    verify_and_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_was_opened_is_deactivated_and_that_is_recorded_once),
        cmocka_unit_test(one_that_was_deactivated_before_is_recorded_as_opened_once),
        cmocka_unit_test(one_that_is_over_has_nothing_more_to_say),
        cmocka_unit_test(a_deactivated_one_is_found_by_its_key_for_its_end_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
