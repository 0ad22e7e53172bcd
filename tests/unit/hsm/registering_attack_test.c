/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a front end that was taken over, somebody who guesses codes, or another card can make of a
 * registration by a code, and that what was refused or was to be forgotten binds nothing.
 */
#include "registering_steps.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_wrong_code_names_nobodys(void **state)
{
    piv_card c;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    cb_id good_one = code;
    char kept[CB_CODE_SYMBOLS];
    memcpy(kept, symbols, sizeof kept);
    for (unsigned i = 0; i < 2 * CB_REGISTRATION_TRIES; i++) {
        new_symbols();
        expect(CB_E_REGISTRATION_CODE, attempt_with(&c, PIV_PIN, NULL));
    }
    assert_int_equal(state_of(&good_one).wrong, 0);
    memcpy(symbols, kept, sizeof kept);
    good(attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
}

static void wrong_codes_without_end_are_not_looked_at(void **state)
{
    piv_card c;
    attempt a;
    unsigned refused = 0;
    (void)state;
    make(&c);
    for (unsigned i = 0; i < 400 && refused == 0; i++) {
        begin(&a, &c);
        a.word = (cb_registration_word){.point = {4, (uint8_t)i}};
        refused += ask(&a) == CB_E_BUSY;
        tap_free(&a);
    }
    assert_int_equal(refused, 1);
    use.taps->codes = (cb_brake){0};
    piv_card_free(&c);
}

/* What passes the front end is good for this card in this tap. */
static void a_front_end_can_put_no_card_of_its_own_in_its_place(void **state)
{
    piv_card c, own;
    attempt a, b;
    (void)state;
    make(&c);
    make(&own);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    say(&a);
    begin(&b, &own); /* another tap, another card, the holder's word */
    b.word = a.word;
    expect(CB_E_REGISTRATION_CODE, ask(&b));
    tap_free(&b);
    begin(&b, &c); /* the same card, another tap: a replay */
    b.word = a.word;
    expect(CB_E_REGISTRATION_CODE, ask(&b));
    tap_free(&b);
    begin(&b, &own); /* the holder's tap, the own card's answers and certificates */
    a.reading = b.reading;
    expect(CB_E_REGISTRATION_CODE, ask(&a));
    tap_free(&b);
    tap_free(&a);
    begin(&a, &c);
    say(&a);
    a.reading.key[0].certificate = own.certificate[0]; /* his card, the own certificate */
    expect(CB_E_REGISTRATION_CODE, ask(&a));
    assert_int_equal(state_of(&code).wrong, 4);
    tap_free(&a);
    begin(&a, &c);
    say(&a);
    a.reading.keys = 1; /* one less */
    expect(CB_E_REGISTRATION_CODE, ask(&a));
    assert_int_equal(state_of(&code).wrong, CB_REGISTRATION_TRIES);
    tap_free(&a);
    expect(CB_E_REGISTRATION_TRIED, attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
    piv_card_free(&own);
}

static void a_front_end_cannot_say_whose_or_how_far(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    begin(&a, &c);
    say(&a);
    a.context.level = CB_LEVEL_NONE; /* the code's level is asked for all the same */
    a.context.text = (cb_digest){{1}};
    good(ask(&a));
    good(tap_finish(&a, &c, PIV_PIN));
    good(bind(&a));
    good(fake_vault.binding_check(NULL, cb_buf_bytes(&a.binding), &info));
    assert_true(cb_id_same(&info.holder, &holder));
    assert_int_equal(info.level, CB_LEVEL_TERMINAL_PIN);
    tap_free(&a);
    piv_card_free(&c);
}

static void another_card_cannot_sign_for_the_one_that_was_read(void **state)
{
    piv_card c, own;
    attempt a;
    (void)state;
    make(&c);
    make(&own);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    come_to_script(&a, &c);
    piv_card_select(&own);
    good(tap_finish(&a, &own, PIV_PIN));
    expect(CB_E_CARD_PROOF, bind(&a));
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    tap_free(&a);
    piv_card_free(&c);
    piv_card_free(&own);
}

/* A certificate that was renewed between two attempts with one code: other keys, another card. */
static void a_used_code_is_not_good_for_other_keys_on_the_card(void **state)
{
    piv_card c;
    attempt a;
    cb_vcard_key fresh;
    cb_buf certificate = CB_BUF(CB_FOREIGN_CERTIFICATE_MAX);
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, NULL));
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &fresh));
    piv_card_certify(&c, &issuer, 0, &fresh, NULL, 1, &certificate);
    begin(&a, &c);
    a.reading.key[0].certificate = cb_buf_bytes(&certificate);
    say(&a);
    expect(CB_E_REGISTRATION_USED, ask(&a));
    tap_free(&a);
    cb_buf_free(&certificate);
    piv_card_free(&c);
}

static void codes_are_managers_and_taps_are_the_front_ends(void **state)
{
    cb_registration_grant grant = grant_for(&holder, CB_LEVEL_PIN);
    (void)state;
    new_symbols();
    expect(CB_E_HSM_ILLEGAL, allow_as(&use, &grant));
    expect(CB_E_HSM_ILLEGAL, allow_as(&log_lane, &grant));
    grant.until = cb_clock_wall_us() + (CB_REGISTRATION_MOST_S + INT64_C(5)) * CB_SECOND;
    expect(CB_E_ARGUMENT, allow_as(&manage, &grant));
    grant.until = cb_clock_wall_us() - CB_SECOND;
    expect(CB_E_ARGUMENT, allow_as(&manage, &grant));
    grant = grant_for(&holder, CB_LEVEL_PIN);
    grant.state = CB_REGISTRATION_USED;
    expect(CB_E_ARGUMENT, allow_as(&manage, &grant));
}

static cb_error challenge(attempt *a, const cb_buf *made)
{
    cb_buf_reset(&a->body);
    cb_buf_reset(&a->script);
    cb_put_context(&a->body, &a->context);
    cb_buf_put_var(&a->body, cb_buf_bytes(&a->first));
    cb_buf_put_var(&a->body, (cb_bytes){0});
    cb_buf_put_var(&a->body, cb_buf_bytes(made));
    return walk_ask(&use, CB_HSM_TAP_CHALLENGE, &a->body, &a->script);
}

/* The tap goes on as a login with the card's binding, to the card's proof. */
static void log_in(attempt *a, const piv_card *c, const cb_buf *made)
{
    a->context.purpose = CB_TAP_AUTHENTICATE;
    strcpy(a->context.service, "tax");
    a->context.level = CB_LEVEL_POSSESSION;
    good(challenge(a, made));
    good(tap_finish(a, c, ""));
}

/* No step of the one kind of tap is one of the other. */
static void a_registration_opens_no_key_and_a_login_binds_no_card(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    good(fake_vault.binding_make(NULL, &info, &made));
    come_to_binding(&a, &c);
    cb_feed_head head = cb_feed_now(use.feed);
    cb_buf_reset(&a.body);
    cb_put_id(&a.body, &a.context.tap);
    cb_buf_put_var(&a.body, cb_buf_bytes(&made));
    cb_put_feed_head(&a.body, &head);
    expect(CB_E_TAP_ORDER, walk_ask(&use, CB_HSM_TAP_ACTIVATE, &a.body, NULL));
    tap_free(&a);
    begin(&a, &c); /* a login, to its proof */
    log_in(&a, &c, &made);
    expect(CB_E_TAP_ORDER, bind(&a));
    tap_free(&a);
    begin(&a, &c); /* a challenge of the other kind names no card */
    expect(CB_E_ARGUMENT, challenge(&a, &made));
    tap_free(&a);
    cb_buf_free(&made);
    piv_card_free(&c);
}

/* Takes the last entry off hsmd's file, or puts it back. */
static void shorten_feed(uint8_t entry[CB_FEED_RECORD], bool back)
{
    struct stat about;
    int fd = open(f.config.feed_path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &about) == 0);
    off_t at = about.st_size - (back ? 0 : CB_FEED_RECORD);
    if (back)
        assert_int_equal(pwrite(fd, entry, CB_FEED_RECORD, at), CB_FEED_RECORD);
    else
        assert_true(pread(fd, entry, CB_FEED_RECORD, at) == CB_FEED_RECORD &&
                    ftruncate(fd, at) == 0);
    close(fd);
}

/* The tap stays for another question, but not for the end of the first one. */
static void what_was_asked_in_vain_is_not_bound(void **state)
{
    piv_card c;
    attempt a;
    cb_binding_info info;
    cb_id nobody = cb_id_new();
    uint8_t entry[CB_FEED_RECORD];
    cb_buf made = CB_BUF(CB_BINDING_MAX);
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    good(attempt_with(&c, PIV_PIN, &info));
    good(fake_vault.binding_make(NULL, &info, &made));
    walk_tell(CB_FEED_CARD_REVOKED, &nobody);
    begin(&a, &c);
    say(&a);
    shorten_feed(entry, false);
    expect(CB_E_HSM_ROLLED_BACK, ask(&a));
    expect(CB_E_HSM_ROLLED_BACK, ask(&a));
    shorten_feed(entry, true);
    log_in(&a, &c, &made);
    expect(CB_E_TAP_ORDER, bind(&a));
    tap_free(&a);
    cb_buf_free(&made);
    piv_card_free(&c);
}

static void a_head_that_is_behind_leaves_the_tap_as_it_was(void **state)
{
    piv_card c;
    attempt a;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    come_to_binding(&a, &c);
    cb_feed_head head = cb_feed_now(use.feed);
    head.number++;
    expect(CB_E_HSM_FEED_BEHIND, tap_bind_after(&a, 1, &head));
    assert_int_equal(state_of(&code).state, CB_REGISTRATION_OPEN);
    good(bind(&a));
    expect(CB_E_TAP_UNKNOWN, bind(&a)); /* once */
    tap_free(&a);
    piv_card_free(&c);
}

static void without_its_memory_nothing_is_bound(void **state)
{
    piv_card c;
    cb_memo *bound = use.taps->setup.bound, *codes = use.taps->setup.guesses;
    (void)state;
    make(&c);
    allow(&holder, CB_LEVEL_TERMINAL_PIN);
    use.taps->setup.bound = NULL;
    expect(CB_E_IO, attempt_with(&c, PIV_PIN, NULL));
    use.taps->setup.bound = bound;
    use.taps->setup.guesses = NULL;
    expect(CB_E_IO, attempt_with(&c, PIV_PIN, NULL));
    use.taps->setup.guesses = codes;
    good(attempt_with(&c, PIV_PIN, NULL));
    piv_card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_code_names_nobodys),
        cmocka_unit_test(wrong_codes_without_end_are_not_looked_at),
        cmocka_unit_test(a_front_end_can_put_no_card_of_its_own_in_its_place),
        cmocka_unit_test(a_front_end_cannot_say_whose_or_how_far),
        cmocka_unit_test(another_card_cannot_sign_for_the_one_that_was_read),
        cmocka_unit_test(a_used_code_is_not_good_for_other_keys_on_the_card),
        cmocka_unit_test(codes_are_managers_and_taps_are_the_front_ends),
        cmocka_unit_test(a_registration_opens_no_key_and_a_login_binds_no_card),
        cmocka_unit_test(what_was_asked_in_vain_is_not_bound),
        cmocka_unit_test(a_head_that_is_behind_leaves_the_tap_as_it_was),
        cmocka_unit_test(without_its_memory_nothing_is_bound),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
