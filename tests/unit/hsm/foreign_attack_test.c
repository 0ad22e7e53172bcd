/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cards that somebody else issued, and what a front end that was taken over, a hostile terminal or
 * another card can make of a tap of one.
 */
#include "foreign_steps.h"

/* Two cards of the same agency, and each holder's binding in the other's tap. */
static void one_card_is_not_taken_for_another(void **state)
{
    piv_card one, two;
    tap t;
    cb_binding_info info;
    (void)state;
    piv_card_make(&one, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
    make_and_bind(&two, &info);
    expect(CB_E_HSM_RECORD, tap_with(&one, CB_LEVEL_POSSESSION, "", NULL, NULL));
    bind(&one, &info);
    begin(&t, &one, CB_LEVEL_POSSESSION);
    good(ask(&t));
    piv_card_select(&two);
    play(&t, &two.io);
    good(cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim));
    expect(CB_E_CARD_PROOF, activate(&t));
    end(&t);
    piv_card_free(&one);
    piv_card_free(&two);
}

/* What the card signed for one tap is brought to another of the same card, terminal, service. */
static void a_signature_is_good_for_its_tap_alone(void **state)
{
    piv_card c;
    tap first, second;
    cb_binding_info info;
    (void)state;
    make_and_bind(&c, &info);
    begin(&first, &c, CB_LEVEL_POSSESSION);
    good(ask(&first));
    play(&first, &c.io);
    begin(&second, &c, CB_LEVEL_POSSESSION);
    good(ask(&second));
    good(cb_tap_finish(second.tap, cb_buf_bytes(&first.answers), &second.claim));
    expect(CB_E_CARD_PROOF, activate(&second));
    end(&first);
    end(&second);
    piv_card_free(&c);
}

/* With the key that asks for no PIN where the tap asks for one: the terminal has the card sign the
 * challenge by 9E. */
static void the_key_without_a_pin_does_not_stand_in_for_the_other(void **state)
{
    piv_card c;
    tap t;
    cb_binding_info info;
    (void)state;
    make_and_bind(&c, &info);
    begin(&t, &c, CB_LEVEL_TERMINAL_PIN);
    good(ask(&t));
    cb_script script;
    uint8_t command[CB_COMMAND_MAX];
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), changed = CB_BUF(CB_SCRIPT_BYTES_MAX);
    static const uint8_t ok[] = {0x90, 0x00};
    good(cb_script_read(cb_buf_bytes(&t.script), CB_COMMAND_MAX, &script));
    memcpy(command, script.item[1].apdu.data, script.item[1].apdu.len);
    command[3] = CB_PIV_KEY_CARD;
    cb_script_put(&changed, 0, cb_bytes_make(command, script.item[1].apdu.len));
    good(cb_script_read(cb_buf_bytes(&changed), CB_COMMAND_MAX, &script));
    good(cb_play(&c.io, &script, &answers));
    good(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &script));
    cb_buf_reset(&t.answers);
    cb_script_put(&t.answers, 0, CB_BYTES_OF(ok));
    cb_script_put(&t.answers, 0, script.item[0].apdu);
    good(cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim));
    expect(CB_E_CARD_PROOF, activate(&t));
    end(&t);
    cb_buf_free(&answers);
    cb_buf_free(&changed);
    piv_card_free(&c);
}

static void a_tap_without_a_binding_or_with_a_changed_one_is_refused(void **state)
{
    piv_card c;
    tap t;
    cb_binding_info info;
    (void)state;
    make_and_bind(&c, &info);
    begin(&t, &c, CB_LEVEL_POSSESSION);
    expect(CB_E_ARGUMENT, cb_tap_ask_card(lane.taps, t.tap, &t.context, cb_buf_bytes(&t.answers),
                                          (cb_bytes){0}, (cb_bytes){0}, &t.script));
    end(&t);
    for (size_t i = 0; i < binding.len; i += 7) {
        binding.data[i] ^= 1;
        begin(&t, &c, CB_LEVEL_POSSESSION);
        expect(CB_E_HSM_RECORD, ask(&t));
        end(&t);
        binding.data[i] ^= 1;
    }
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    piv_card_free(&c);
}

/* ---- A chip that is two cards ---- */

/* Were the two known by one identifier, and by one key where their records can say that, even so: a
 * card is of its profile alone. */
static void a_binding_of_one_profile_is_none_in_a_tap_of_the_other(void **state)
{
    piv_card c;
    tap t;
    cb_binding_info piv, others[2];
    (void)state;
    make_and_bind(&c, &piv);
    others[0] = others[1] = piv;
    others[0].profile = CB_PROFILE_NATIVE;
    others[0].keys = (cb_card_keys){.count = 1, .key = {cb_card_key_of_point(w.point)}};
    others[0].expires = 0;
    others[1].profile = CB_PROFILE_JPKI;
    for (size_t i = 0; i < 2; i++) {
        bind_as(&others[i]);
        begin(&t, &c, CB_LEVEL_POSSESSION);
        expect(CB_E_HSM_RECORD, ask(&t)); /* before it is asked for anything */
        assert_int_equal(t.script.len, 0);
        end(&t);
    }
    begin(&t, &c, CB_LEVEL_POSSESSION);
    bind_as(&piv);
    good(ask(&t));
    play(&t, &c.io);
    good(cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim));
    for (size_t i = 0; i < 2; i++) {
        bind_as(&others[i]);
        expect(CB_E_HSM_RECORD, activate(&t));
    }
    bind_as(&piv);
    good(activate(&t));
    end(&t);
    piv_card_free(&c);
}

/* The reverse. */
static void a_native_card_is_not_opened_by_a_binding_of_another_profile(void **state)
{
    static const uint8_t profiles[] = {CB_PROFILE_PIV, CB_PROFILE_JPKI, CB_PROFILE_SCP03,
                                       CB_PROFILE_NATIVE};
    (void)state;
    for (size_t i = 0; i < sizeof profiles; i++) {
        bool right = profiles[i] == CB_PROFILE_NATIVE;
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
        tap t = {.script = CB_BUF(CB_SCRIPT_BYTES_MAX), .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
        t.context = (cb_tap_context){.terminal = cb_id_new(),
                                     .profile = CB_PROFILE_NATIVE,
                                     .purpose = CB_TAP_AUTHENTICATE,
                                     .level = CB_LEVEL_POSSESSION,
                                     .service = "tax"};
        good(cb_tap_begin(lane.taps, lane.host, CB_PROFILE_NATIVE, &t.context.terminal,
                          &t.context.tap, &t.script));
        good(cb_taps_enter(lane.taps, &t.context.tap, CB_TAP_BEGUN, &t.tap));
        cb_vcard_reset(w.card);
        world_play(w.card, &t.script, &t.answers);
        good(cb_tap_ask_card(lane.taps, t.tap, &t.context, cb_buf_bytes(&t.answers), (cb_bytes){0},
                             (cb_bytes){0}, &script));
        world_play(w.card, &script, &t.answers);
        good(cb_tap_finish(t.tap, cb_buf_bytes(&t.answers), &t.claim));
        cb_binding_info info = {.card = t.claim.card,
                                .holder = holder,
                                .profile = profiles[i],
                                .keys = {.count = 1, .key = {cb_card_key_of_point(w.point)}},
                                .level = CB_LEVEL_PIN,
                                .sequence = 1};
        bind_as(&info);
        expect(right ? CB_OK : CB_E_HSM_RECORD, activate(&t));
        end(&t);
        cb_buf_free(&script);
    }
}

/* Each byte of each answer of the card, changed by the terminal; not the flags, of which answers
 * have none: that to VERIFY, which is a status, and the next one's. */
enum { FLAGS = 1, NEXT_FLAGS = 8 };

static cb_error conclude(tap *t)
{
    cb_error error = cb_tap_finish(t->tap, cb_buf_bytes(&t->answers), &t->claim);
    return error ? error : activate(t);
}

static void no_changed_answer_is_believed(void **state)
{
    static const uint8_t levels[] = {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN};
    piv_card c;
    cb_binding_info info;
    (void)state;
    make_and_bind(&c, &info);
    cb_card_io io = c.io;
    io.pin = cb_bytes_str(PIV_PIN);
    for (size_t level = 0; level < sizeof levels; level++) {
        bool more = true;
        for (size_t i = 0; more; i++) {
            tap t;
            begin(&t, &c, levels[level]);
            good(ask(&t));
            play(&t, &io);
            more = i + 1 < t.answers.len; /* signatures are not all of one length */
            bool flags = i == FLAGS || (level > 0 && i == NEXT_FLAGS);
            if (!flags && i < t.answers.len) {
                t.answers.data[i] ^= 1 << (i % 8);
                if (conclude(&t) == CB_OK)
                    fail_msg("byte %zu of %zu, level %u", i, t.answers.len, levels[level]);
            }
            end(&t);
        }
    }
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    piv_card_free(&c);
}

/* Plays a script with one byte of what is to be signed, or of the lengths around it, changed; false
 * when there is none of that number. */
static bool play_changed(tap *t, const cb_card_io *io, size_t nth)
{
    cb_script script;
    uint8_t changed[CB_COMMAND_MAX];
    bool there = false;
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(cb_script_read(cb_buf_bytes(&t->script), CB_COMMAND_MAX, &script));
    for (size_t i = 0; i < script.count; i++) {
        cb_bytes command = script.item[i].apdu;
        memcpy(changed, command.data, command.len);
        size_t data = command.len > 6 ? command.len - 6 : 0; /* less the header, Lc and Le */
        if (!there && nth < data) {
            changed[5 + nth] ^= 1 << (nth % 8);
            there = true;
        }
        nth -= nth < data ? 0 : data;
        cb_script_put(&encoded, script.item[i].flags, cb_bytes_make(changed, command.len));
    }
    cb_buf_reset(&t->script);
    cb_buf_put(&t->script, cb_buf_bytes(&encoded));
    cb_buf_free(&encoded);
    play(t, io);
    return there;
}

/* What goes to the card stands there in the clear: with another digest in it, the front end's own,
 * say, it signs that, and the tap is not what it signed for. */
static void a_signature_over_anything_else_is_none_for_the_tap(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    static const uint8_t levels[] = {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN};
    (void)state;
    for (size_t kind = 0; kind < sizeof kinds; kind++) {
        piv_card c;
        cb_binding_info info;
        piv_card_make(&c, &issuer, kinds[kind], kinds[kind]);
        bind(&c, &info);
        cb_card_io io = c.io;
        io.pin = cb_bytes_str(PIV_PIN);
        for (size_t level = 0; level < sizeof levels; level++) {
            bool there = true;
            size_t tried = 0;
            for (; there; tried++) {
                tap t;
                begin(&t, &c, levels[level]);
                good(ask(&t));
                there = play_changed(&t, &io, tried);
                cb_error error = conclude(&t);
                if (there == (error == CB_OK))
                    fail_msg("byte %zu, kind %u, level %u: %s", tried, kinds[kind], levels[level],
                             cb_error_code(error));
                end(&t);
            }
            assert_true(tried > 32);
        }
        piv_card_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_card_is_not_taken_for_another),
        cmocka_unit_test(a_signature_is_good_for_its_tap_alone),
        cmocka_unit_test(the_key_without_a_pin_does_not_stand_in_for_the_other),
        cmocka_unit_test(a_tap_without_a_binding_or_with_a_changed_one_is_refused),
        cmocka_unit_test(a_binding_of_one_profile_is_none_in_a_tap_of_the_other),
        cmocka_unit_test(a_native_card_is_not_opened_by_a_binding_of_another_profile),
        cmocka_unit_test(no_changed_answer_is_believed),
        cmocka_unit_test(a_signature_over_anything_else_is_none_for_the_tap),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
