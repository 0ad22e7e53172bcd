/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taps with PIV cards that are bound with secure messaging: they never sign without it, and nothing
 * that was changed, repeated or left out is believed.
 */
#include "hsm/activation.h"
#include "secure_cards.h"

typedef struct tap {
    cb_tap_context context;
    cb_tap *tap;
    cb_buf script, answers;
    cb_card_claim claim;
    cb_activation activation;
} tap;

static void play(tap *t, const char *pin)
{
    cb_script script;
    cb_card_io io = secure_io_of(pin);
    cb_buf_reset(&t->answers);
    good(cb_script_read(cb_buf_bytes(&t->script), CB_COMMAND_MAX, &script));
    good(cb_play(&io, &script, &t->answers));
    cb_buf_reset(&t->script);
}

static void begin(tap *t, uint8_t level)
{
    *t = (tap){.script = CB_BUF(CB_SCRIPT_BYTES_MAX), .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    t->context = (cb_tap_context){.terminal = cb_id_new(),
                                  .profile = CB_PROFILE_PIV,
                                  .purpose = CB_TAP_AUTHENTICATE,
                                  .level = level,
                                  .service = "tax"};
    good(cb_tap_begin(secure_lane.taps, secure_lane.host, CB_PROFILE_PIV, &t->context.terminal,
                      &t->context.tap, &t->script));
    good(cb_taps_enter(secure_lane.taps, &t->context.tap, CB_TAP_BEGUN, &t->tap));
    secure_power();
    secure_far.inside = secure_far.outside = 0;
    play(t, "");
}

static cb_error ask(tap *t)
{
    return cb_tap_ask_card(secure_lane.taps, t->tap, &t->context, cb_buf_bytes(&t->answers),
                           (cb_bytes){0}, cb_buf_bytes(&secure_binding), &t->script);
}

static cb_error conclude(tap *t)
{
    cb_feed_head head = cb_feed_now(secure_lane.feed);
    cb_error error = cb_tap_finish(t->tap, cb_buf_bytes(&t->answers), &t->claim);
    return error ? error
                 : cb_tap_activate(secure_lane.taps, t->tap, cb_buf_bytes(&secure_binding), &head,
                                   &t->activation);
}

static void end(tap *t)
{
    cb_taps_end(secure_lane.taps, t->tap);
    cb_buf_free(&t->script);
    cb_buf_free(&t->answers);
}

static cb_error tap_with(uint8_t level, const char *pin, cb_activation *out, cb_card_claim *claim)
{
    tap t;
    begin(&t, level);
    cb_error error = ask(&t);
    if (!error) {
        play(&t, pin);
        error = conclude(&t);
    }
    if (out)
        *out = t.activation;
    if (claim)
        *claim = t.claim;
    end(&t);
    return error;
}

static void every_kind_of_key_signs_inside(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_binding_info info;
        cb_activation activation;
        secure_free_card();
        secure_make_card(kinds[i]);
        secure_bind(&info);
        good(tap_with(CB_LEVEL_POSSESSION, "", &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_POSSESSION);
        assert_true(secure_far.inside == 1 && secure_far.outside == 0);
        good(tap_with(CB_LEVEL_TERMINAL_PIN, PIV_PIN, &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_TERMINAL_PIN);
        assert_true(secure_far.inside == 1 && secure_far.outside == 0);
        assert_true(cb_id_same(&activation.holder, &secure_holder));
    }
}

/* The terminal puts it in, and has no part in the session; so it proves no more than without. */
static void the_pin_goes_outside(void **state)
{
    (void)state;
    cb_binding_info info;
    tap t;
    cb_script script;
    secure_bind(&info);
    begin(&t, CB_LEVEL_TERMINAL_PIN);
    good(ask(&t));
    good(cb_script_read(cb_buf_bytes(&t.script), CB_COMMAND_MAX, &script));
    assert_int_equal(script.count, 2);
    assert_int_equal(script.item[0].flags, CB_SCRIPT_PIN_PADDED);
    assert_int_equal(script.item[0].apdu.data[0], 0x00);
    assert_int_equal(script.item[1].apdu.data[0], 0x0C);
    end(&t);
    expect(CB_E_TAP_LEVEL, tap_with(CB_LEVEL_PIN, PIV_PIN, NULL, NULL));
}

static void a_wrong_pin_is_said_with_its_tries(void **state)
{
    (void)state;
    cb_binding_info info;
    cb_card_claim claim;
    secure_bind(&info);
    expect(CB_E_PIN_WRONG, tap_with(CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, &claim));
    assert_int_equal(claim.pin_tries_left, 2);
    assert_true(secure_far.inside == 0 && secure_far.outside == 0);
}

static void a_card_that_is_bound_with_it_never_does_without(void **state)
{
    static const uint8_t ok[] = {0x90, 0x00};
    (void)state;
    cb_binding_info info;
    tap t;
    secure_bind(&info);
    secure_far.refuses = true;
    begin(&t, CB_LEVEL_POSSESSION);
    expect(CB_E_CARD_STATUS, ask(&t));
    assert_int_equal(t.script.len, 0);
    end(&t);
    secure_far.refuses = false;
    /* The terminal does not offer it, or says that nothing was answered. */
    for (int with = 0; with < 2; with++) {
        cb_script answers;
        cb_buf kept = CB_BUF(CB_SCRIPT_BYTES_MAX);
        begin(&t, CB_LEVEL_POSSESSION);
        good(cb_script_read(cb_buf_bytes(&t.answers), CB_ANSWER_MAX, &answers));
        for (size_t i = 0; i < 2; i++)
            cb_script_put(&kept, 0, answers.item[i].apdu);
        if (with)
            cb_script_put(&kept, 0, CB_BYTES_OF(ok));
        cb_buf_reset(&t.answers);
        cb_buf_put(&t.answers, cb_buf_bytes(&kept));
        expect(with ? CB_E_CARD_ANSWER : CB_E_CARD_REMOVED, ask(&t));
        assert_int_equal(t.script.len, 0);
        cb_buf_free(&kept);
        end(&t);
    }
}

/* Somebody with a card of the agency, whose certificate is as good, says that it is the other. */
static void another_card_opens_no_session(void **state)
{
    (void)state;
    cb_binding_info info;
    tap t;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    secure_bind(&info);
    memcpy(scalar, secure_far.scalar, sizeof scalar);
    memcpy(point, secure_far.point, sizeof point);
    good(cb_p256_generate(secure_far.scalar, secure_far.point));
    secure_certify(&secure_far, secure_guid_of(&secure_card));
    begin(&t, CB_LEVEL_POSSESSION);
    expect(CB_E_CARD_PROOF, ask(&t));
    end(&t);
    /* With the certificate of the right key, and without its secret. */
    memcpy(secure_far.point, point, sizeof point);
    secure_certify(&secure_far, secure_guid_of(&secure_card));
    begin(&t, CB_LEVEL_POSSESSION);
    expect(CB_E_CARD_PROOF, ask(&t));
    end(&t);
    memcpy(secure_far.scalar, scalar, sizeof scalar);
    good(tap_with(CB_LEVEL_POSSESSION, "", NULL, NULL));
}

/* The certificate on the card may be made anew for the same key: the key is what is bound. */
static void a_card_that_is_bound_without_signs_outside(void **state)
{
    (void)state;
    cb_binding_info info;
    secure_far.refuses = true;
    secure_bind(&info);
    secure_far.refuses = false;
    good(tap_with(CB_LEVEL_POSSESSION, "", NULL, NULL));
    assert_true(secure_far.inside == 0 && secure_far.outside == 1);
}

/* ---- A renewal that replaced the key for secure messaging, and left the others ---- */

/* The binding of the card as secure_bind made it, and the one that took its place. */
static cb_id replace_key(const cb_binding_info *before, cb_buf *old, cb_buf *now)
{
    cb_binding_info after = *before;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    size_t at = 0;
    while (at < after.keys.count && after.keys.key[at].use != 0x04)
        at++;
    assert_in_range(at, 0, after.keys.count - 1);
    good(cb_p256_generate(scalar, point));
    memcpy(after.keys.key[at].data, point, sizeof point);
    after.sequence++;
    cb_buf_put(old, cb_buf_bytes(&secure_binding));
    good(fake_vault.binding_make(NULL, &after, now));
    return cb_binding_subject(before);
}

static void show_binding(const cb_buf *binding)
{
    cb_buf_reset(&secure_binding);
    cb_buf_put(&secure_binding, cb_buf_bytes(binding));
}

/* Whoever has the key that was replaced, and a copy of one that was not. */
static void a_session_of_the_old_key_proves_nothing_for_the_new_binding(void **state)
{
    (void)state;
    cb_binding_info info;
    cb_buf old = CB_BUF(CB_BINDING_MAX), now = CB_BUF(CB_BINDING_MAX);
    tap t;
    secure_bind(&info);
    replace_key(&info, &old, &now);
    begin(&t, CB_LEVEL_POSSESSION);
    good(ask(&t));
    play(&t, "");
    assert_int_equal(secure_far.inside, 1);
    show_binding(&now);
    expect(CB_E_HSM_RECORD, conclude(&t));
    end(&t);
    /* One of the same keys is as good. */
    info.sequence += 2;
    show_binding(&old);
    begin(&t, CB_LEVEL_POSSESSION);
    good(ask(&t));
    play(&t, "");
    cb_buf_reset(&secure_binding);
    good(fake_vault.binding_make(NULL, &info, &secure_binding));
    good(conclude(&t));
    end(&t);
    cb_buf_free(&old);
    cb_buf_free(&now);
}

static void keys_that_were_renewed_open_no_session(void **state)
{
    (void)state;
    cb_binding_info info;
    cb_buf old = CB_BUF(CB_BINDING_MAX), now = CB_BUF(CB_BINDING_MAX);
    tap t;
    secure_bind(&info);
    cb_id subject = replace_key(&info, &old, &now);
    cb_feed_entry entry = {cb_feed_now(secure_lane.feed).number + 1, CB_FEED_KEY_RETIRED, subject,
                           1};
    good(cb_feed_extend(secure_lane.feed, &entry, 1));
    begin(&t, CB_LEVEL_POSSESSION);
    expect(CB_E_HSM_RECORD, ask(&t));
    assert_int_equal(t.script.len, 0);
    end(&t);
    cb_buf_free(&old);
    cb_buf_free(&now);
}

/* ---- The virtual card ---- */

static void the_virtual_card_does_the_same(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        cb_binding_info info;
        cb_activation activation;
        cb_card_claim claim;
        secure_use_virtual_card(kinds[i], kinds[i]);
        secure_bind(&info);
        assert_int_equal(info.keys.count, 3);
        good(tap_with(CB_LEVEL_POSSESSION, "", &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_POSSESSION);
        good(tap_with(CB_LEVEL_TERMINAL_PIN, PIV_PIN, &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_TERMINAL_PIN);
        expect(CB_E_PIN_WRONG, tap_with(CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, &claim));
        assert_int_equal(claim.pin_tries_left, 2);
        secure_card_itself = false;
    }
}

/* ---- A terminal that does wrong ---- */

static void no_changed_answer_is_believed(void **state)
{
    enum { FLAGS = 1 };
    (void)state;
    cb_binding_info info;
    secure_bind(&info);
    bool more = true;
    for (size_t i = 0; more; i++) {
        tap t;
        begin(&t, CB_LEVEL_POSSESSION);
        good(ask(&t));
        play(&t, "");
        more = i + 1 < t.answers.len;
        if (i != FLAGS && i < t.answers.len) {
            t.answers.data[i] ^= 1 << (i % 8);
            if (conclude(&t) == CB_OK)
                fail_msg("byte %zu of %zu", i, t.answers.len);
        }
        end(&t);
    }
    good(tap_with(CB_LEVEL_POSSESSION, "", NULL, NULL));
}

/* The card notices, and says so in the clear. */
static void no_changed_command_is_carried_out(void **state)
{
    (void)state;
    cb_binding_info info;
    size_t len = 0;
    secure_bind(&info);
    for (size_t at = 1; at == 1 || at < len; at++) {
        tap t;
        cb_script script;
        uint8_t command[CB_COMMAND_MAX];
        begin(&t, CB_LEVEL_POSSESSION);
        good(ask(&t));
        good(cb_script_read(cb_buf_bytes(&t.script), CB_COMMAND_MAX, &script));
        len = script.item[0].apdu.len - 1; /* the last byte is Le, which is the transport's */
        memcpy(command, script.item[0].apdu.data, len + 1);
        cb_buf_reset(&t.script);
        if (at != 4) { /* the length of all */
            command[at] ^= 1;
            cb_script_put(&t.script, 0, cb_bytes_make(command, len + 1));
            play(&t, "");
            assert_int_equal(secure_far.inside, 0);
            expect(CB_E_CARD_STATUS, conclude(&t));
        }
        end(&t);
    }
}

static void nothing_is_good_for_another_tap(void **state)
{
    (void)state;
    cb_binding_info info;
    tap first, second;
    secure_bind(&info);
    begin(&first, CB_LEVEL_POSSESSION);
    good(ask(&first));
    play(&first, "");
    begin(&second, CB_LEVEL_POSSESSION);
    good(ask(&second));
    cb_buf_put(&second.answers, (cb_bytes){0});
    cb_buf_reset(&second.answers);
    cb_buf_put(&second.answers, cb_buf_bytes(&first.answers));
    expect(CB_E_CARD_PROOF, conclude(&second));
    end(&first);
    end(&second);
    /* Nor is the answer to an offer. */
    begin(&first, CB_LEVEL_POSSESSION);
    begin(&second, CB_LEVEL_POSSESSION);
    cb_buf_reset(&second.answers);
    cb_buf_put(&second.answers, cb_buf_bytes(&first.answers));
    expect(CB_E_CARD_PROOF, ask(&second));
    end(&first);
    end(&second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, secure_begin_test, secure_end_test)
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_key_signs_inside),
        TEST(the_pin_goes_outside),
        TEST(a_wrong_pin_is_said_with_its_tries),
        TEST(a_card_that_is_bound_with_it_never_does_without),
        TEST(another_card_opens_no_session),
        TEST(a_card_that_is_bound_without_signs_outside),
        TEST(a_session_of_the_old_key_proves_nothing_for_the_new_binding),
        TEST(keys_that_were_renewed_open_no_session),
        TEST(the_virtual_card_does_the_same),
        TEST(no_changed_answer_is_believed),
        TEST(no_changed_command_is_carried_out),
        TEST(nothing_is_good_for_another_tap),
    };
    return cmocka_run_group_tests(tests, secure_setup, secure_teardown);
}
