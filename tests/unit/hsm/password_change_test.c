/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Passwords that their holders change, and such as were given to be changed: what hsmd binds, which
 * of two it believes, and what a front end that was taken over can make of that.
 */
#include "password_steps.h"

/* Up to the proof of a change, by somebody who types these two. */
static void claim_change(tap *t, const char *name, const char *password, const char *next)
{
    cb_card_claim said;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    *t = (tap){.context = {.terminal = cb_id_new(),
                           .profile = CB_PROFILE_PASSWORD,
                           .purpose = CB_TAP_PASSWORD_CHANGE,
                           .level = CB_LEVEL_PASSWORD}};
    good(cb_tap_begin(use_lane.taps, use_lane.host, CB_PROFILE_PASSWORD, &t->context.terminal,
                      &t->context.tap, &script));
    good(cb_taps_enter(use_lane.taps, &t->context.tap, CB_TAP_BEGUN, &t->tap));
    cb_soft_password soft = {.id = cb_password_id(name),
                             .password = cb_bytes_str(password),
                             .next = cb_bytes_str(next),
                             .context = t->context};
    play(&script, &soft, &answers);
    good(cb_tap_ask_card(use_lane.taps, t->tap, &t->context, cb_buf_bytes(&answers), (cb_bytes){0},
                         (cb_bytes){0}, &script));
    play(&script, &soft, &answers);
    good(cb_tap_finish(t->tap, cb_buf_bytes(&answers), &said));
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

static cb_error bring_change(tap *t, const cb_buf *before, cb_buf *binding)
{
    cb_binding_info info;
    cb_feed_head head = cb_feed_now(use_lane.feed);
    cb_error error = cb_password_change(
        use_lane.taps, t->tap, before ? cb_buf_bytes(before) : (cb_bytes){0}, &head, &info);
    cb_buf_reset(binding);
    if (!error)
        good(fake_vault.binding_make(NULL, &info, binding));
    return error;
}

static cb_error change(const char *name, const char *password, const char *next,
                       const cb_buf *before, cb_buf *binding)
{
    tap t;
    claim_change(&t, name, password, next);
    cb_error error = bring_change(&t, before, binding);
    cb_taps_end(use_lane.taps, t.tap);
    return error;
}

#define THIRD "something else entirely"

static void a_holder_changes_his_password_and_the_first_use_ends_the_old(void **state)
{
    uint8_t level = 0;
    cb_binding_info before, now;
    cb_buf old = CB_BUF(CB_BINDING_MAX), new = CB_BUF(CB_BINDING_MAX),
           none = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("changes", RIGHT, &hana, 1, NULL, &old));
    expect(CB_E_PASSWORD_WRONG, change("changes", OTHER, THIRD, &old, &new));
    good(change("changes", RIGHT, OTHER, &old, &new));
    good(cb_binding_info_read(cb_buf_bytes(&old), &before));
    good(cb_binding_info_read(cb_buf_bytes(&new), &now));
    assert_true(cb_id_same(&now.holder, &hana) && cb_id_same(&now.card, &before.card));
    assert_true(now.sequence > before.sequence && now.level == CB_LEVEL_PASSWORD);
    /* It is not known yet which of the two was recorded: either does. */
    good(log_in("changes", RIGHT, &old, NULL));
    expect(CB_E_PASSWORD_WRONG, log_in("changes", RIGHT, &new, NULL));
    good(log_in("changes", OTHER, &new, &level));
    assert_int_equal(level, CB_LEVEL_PASSWORD);
    expect(CB_E_HSM_RECORD, log_in("changes", RIGHT, &old, NULL));
    expect(CB_E_HSM_RECORD, change("changes", RIGHT, THIRD, &old, &none));
    good(log_in("changes", OTHER, &new, NULL));
    /* And a manager still can set another. */
    good(bind("changes", THIRD, &hana, 5, &new, &old));
    good(log_in("changes", THIRD, &old, NULL));
    expect(CB_E_HSM_RECORD, log_in("changes", OTHER, &new, NULL));
    cb_buf_free(&old);
    cb_buf_free(&new);
    cb_buf_free(&none);
}

static void a_change_that_was_lost_is_made_again(void **state)
{
    cb_buf old = CB_BUF(CB_BINDING_MAX), lost = CB_BUF(CB_BINDING_MAX),
           new = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("losing", RIGHT, &hana, 1, NULL, &old));
    good(change("losing", RIGHT, OTHER, &old, &lost));
    good(log_in("losing", RIGHT, &old, NULL));
    good(change("losing", RIGHT, THIRD, &old, &new));
    expect(CB_E_HSM_RECORD, log_in("losing", OTHER, &lost, NULL)); /* it was never recorded */
    good(log_in("losing", THIRD, &new, NULL));
    expect(CB_E_HSM_RECORD, log_in("losing", OTHER, &lost, NULL));
    cb_buf_free(&old);
    cb_buf_free(&lost);
    cb_buf_free(&new);
}

static void nobody_puts_another_key_in_the_place_of_the_new_one(void **state)
{
    tap t, other;
    uint8_t scalar[CB_P256_SCALAR] = {9};
    cb_buf old = CB_BUF(CB_BINDING_MAX), new = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("swapped", RIGHT, &hana, 1, NULL, &old));
    claim_change(&t, "swapped", RIGHT, OTHER);
    good(cb_p256_public(scalar, t.tap->claim.next));
    /* As finish would have it from answers in which the front end changed the key. */
    cb_digest base = cb_password_change_statement(&(cb_digest){{1}}, t.tap->claim.next);
    memcpy(t.tap->claim.signature.digest, base.bytes, sizeof base.bytes);
    expect(CB_E_PASSWORD_WRONG, bring_change(&t, &old, &new));
    cb_taps_end(use_lane.taps, t.tap);
    /* A login is no change, and the other way round. */
    claim(&t, "swapped", RIGHT);
    memcpy(t.tap->claim.next, t.tap->claim.shown, CB_P256_POINT);
    expect(CB_E_TAP_ORDER, bring_change(&t, &old, &new));
    claim_change(&other, "swapped", RIGHT, OTHER);
    expect(CB_E_TAP_ORDER, activate(&other, &old));
    t.tap->context.purpose = CB_TAP_PASSWORD_CHANGE; /* and no proof of one is one of the other */
    memcpy(t.tap->claim.next, other.tap->claim.next, CB_P256_POINT);
    t.tap->claim.signature = other.tap->claim.signature;
    t.tap->claim.signature.digest[0] ^= 1;
    expect(CB_E_PASSWORD_WRONG, bring_change(&t, &old, &new));
    good(bring_change(&other, &old, &new));
    cb_taps_end(use_lane.taps, t.tap);
    cb_taps_end(use_lane.taps, other.tap);
    cb_buf_free(&old);
    cb_buf_free(&new);
}

static void the_new_one_is_none_that_was_there(void **state)
{
    cb_buf old = CB_BUF(CB_BINDING_MAX), new = CB_BUF(CB_BINDING_MAX),
           none = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("again", RIGHT, &hana, 1, NULL, &old));
    expect(CB_E_PASSWORD_USED, change("again", RIGHT, RIGHT, &old, &new));
    good(change("again", RIGHT, OTHER, &old, &new));
    retire(&old);
    good(log_in("again", OTHER, &new, NULL));
    expect(CB_E_PASSWORD_USED, change("again", OTHER, RIGHT, &new, &none));
    expect(CB_E_PASSWORD_WRONG, change("no-such-name", OTHER, RIGHT, NULL, &none));
    cb_buf_free(&old);
    cb_buf_free(&new);
    cb_buf_free(&none);
}

static void changes_are_guesses_like_any(void **state)
{
    cb_buf old = CB_BUF(CB_BINDING_MAX), new = CB_BUF(CB_BINDING_MAX),
           none = CB_BUF(CB_BINDING_MAX);
    (void)state;
    good(bind("counted", RIGHT, &hana, 1, NULL, &old));
    good(change("counted", RIGHT, OTHER, &old, &new));
    /* Both have one count: whoever has the front end shows now this one, now that one. */
    for (unsigned i = 0; i < CB_GUESSES_FREE; i++)
        expect(CB_E_PASSWORD_WRONG, guess("counted", i % 2 ? &old : &new));
    expect(CB_E_PASSWORD_DELAYED, guess("counted", &old));
    expect(CB_E_PASSWORD_DELAYED, guess("counted", &new));
    expect(CB_E_PASSWORD_DELAYED, log_in("counted", OTHER, &new, NULL));
    expect(CB_E_PASSWORD_DELAYED, change("counted", RIGHT, THIRD, &old, &none));
    cb_buf_free(&old);
    cb_buf_free(&new);
    cb_buf_free(&none);
}

static void what_was_given_opens_nothing_until_it_is_changed(void **state)
{
    cb_binding_info info;
    cb_buf given = CB_BUF(CB_BINDING_MAX), own_one = CB_BUF(CB_BINDING_MAX),
           late = CB_BUF(CB_BINDING_MAX);
    (void)state;
    bound_until = cb_clock_wall_us() + 3600 * CB_SECOND;
    good(bind("given", RIGHT, &hana, 1, NULL, &given));
    good(bind("late", RIGHT, &hana, 1, NULL, &late));
    bound_until = cb_clock_wall_us() + (CB_PASSWORD_ONCE_MOST_S + 100) * CB_SECOND;
    expect(CB_E_ARGUMENT, bind("given-long", RIGHT, &hana, 1, NULL, &own_one));
    bound_until = 1;
    expect(CB_E_ARGUMENT, bind("given-before", RIGHT, &hana, 1, NULL, &own_one));
    bound_until = 0;
    expect(CB_E_PASSWORD_WRONG, log_in("given", OTHER, &given, NULL));
    expect(CB_E_PASSWORD_INITIAL, log_in("given", RIGHT, &given, NULL));
    good(change("given", RIGHT, OTHER, &given, &own_one));
    good(cb_binding_info_read(cb_buf_bytes(&own_one), &info));
    assert_int_equal(info.expires, 0);
    good(log_in("given", OTHER, &own_one, NULL));
    expect(CB_E_HSM_RECORD, change("given", RIGHT, THIRD, &given, &own_one));
    /* Under a right MAC, with a time that is over. */
    good(cb_binding_info_read(cb_buf_bytes(&late), &info));
    info.expires = cb_clock_wall_us() - 1;
    cb_buf_reset(&late);
    good(fake_vault.binding_make(NULL, &info, &late));
    expect(CB_E_PASSWORD_WRONG, change("late", OTHER, THIRD, &late, &own_one));
    expect(CB_E_PASSWORD_OVER, change("late", RIGHT, OTHER, &late, &own_one));
    expect(CB_E_PASSWORD_OVER, log_in("late", RIGHT, &late, NULL));
    cb_buf_free(&given);
    cb_buf_free(&own_one);
    cb_buf_free(&late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_holder_changes_his_password_and_the_first_use_ends_the_old),
        cmocka_unit_test(a_change_that_was_lost_is_made_again),
        cmocka_unit_test(nobody_puts_another_key_in_the_place_of_the_new_one),
        cmocka_unit_test(the_new_one_is_none_that_was_there),
        cmocka_unit_test(changes_are_guesses_like_any),
        cmocka_unit_test(what_was_given_opens_nothing_until_it_is_changed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
