/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A wrong PIN too many: its refusal, its count and what comes of it are there together or not at
 * all.
 */
#include "base/clock.h"
#include "tests/fault/store_flows.h"

static const cb_failure_limits limits = {.pins_in_row = 4, .window = CB_SECOND};

static cb_error refuse(store_flows *s, uint32_t count, bool *suspended)
{
    cb_failure_effect effect = {.noted = false};
    cb_refusal refusal = {.tap = s->tap,
                          .terminal = s->w.terminal.id,
                          .card = s->w.card,
                          .holder = s->w.holder.id,
                          .profile = CB_PROFILE_NATIVE,
                          .error = CB_E_PIN_WRONG,
                          .wrong_pins = count,
                          .limits = &limits};
    cb_error error = cb_decide_refused(s->w.store, &refusal, &effect);
    *suspended = effect.suspended;
    cb_failure_effect_free(&effect);
    return error;
}

void store_begin_wrong_pins(void *context)
{
    store_flows *s = context;
    bool suspended;
    store_begin_calm(context);
    assert_int_equal(tap_once(&s->w, NULL, &s->session), CB_OK);
    assert_int_equal(refuse(s, 3, &suspended), CB_OK);
    assert_false(suspended);
}

cb_error store_count_wrong_pin(void *context)
{
    bool suspended = false;
    cb_error error = refuse(context, 1, &suspended);
    return !error && !suspended ? CB_ERROR_COUNT : error;
}

void store_it_is_counted_with_its_refusal(void *context, cb_error result, bool struck)
{
    store_flows *s = context;
    cb_card card;
    cb_failure_row row;
    (void)struck;
    store_wait_for_the_disk(s);
    store_wait_for_the_lane(s);
    cb_card_init(&card);
    assert_int_equal(cb_card_get(s->w.store, &s->w.card, &card), CB_OK);
    assert_int_equal(cb_failures_get(s->w.store, CB_OF_CARD, &s->w.card, &row), CB_OK);
    assert_int_equal(card.state, row.pins_row == 4 ? CB_CARD_SUSPENDED : CB_CARD_ACTIVE);
    assert_true(row.pins_row == 3 || row.pins_row == 4);
    if (!s->disk || result == CB_OK)
        assert_int_equal(row.pins_row == 4, result == CB_OK);
    cb_card_free(&card);
    store_closes_whole(s); /* where it is counted again from the leaves */
}
