/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a tap that renews what its card is bound with.
 */
#include "tests/unit/broker/tap_binding_world.h"

static uint8_t state_of_card;
static int64_t own_day_of_card;
static cb_failed_proof explained; /* by the last renewal that was recorded, or was to be */
static uint32_t limit_explained;

/* ---- What is replaced ---- */

cb_error cb_hsm_tap_renew(cb_hsm *hsm, const cb_tap_context *context,
                          const cb_foreign_reading *reading, cb_bytes binding,
                          cb_bytes certificates, cb_buf *script)
{
    (void)hsm, (void)script;
    assert_int_equal(context->purpose, CB_TAP_RENEW);
    assert_int_equal(reading->profile, CB_PROFILE_PIV);
    assert_true(cb_bytes_same(binding, cb_bytes_str("before")));
    assert_int_equal(certificates.len, 3);
    return step("hsmd");
}

/* The sequence that is bound comes after the one that the card has. */
cb_error cb_decide_lookup_card(cb_store *store, const cb_id *card, cb_card *out)
{
    (void)store;
    out->id = *card;
    out->holder = (cb_id){{2}};
    out->sequence = 4;
    out->state = state_of_card;
    out->own_expires = own_day_of_card;
    cb_buf_put_str(&out->binding, "before");
    cb_buf_put(&out->certificates, cb_bytes_make("\x30\x01\x07", 3));
    return step("look");
}

cb_error cb_card_renewal_refusal(const cb_card *card, int64_t now)
{
    if (card->state != CB_CARD_ACTIVE)
        return CB_E_CARD_SUSPENDED;
    return card->own_expires > 0 && now >= card->own_expires ? CB_E_CARD_EXPIRED : CB_OK;
}

cb_error cb_tap_pass_feed_on(cb_taps *of, const cb_id *which)
{
    (void)of, (void)which;
    return step("feed");
}

cb_failure_limits cb_taps_limits(cb_taps *of)
{
    (void)of;
    return (cb_failure_limits){.of_one_card = 5};
}

cb_error cb_card_renew_at_tap(cb_store *store, const cb_card_tap_renewal *what, cb_card *out)
{
    cb_digest before = cb_sha256(cb_bytes_str("before"));
    (void)store;
    assert_int_equal(what->card.bytes[0], 1);
    assert_memory_equal(&what->before, &before, sizeof before);
    explained = what->failed ? *what->failed : (cb_failed_proof){.time = 0};
    limit_explained = what->limits->of_one_card;
    fill_bound(what->binding, what->certificates, out);
    return step("record");
}

/* ---- The tap ---- */

static int open_taps(void **state)
{
    (void)state;
    state_of_card = CB_CARD_ACTIVE;
    own_day_of_card = 0;
    return open_taps_for(CB_TAP_RENEW) || cb_tap_unexplained_open(&taps.unexplained) ? -1 : 0;
}

static int close_all(void **state)
{
    cb_tap_unexplained_close(&taps.unexplained);
    return close_taps(state);
}

static cb_error ask_with(size_t keys, cb_bytes certificate)
{
    unsigned expires = 0;
    cb_buf script = CB_BUF(64);
    cb_foreign_reading what = reading_of(keys, certificate);
    put_begun();
    cb_error error = cb_tap_renew(&taps, &terminal, &tap, &what, &script, &expires);
    assert_int_equal(expires, error ? 0 : 60);
    cb_buf_free(&script);
    return error;
}

static cb_error ask(size_t keys) { return ask_with(keys, CB_BYTES_OF(der)); }

static cb_error end(cb_taps *of, const cb_tap_entry *entry, cb_bytes answers,
                    cb_tap_outcome *outcome)
{
    return cb_tap_renew_end(of, entry, answers, outcome);
}

static void it_runs_in_order(void **state)
{
    (void)state;
    runs_in_order("permit recognise look issuer feed hsmd finish bind bind record");
}

static void the_issuer_is_asked_about_each_certificate(void **state)
{
    (void)state;
    assert_int_equal(ask(3), CB_OK);
    assert_string_equal(trace, "permit recognise look issuer issuer issuer feed hsmd");
}

static void each_step_can_fail_and_none_comes_after_it(void **state)
{
    static const char *const steps[] = {"recognise", "look", "issuer", "feed", "hsmd"};
    (void)state;
    each_can_fail(steps, sizeof steps / sizeof *steps);
}

static void each_step_of_the_end_can_fail(void **state)
{
    static const char *const steps[] = {"finish", "bind", "record"};
    (void)state;
    each_of_the_end_can_fail(steps, sizeof steps / sizeof *steps);
}

/* It has used the terminal's rate, and that is all. */
static void nothing_new_is_no_refusal_and_asks_nobody(void **state)
{
    (void)state;
    assert_int_equal(ask_with(1, cb_bytes_make("\x30\x01\x07", 3)), CB_E_CERTIFICATE_RENEWAL);
    assert_string_equal(trace, "permit recognise look");
    assert_int_equal(refused, CB_OK);
    assert_int_equal(dropped, 1);
}

/* One that is only over by its certificates is renewed as long as nothing else was made of that. */
static void a_card_that_is_ended_here_is_not_renewed(void **state)
{
    (void)state;
    own_day_of_card = 1;
    assert_int_equal(ask(1), CB_E_CARD_EXPIRED);
    assert_string_equal(trace, "permit recognise look");
    assert_int_equal(refused, CB_E_CARD_EXPIRED);
    own_day_of_card = 0;
    assert_int_equal(ask(1), CB_OK);
    cb_tap_entry_free(take(CB_TAP_CHALLENGED));
    state_of_card = CB_CARD_SUSPENDED;
    trace[0] = 0;
    assert_int_equal(ask(1), CB_E_CARD_SUSPENDED);
    assert_string_equal(trace, "permit recognise look");
    assert_int_equal(refused, CB_E_CARD_SUSPENDED);
}

/* ---- What it explains ---- */

static void fails(uint8_t in, uint8_t of, uint8_t at)
{
    const cb_failed_proof proof = {
        .tap = {{in}}, .card = {{of}}, .holder = {{2}}, .terminal = {{at}}, .time = 77};
    cb_tap_unexplained_put(taps.unexplained, &proof);
}

static void renew(void)
{
    cb_tap_outcome outcome;
    assert_int_equal(ask(1), CB_OK);
    assert_int_equal(finish(&outcome), CB_OK);
}

static void it_explains_the_last_proof_of_its_card_that_failed_there_once(void **state)
{
    (void)state;
    fails(20, 1, 6); /* at another terminal */
    fails(21, 4, 7); /* of another card */
    renew();
    assert_int_equal(explained.tap.bytes[0], 0);
    fails(22, 1, 7);
    renew();
    assert_int_equal(explained.tap.bytes[0], 22);
    assert_int_equal(explained.time, 77);
    assert_int_equal(limit_explained, 5);
    renew();
    assert_int_equal(explained.tap.bytes[0], 0);
}

/* Whether it was refused when it was asked for, or at its end. */
static void a_renewal_that_fails_explains_nothing_nor_does_the_next(void **state)
{
    static const char *const steps[] = {"issuer", "hsmd", "finish", "bind", "record"};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        cb_tap_outcome outcome;
        fails(22, 1, 7);
        failing = steps[i];
        failure = CB_E_PIN_WRONG;
        trace[0] = 0;
        cb_error error = ask(1);
        if (!error)
            error = finish(&outcome);
        assert_int_equal(error, CB_E_PIN_WRONG);
        failing = NULL;
        trace[0] = 0;
        renew();
        assert_int_equal(explained.tap.bytes[0], 0);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_taps, close_all)
    const struct CMUnitTest tests[] = {
        T(it_runs_in_order),
        T(the_issuer_is_asked_about_each_certificate),
        T(each_step_can_fail_and_none_comes_after_it),
        T(no_issuer_that_is_known_means_no),
        T(each_step_of_the_end_can_fail),
        T(a_card_of_the_brokers_own_is_not_bound_so),
        T(what_is_refused_before_its_rate_was_asked_takes_from_it),
        T(a_terminal_that_is_told_to_wait_has_its_tap_as_it_was),
        T(nothing_new_is_no_refusal_and_asks_nobody),
        T(a_card_that_is_ended_here_is_not_renewed),
        T(it_explains_the_last_proof_of_its_card_that_failed_there_once),
        T(a_renewal_that_fails_explains_nothing_nor_does_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
