/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A new PIN without the unblocking code, for who has taken over the front end: hsmd makes the
 * command when a manager allowed it, once, for that card at that terminal.
 */
#include "attacks.h"

#include "base/clock.h"
#include "hsm/pin_reset.h"
#include "hsm/protocol.h"

#define FRESH "446688"

static const front_wish plain = {"tax", NULL, CB_LEVEL_POSSESSION, 0};

/* A tap that is to give the card of this binding a new PIN, at a terminal, up to the challenge. */
static cb_error ask(front *f, const cb_id *terminal, cb_bytes binding, front_tap *tap,
                    cb_buf *script)
{
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX), pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    uint8_t point[CB_P256_POINT];
    cb_script read;
    cb_id own = f->terminal;
    f->terminal = *terminal;
    cb_error error = front_begin(f, tap, script);
    f->terminal = own;
    if (!error) {
        tap->context.purpose = CB_TAP_PIN_RESET;
        world_play(f->w->card, script, &answers);
        good(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read));
        good(cb_pin_card_key(&read, point));
        good(cb_pin_encrypt(CB_PIN_FORM_RESET, (cb_bytes){0}, cb_bytes_str(FRESH), point, &pin));
        cb_buf_reset(script);
        error = cb_hsm_tap_challenge(f->hsm, &tap->context, cb_buf_bytes(&answers),
                                     cb_buf_bytes(&pin), binding, script);
    }
    cb_buf_free(&answers);
    cb_buf_free(&pin);
    return error;
}

static cb_error refused(front *f, const cb_id *terminal, cb_bytes binding)
{
    front_tap tap;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = ask(f, terminal, binding, &tap, &script);
    assert_int_equal(error ? script.len : 0, 0);
    cb_buf_free(&script);
    return error;
}

static cb_error mine(front *f) { return refused(f, &f->terminal, cb_buf_bytes(&f->binding)); }

static cb_error allow(front *f, const cb_id *card, uint16_t seconds)
{
    return cb_hsm_pin_reset(f->hsm, card, &f->terminal, seconds);
}

static void nobody_but_a_manager_allows_a_new_pin(void **state)
{
    front *f = *state;
    front_tap tap;
    uint8_t body[2 * CB_ID_SIZE + 2] = {0};
    cb_buf edited = CB_BUF(CB_BINDING_MAX);
    const cb_id *card = &f->w->first.card;
    memcpy(body, card->bytes, CB_ID_SIZE);
    memcpy(body + CB_ID_SIZE, f->terminal.bytes, CB_ID_SIZE);
    body[2 * CB_ID_SIZE + 1] = 60;
    expect(CB_E_HSM_ILLEGAL, attack_raw(attack_run, "use-0", CB_HSM_PIN_RESET, CB_BYTES_OF(body)));
    expect(CB_E_HSM_ILLEGAL, attack_raw(attack_run, "log", CB_HSM_PIN_RESET, CB_BYTES_OF(body)));
    expect(CB_E_PIN_RESET_REFUSED, mine(f));
    expect(CB_E_ARGUMENT, refused(f, &f->terminal, (cb_bytes){0}));
    /* For longer, or not at all. */
    expect(CB_E_ARGUMENT, allow(f, card, 0));
    expect(CB_E_ARGUMENT, allow(f, card, CB_PIN_RESET_MOST_S + 1));
    expect(CB_E_PIN_RESET_REFUSED, mine(f));
    /* For another card, under a binding that is no binding. */
    cb_id other = cb_id_new();
    good(allow(f, &other, 60));
    expect(CB_E_PIN_RESET_REFUSED, mine(f));
    for (size_t i = 0; i < f->binding.len; i += 11) {
        cb_buf_reset(&edited);
        cb_buf_put(&edited, cb_buf_bytes(&f->binding));
        edited.data[i] ^= 1;
        assert_int_not_equal(refused(f, &f->terminal, cb_buf_bytes(&edited)), CB_OK);
    }
    good(front_activate(f, plain, &tap));
    cb_buf_free(&edited);
}

static void a_permission_is_for_one_terminal_and_for_its_time(void **state)
{
    front *f = *state;
    const cb_id *card = &f->w->first.card;
    cb_id elsewhere = cb_id_new();
    good(allow(f, card, 1));
    expect(CB_E_PIN_RESET_REFUSED, refused(f, &elsewhere, cb_buf_bytes(&f->binding)));
    int64_t over = cb_clock_wall_us() + CB_SECOND + 50 * CB_MILLISECOND;
    while (cb_clock_wall_us() < over)
        cb_pause(20 * CB_MILLISECOND);
    expect(CB_E_PIN_RESET_REFUSED, mine(f));
}

static void a_suspended_card_takes_none(void **state)
{
    front *f = *state;
    const cb_id *card = &f->w->first.card;
    good(allow(f, card, 60));
    good(front_revoke(f, CB_FEED_CARD_SUSPENDED, card));
    expect(CB_E_CARD_SUSPENDED, mine(f));
    expect(CB_E_CARD_SUSPENDED, allow(f, card, 60));
    good(front_revoke(f, CB_FEED_CARD_RESUMED, card));
    good(cb_hsm_resume(f->hsm, card));
    /* The permission was not used up by that; the next test begins with none. */
    good(cb_hsm_pin_reset(f->hsm, card, &(cb_id){{1}}, 1));
}

/* The command for this card, while another lies there; then the same permission once more. */
static void one_permission_makes_one_command_for_one_card(void **state)
{
    front *f = *state;
    front_tap tap;
    cb_vcard_state other;
    cb_buf certificate = CB_BUF(CB_CVC_MAX), binding = CB_BUF(CB_BINDING_MAX);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    attack_another_card(f, &other, &certificate);
    good(cb_hsm_bind(f->hsm, cb_buf_bytes(&certificate), &f->holder, CB_LEVEL_PIN, 1, &binding));
    good(allow(f, &other.card, 60));
    good(ask(f, &f->terminal, cb_buf_bytes(&binding), &tap, &script));
    world_play(f->w->card, &script, &answers);
    expect(CB_E_PIN_RESET_REFUSED,
           cb_hsm_tap_finish(f->hsm, &tap.context.tap, cb_buf_bytes(&answers), &tap.claim));
    expect(CB_E_PIN_RESET_REFUSED, refused(f, &f->terminal, cb_buf_bytes(&binding)));
    expect(CB_E_PIN_RESET_REFUSED, mine(f));
    good(front_activate(f, plain, &tap));
    cb_buf_free(&certificate);
    cb_buf_free(&binding);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

/* In whatever workers the taps are. */
static void a_permission_is_used_once_and_opens_no_key(void **state)
{
    front *f = *state;
    front_tap tap;
    front_key key;
    cb_intent_proof proof;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    const front_wish fresh = {"tax", FRESH, CB_LEVEL_PIN, 0};
    good(front_key_make(f, &f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    good(allow(f, &f->w->first.card, 60));
    good(ask(f, &f->terminal, cb_buf_bytes(&f->binding), &tap, &script));
    for (int i = 0; i < 4; i++)
        expect(CB_E_PIN_RESET_REFUSED, mine(f));
    good(allow(f, &f->w->first.card, 60));
    cb_buf_reset(&script);
    good(ask(f, &f->terminal, cb_buf_bytes(&f->binding), &tap, &script));
    world_play(f->w->card, &script, &answers);
    good(cb_hsm_tap_finish(f->hsm, &tap.context.tap, cb_buf_bytes(&answers), &tap.claim));
    good(cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &f->feed,
                             &tap.activation));
    cb_intent intent = front_intent(&tap, &key.info.key);
    good(front_record(f, &intent, &proof));
    expect(CB_E_HSM_ACTIVATION,
           cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key.sealed), &proof));
    good(front_activate(f, fresh, &tap));
    front_key_free(&key);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

const struct CMUnitTest attack_pin_tests[] = {
    cmocka_unit_test(nobody_but_a_manager_allows_a_new_pin),
    cmocka_unit_test(a_permission_is_for_one_terminal_and_for_its_time),
    cmocka_unit_test(a_suspended_card_takes_none),
    cmocka_unit_test(one_permission_makes_one_command_for_one_card),
    cmocka_unit_test(a_permission_is_used_once_and_opens_no_key),
};
const size_t attack_pin_count = sizeof attack_pin_tests / sizeof *attack_pin_tests;
