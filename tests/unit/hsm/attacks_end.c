/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The command that ends a card, for who has taken over the front end: hsmd makes it for cards that it
 * knows to be revoked, and each card carries out its own only.
 */
#include "attacks.h"

static const front_wish plain = {"tax", NULL, CB_LEVEL_POSSESSION, 0};

/* A tap that is to end the card of this binding, played to the card that lies there up to the
 * challenge; script is what hsmd made. */
static cb_error ask_to_end(front *f, cb_bytes binding, front_tap *tap, cb_buf *script)
{
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = front_begin(f, tap, script);
    if (!error) {
        tap->context.purpose = CB_TAP_CARD_END;
        world_play(f->w->card, script, &answers);
        cb_buf_reset(script);
        error = cb_hsm_tap_challenge(f->hsm, &tap->context, cb_buf_bytes(&answers), (cb_bytes){0},
                                     binding, script);
    }
    cb_buf_free(&answers);
    return error;
}

static cb_error refused(front *f, cb_bytes binding)
{
    front_tap tap;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = ask_to_end(f, binding, &tap, &script);
    assert_int_equal(error ? script.len : 0, 0);
    cb_buf_free(&script);
    return error;
}

static void is_unharmed(front *f)
{
    front_tap tap;
    assert_int_equal(cb_vcard_state_of(f->w->card)->life_cycle, CB_LIFE_ACTIVE);
    good(front_activate(f, plain, &tap));
}

static void a_good_card_is_not_ended(void **state)
{
    front *f = *state;
    cb_buf edited = CB_BUF(CB_BINDING_MAX);
    const cb_id *card = &f->w->first.card;
    expect(CB_E_ARGUMENT, refused(f, (cb_bytes){0}));
    expect(CB_E_STATE, refused(f, cb_buf_bytes(&f->binding)));
    for (size_t i = 0; i < f->binding.len; i += 7) {
        cb_buf_reset(&edited);
        cb_buf_put(&edited, cb_buf_bytes(&f->binding));
        edited.data[i] ^= 1;
        assert_int_not_equal(refused(f, cb_buf_bytes(&edited)), CB_OK);
    }
    /* One that is suspended may come back. */
    good(front_revoke(f, CB_FEED_CARD_SUSPENDED, card));
    expect(CB_E_STATE, refused(f, cb_buf_bytes(&f->binding)));
    good(front_revoke(f, CB_FEED_CARD_RESUMED, card));
    good(cb_hsm_resume(f->hsm, card));
    /* Whatever else of it was revoked. */
    cb_id other = cb_id_new();
    good(front_revoke(f, CB_FEED_TERMINAL_REVOKED, &other));
    good(front_revoke(f, CB_FEED_CARD_REVOKED, &other));
    expect(CB_E_STATE, refused(f, cb_buf_bytes(&f->binding)));
    is_unharmed(f);
    cb_buf_free(&edited);
}

/* A revoked card's command, while a good card lies there. */
static void the_command_for_a_revoked_card_does_nothing_to_another(void **state)
{
    front *f = *state;
    front_tap tap;
    cb_vcard_state lost;
    cb_buf certificate = CB_BUF(CB_CVC_MAX), binding = CB_BUF(CB_BINDING_MAX);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    attack_another_card(f, &lost, &certificate);
    good(cb_hsm_bind(f->hsm, cb_buf_bytes(&certificate), &f->holder, CB_LEVEL_PIN, 1, &binding));
    good(front_revoke(f, CB_FEED_CARD_REVOKED, &lost.card));
    good(ask_to_end(f, cb_buf_bytes(&binding), &tap, &script));
    world_play(f->w->card, &script, &answers);
    expect(CB_E_CARD_STATUS,
           cb_hsm_tap_finish(f->hsm, &tap.context.tap, cb_buf_bytes(&answers), &tap.claim));
    is_unharmed(f);
    /* Nor is an ordinary proof one of having ended. */
    good(front_finish(f, plain, &tap));
    expect(CB_E_HSM_RECORD, cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&binding),
                                                &f->feed, &tap.activation));
    cb_buf_free(&certificate);
    cb_buf_free(&binding);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

/* After the test in which the front's own card was revoked. */
static void a_revoked_card_ends_and_proves_it_and_opens_nothing(void **state)
{
    front *f = *state;
    front_tap tap;
    front_key key;
    cb_intent_proof proof;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(front_key_make(f, &f->holder, "tax", CB_KEY_EC_P256, CB_LEVEL_POSSESSION, 1, &key));
    /* Its batch may long be over; and it does not learn that in this tap, but ends. */
    world_redate(f->w, (cb_issue_days){0x20200101, 0x20211231}, 0x20211231);
    good(ask_to_end(f, cb_buf_bytes(&f->binding), &tap, &script));
    world_play(f->w->card, &script, &answers);
    assert_int_equal(cb_vcard_state_of(f->w->card)->life_cycle, CB_LIFE_TERMINATED);
    good(cb_hsm_tap_finish(f->hsm, &tap.context.tap, cb_buf_bytes(&answers), &tap.claim));
    good(cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &f->feed,
                             &tap.activation));
    assert_true(cb_id_same(&tap.activation.card, &f->w->first.card));
    cb_intent intent = front_intent(&tap, &key.info.key);
    good(front_record(f, &intent, &proof));
    expect(CB_E_HSM_ACTIVATION,
           cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key.sealed), &proof));
    expect(CB_E_CARD_BLOCKED, front_activate(f, plain, &tap));
    front_key_free(&key);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

const struct CMUnitTest attack_end_tests[] = {
    cmocka_unit_test(a_good_card_is_not_ended),
    cmocka_unit_test(the_command_for_a_revoked_card_does_nothing_to_another),
};
const size_t attack_end_count = sizeof attack_end_tests / sizeof *attack_end_tests;

const struct CMUnitTest attack_end_last =
    cmocka_unit_test(a_revoked_card_ends_and_proves_it_and_opens_nothing);
