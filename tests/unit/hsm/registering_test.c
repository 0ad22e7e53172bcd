/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A holder's card is bound by a one-time code: which card, whose, how far, and when it is not.
 */
#include "registering_steps.h"

static void a_card_is_bound_to_the_holder_of_the_code(void **state)
{
    piv_card c;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    assert_true(cb_id_same(&info.holder, &holder));
    assert_int_equal(info.level, CB_LEVEL_TERMINAL_PIN);
    assert_int_equal(info.sequence, 3);
    assert_int_equal(info.keys.count, 2);
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_USED);
    piv_card_free(&c);
}

static void without_the_pin_only_what_needs_none(void **state)
{
    piv_card c;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_PIN_WRONG, attempt_with(&c, PIV_WRONG_PIN, NULL));
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    assert_int_equal(state_of(&code).wrong, 0);
    good(attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
    make(&c);
    allow(&holder, CB_LEVEL_POSSESSION);
    good(attempt_with(&c, "", &info));
    assert_int_equal(info.level, CB_LEVEL_POSSESSION);
    piv_card_free(&c);
    piv_card_make(&c, &issuer, 0, CB_VCARD_EC_P256);
    allow(&holder, CB_LEVEL_PIN);
    expect(CB_E_TAP_LEVEL, attempt_with(&c, "", NULL));
    piv_card_free(&c);
}

/* What a terminal makes of the order must not become the card's for good: an honest reading of its
 * newer certificates would then change the order, and retire what is bound. */
static void a_card_is_bound_in_one_order_whatever_a_terminal_brings(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    cb_foreign_reading was = a.reading;
    a.reading.key[0] = was.key[1];
    a.reading.key[1] = was.key[0];
    say(&a);
    expect(CB_E_ARGUMENT, ask(&a));
    assert_int_equal(a.script.len, 0);
    tap_free(&a);
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    good(attempt_with(&c, PIV_PIN, &info));
    assert_int_equal(info.keys.key[0].use, CB_VPIV_AUTHENTICATION);
    assert_int_equal(info.keys.key[1].use, CB_VPIV_CARD_AUTHENTICATION);
    piv_card_free(&c);
}

static void a_code_is_for_one_card_which_may_come_again(void **state)
{
    piv_card c, second;
    cb_binding_info info, again;
    (void)state;
    make(&c);
    make(&second);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    expect(CB_E_REGISTRATION_USED, attempt_with(&second, PIV_PIN, NULL));
    good(attempt_with(&c, PIV_PIN, &again)); /* nothing of the first was recorded */
    cb_digest before = cb_binding_digest(&info), after = cb_binding_digest(&again);
    assert_memory_equal(&before, &after, sizeof before);
    allow(&holder, CB_LEVEL_TERMINAL_PIN); /* the second card was not harmed */
    good(attempt_with(&second, PIV_PIN, NULL));
    piv_card_free(&c);
    piv_card_free(&second);
}

/* Both have their scripts before one of them ends. */
static void of_two_terminals_at_a_time_one_has_it(void **state)
{
    piv_card c[2];
    attempt a[2];
    (void)state;
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    for (int i = 0; i < 2; i++) {
        make(&c[i]);
        come_to_binding(&a[i], &c[i]);
    }
    good(bind(&a[1]));
    expect(CB_E_REGISTRATION_USED, bind(&a[0]));
    for (int i = 0; i < 2; i++) {
        tap_free(&a[i]);
        piv_card_free(&c[i]);
    }
}

/* Two holders, each with a code of his own, and one card. */
static void a_card_that_was_bound_meanwhile_costs_no_code(void **state)
{
    piv_card c;
    attempt a;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    cb_id first = code;
    come_to_binding(&a, &c);
    allow(&somebody, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, NULL));
    expect(CB_E_CARD_BOUND, bind(&a));
    assert_int_equal(state_of(&first).state, CB_REGISTRATION_OPEN);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_CARD_BOUND, attempt_with(&c, PIV_PIN, NULL)); /* and is seen before the PIN */
    tap_free(&a);
    piv_card_free(&c);
}

/* Begun again within the code's time, and meanwhile a manager renewed the card. */
static void a_code_that_was_used_is_not_opened_by_a_second_attempt(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    cb_digest renewed = {{1}};
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    come_to_binding(&a, &c);
    good(cb_memo_put(use.taps->setup.bound, &info.card, &renewed));
    expect(CB_E_CARD_BOUND, bind(&a));
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_USED);
    tap_free(&a);
    piv_card_free(&c);
}

static void lapsed_withdrawn_and_foreign_codes_are_told_apart(void **state)
{
    piv_card c;
    cb_registration_grant grant = grant_for(&holder, CB_LEVEL_TERMINAL_PIN);
    (void)state;
    make(&c);
    new_symbols();
    grant.profiles = 1 << CB_PROFILE_JPKI;
    good(allow_as(&manage, &grant));
    expect(CB_E_REGISTRATION_PROFILE, attempt_with(&c, PIV_PIN, NULL));
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(withdraw());
    expect(CB_E_REGISTRATION_WITHDRAWN, attempt_with(&c, PIV_PIN, NULL));
    new_symbols();
    grant = grant_for(&holder, CB_LEVEL_TERMINAL_PIN);
    grant.until = cb_clock_wall_us() - CB_SECOND;
    good(cb_registration_allow(use.guesses, &code, &grant));
    expect(CB_E_REGISTRATION_LAPSED, attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
}

static void a_code_that_ends_meanwhile_binds_nothing(void **state)
{
    piv_card c;
    attempt a;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    come_to_binding(&a, &c);
    good(withdraw());
    expect(CB_E_REGISTRATION_WITHDRAWN, bind(&a));
    assert_int_equal(a.binding.len, 0);
    tap_free(&a);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, NULL)); /* it was not bound */
    piv_card_free(&c);
}

static void a_revoked_card_or_terminal_registers_nothing(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    come_to_binding(&a, &c);
    walk_tell(CB_FEED_TERMINAL_REVOKED, &a.context.terminal);
    expect(CB_E_TERMINAL_REVOKED, bind(&a));
    tap_free(&a);
    good(attempt_with(&c, PIV_PIN, &info));
    walk_tell(CB_FEED_CARD_REVOKED, &info.card);
    expect(CB_E_CARD_REVOKED, attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
}

/* Something between card and reader that changes the FASC-N, of which the certificates say nothing
 * here, where the card says it to everybody. */
static cb_error rename_card(void *card, cb_bytes command, cb_buf *answer)
{
    static const uint8_t fasc_n[] = {0x30, 0x19, 0xD4, 0xE7, 0x39};
    size_t before = answer->len;
    cb_vcard_process(card, command, answer);
    for (size_t i = before; i + sizeof fasc_n < answer->len && i < before + 8; i++) {
        if (memcmp(answer->data + i, fasc_n, sizeof fasc_n) == 0)
            answer->data[i + sizeof fasc_n + 10] ^= 1;
    }
    return cb_buf_error(answer);
}

static void a_card_does_not_come_back_under_another_name(void **state)
{
    piv_card c;
    cb_binding_info info;
    (void)state;
    for (int revoked = 0; revoked < 2; revoked++) {
        make(&c);
        const piv_card own = c;
        allow(&holder, CB_LEVEL_TERMINAL_PIN);
        c.certificate[1] = (cb_bytes){0}; /* by 9A alone */
        good(attempt_with(&c, PIV_PIN, &info));
        if (revoked)
            walk_tell(CB_FEED_CARD_REVOKED, &info.card);
        c.io.transmit = rename_card;
        allow(&holder, CB_LEVEL_TERMINAL_PIN);
        expect(CB_E_CARD_BOUND, attempt_with(&c, PIV_PIN, NULL));
        allow(&somebody, CB_LEVEL_POSSESSION);
        c.certificate[0] = (cb_bytes){0};
        c.certificate[1] = own.certificate[1]; /* by a key that was never bound */
        expect(CB_E_CARD_BOUND, attempt_with(&c, "", NULL));
        assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
        c = own;
        piv_card_free(&c);
    }
}

/* Its two names come at a time, each with a code. */
static void of_two_names_at_a_time_a_card_has_one(void **state)
{
    piv_card c, renamed;
    attempt a;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    cb_id first = code;
    come_to_binding(&a, &c);
    renamed = c;
    renamed.io.transmit = rename_card;
    allow(&somebody, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&renamed, PIV_PIN, NULL));
    expect(CB_E_CARD_BOUND, bind(&a));
    assert_int_equal(state_of(&first).state, CB_REGISTRATION_OPEN);
    tap_free(&a);
    piv_card_free(&c);
}

static void what_the_certificates_do_not_vouch_for_is_not_bound(void **state)
{
    piv_card c;
    attempt a;
    cb_buf certificate = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX), extensions = CB_BUF(512);
    cb_buf subject = CB_BUF(128);
    (void)state;
    piv_card_make(&c, &strangers, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    expect(CB_E_CARD_CERTIFICATE, attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
    make(&c); /* one that says of no card that it is its own */
    cb_issue_key_usage(&extensions, 0x80);
    good(cb_issue_name(cb_bytes_str("Taro"), &subject));
    const cb_issue_x509 what = {.subject = cb_buf_bytes(&subject),
                                .key = &c.state.key[cb_vpiv_slot(CB_VPIV_AUTHENTICATION)],
                                .extensions = cb_buf_bytes(&extensions),
                                .not_before = cb_clock_wall_us() / CB_SECOND - 3600,
                                .not_after = cb_clock_wall_us() / CB_SECOND + 3600};
    good(cb_issue_x509_make(&what, &issuer.signer, &certificate));
    begin(&a, &c);
    a.reading.key[0].certificate = cb_buf_bytes(&certificate);
    say(&a);
    expect(CB_E_CARD_NAMELESS, ask(&a));
    tap_free(&a);
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    cb_buf_free(&certificate);
    cb_buf_free(&extensions);
    cb_buf_free(&subject);
    piv_card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_is_bound_to_the_holder_of_the_code),
        cmocka_unit_test(without_the_pin_only_what_needs_none),
        cmocka_unit_test(a_card_is_bound_in_one_order_whatever_a_terminal_brings),
        cmocka_unit_test(a_code_is_for_one_card_which_may_come_again),
        cmocka_unit_test(of_two_terminals_at_a_time_one_has_it),
        cmocka_unit_test(a_card_that_was_bound_meanwhile_costs_no_code),
        cmocka_unit_test(a_code_that_was_used_is_not_opened_by_a_second_attempt),
        cmocka_unit_test(lapsed_withdrawn_and_foreign_codes_are_told_apart),
        cmocka_unit_test(a_code_that_ends_meanwhile_binds_nothing),
        cmocka_unit_test(a_revoked_card_or_terminal_registers_nothing),
        cmocka_unit_test(a_card_does_not_come_back_under_another_name),
        cmocka_unit_test(of_two_names_at_a_time_a_card_has_one),
        cmocka_unit_test(what_the_certificates_do_not_vouch_for_is_not_bound),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
