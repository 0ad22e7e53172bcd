/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Passwords, by a front end that does what it likes.
 */
#include "attacks.h"

#include "base/clock.h"
#include "cardlink/apdu.h"
#include "cardlink/password/password.h"
#include "front.h"
#include "hsm/guesses.h"

/* Somebody who logs in with a password, of which only the key matters here. */
typedef struct somebody {
    cb_id id;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf binding;
} somebody;

static void somebody_make(front *f, const char *name, somebody *one)
{
    *one = (somebody){.id = cb_password_id(name), .binding = CB_BUF(CB_BINDING_MAX)};
    good(cb_p256_generate(one->scalar, one->point));
    good(cb_hsm_bind_password(f->hsm, &one->id, one->point, &f->holder, 1, 0, (cb_bytes){0},
                              &one->binding));
}

static void answer(cb_buf *answers, cb_bytes data)
{
    cb_buf one = CB_BUF(CB_ANSWER_MAX);
    cb_buf_put(&one, data);
    cb_buf_put_u16(&one, CB_SW_OK);
    cb_script_put(answers, 0, cb_buf_bytes(&one));
    good(cb_buf_error(&one));
    cb_buf_free(&one);
}

/* The answer to a question, with a key. */
static void prove(const somebody *one, const uint8_t scalar[CB_P256_SCALAR],
                  const cb_tap_context *context, const cb_buf *script, cb_buf *answers)
{
    cb_script read;
    cb_password_question question;
    uint8_t said[CB_PASSWORD_ANSWER];
    good(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    good(cb_password_question_get(read.item[0].apdu, &question));
    cb_digest statement = cb_password_statement(&question, context, &one->id);
    good(cb_p256_public(scalar, said));
    good(cb_p256_sign(scalar, &statement, said + CB_P256_POINT));
    cb_buf_reset(answers);
    answer(answers, CB_BYTES_OF(said));
}

/* A tap up to the activation, with this key and binding. */
static cb_error activate(front *f, const somebody *one, const uint8_t scalar[CB_P256_SCALAR],
                         cb_bytes binding, front_tap *tap)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    *tap = (front_tap){.context = {.terminal = f->terminal,
                                   .profile = CB_PROFILE_PASSWORD,
                                   .purpose = CB_TAP_AUTHENTICATE,
                                   .level = CB_LEVEL_PASSWORD,
                                   .service = "library"}};
    good(cb_hsm_tap_begin(f->hsm, CB_PROFILE_PASSWORD, &f->terminal, &tap->context.tap, &script));
    answer(&answers, (cb_bytes){0});
    answer(&answers, cb_id_bytes(&one->id));
    cb_buf_reset(&script);
    good(cb_hsm_tap_challenge(f->hsm, &tap->context, cb_buf_bytes(&answers), (cb_bytes){0},
                              (cb_bytes){0}, &script));
    prove(one, scalar, &tap->context, &script, &answers);
    good(cb_hsm_tap_finish(f->hsm, &tap->context.tap, cb_buf_bytes(&answers), &tap->claim));
    cb_error error =
        cb_hsm_tap_activate(f->hsm, &tap->context.tap, binding, &f->feed, &tap->activation);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static cb_error open_key(front *f, const front_tap *tap, const front_key *key)
{
    cb_intent_proof proof;
    cb_intent intent = front_intent(tap, &key->info.key);
    good(front_record(f, &intent, &proof));
    return cb_hsm_tap_open_key(f->hsm, &tap->context.tap, cb_buf_bytes(&key->sealed), &proof);
}

static void a_password_opens_keys_of_its_level_alone(void **state)
{
    front *f = *state;
    somebody one;
    somebody_make(f, "levels", &one);
    for (uint8_t level = CB_LEVEL_POSSESSION; level <= CB_LEVEL_PASSWORD; level++) {
        front_key key;
        front_tap tap;
        cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
        good(front_key_make(f, &f->holder, "library", CB_KEY_EC_P256, level, 1, &key));
        good(activate(f, &one, one.scalar, cb_buf_bytes(&one.binding), &tap));
        assert_int_equal(tap.activation.level, CB_LEVEL_PASSWORD);
        expect(level == CB_LEVEL_PASSWORD ? CB_OK : CB_E_TAP_LEVEL, open_key(f, &tap, &key));
        if (level == CB_LEVEL_PASSWORD)
            good(front_sign(f, &tap, &key, &receipt));
        cb_buf_free(&receipt);
        front_key_free(&key);
    }
    cb_buf_free(&one.binding);
}

static void a_card_and_a_password_do_not_stand_for_each_other(void **state)
{
    front *f = *state;
    somebody one;
    front_tap tap;
    const front_wish plain = {"library", NULL, CB_LEVEL_PASSWORD, 0};
    somebody_make(f, "stand-in", &one);
    expect(CB_E_HSM_RECORD, activate(f, &one, one.scalar, cb_buf_bytes(&f->binding), &tap));
    good(front_finish(f, plain, &tap));
    expect(CB_E_HSM_RECORD,
           cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&one.binding), &f->feed,
                               &tap.activation));
    good(front_activate(f, plain, &tap)); /* a card does for what a password does for */
    assert_int_equal(tap.activation.level, CB_LEVEL_POSSESSION);
    cb_buf_free(&one.binding);
}

/* In whatever workers the taps are. */
static void guesses_are_counted_by_hsmd(void **state)
{
    front *f = *state;
    somebody one;
    front_tap tap;
    uint8_t wrong[CB_P256_SCALAR], point[CB_P256_POINT];
    somebody_make(f, "guessed-by-hsmd", &one);
    good(cb_p256_generate(wrong, point));
    for (unsigned i = 0; i < CB_GUESSES_FREE; i++)
        expect(CB_E_PASSWORD_WRONG, activate(f, &one, wrong, cb_buf_bytes(&one.binding), &tap));
    for (unsigned i = 0; i < 4; i++)
        expect(CB_E_PASSWORD_DELAYED,
               activate(f, &one, one.scalar, cb_buf_bytes(&one.binding), &tap));
    good(cb_hsm_password_forgive(f->hsm, &one.id));
    good(activate(f, &one, one.scalar, cb_buf_bytes(&one.binding), &tap));
    expect(CB_E_PASSWORD_WRONG, activate(f, &one, one.scalar, (cb_bytes){0}, &tap));
    cb_buf_free(&one.binding);
}

/* The binding of a password that was reset is kept, and shown between guesses at the new one; the
 * feed that retires it is kept back. */
static void an_old_binding_begins_no_count_anew(void **state)
{
    front *f = *state;
    somebody old, now;
    front_tap tap;
    uint8_t wrong[CB_P256_SCALAR], point[CB_P256_POINT];
    somebody_make(f, "reset-and-guessed", &old);
    now = (somebody){.id = old.id, .binding = CB_BUF(CB_BINDING_MAX)};
    good(cb_p256_generate(now.scalar, now.point));
    good(cb_p256_generate(wrong, point));
    good(cb_hsm_bind_password(f->hsm, &now.id, now.point, &f->holder, 2, 0, cb_buf_bytes(&old.binding),
                              &now.binding));
    for (unsigned i = 0; i < CB_GUESSES_FREE; i++) {
        expect(CB_E_PASSWORD_WRONG, activate(f, &now, wrong, cb_buf_bytes(&now.binding), &tap));
        expect(CB_E_HSM_RECORD, activate(f, &old, wrong, cb_buf_bytes(&old.binding), &tap));
    }
    expect(CB_E_PASSWORD_DELAYED, activate(f, &now, wrong, cb_buf_bytes(&now.binding), &tap));
    /* Nor does the old password, of who knows it. */
    expect(CB_E_HSM_RECORD, activate(f, &old, old.scalar, cb_buf_bytes(&old.binding), &tap));
    expect(CB_E_PASSWORD_DELAYED, activate(f, &now, now.scalar, cb_buf_bytes(&now.binding), &tap));
    good(cb_hsm_password_forgive(f->hsm, &now.id));
    expect(CB_E_HSM_RECORD, activate(f, &old, old.scalar, cb_buf_bytes(&old.binding), &tap));
    good(activate(f, &now, now.scalar, cb_buf_bytes(&now.binding), &tap));
    cb_buf_free(&old.binding);
    cb_buf_free(&now.binding);
}

static void a_revoked_password_is_dead_at_once(void **state)
{
    front *f = *state;
    somebody one;
    front_key key;
    front_tap tap, late;
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    somebody_make(f, "revoked", &one);
    good(front_key_make(f, &f->holder, "library", CB_KEY_EC_P256, CB_LEVEL_PASSWORD, 2, &key));
    good(activate(f, &one, one.scalar, cb_buf_bytes(&one.binding), &tap));
    good(open_key(f, &tap, &key));
    good(front_sign(f, &tap, &key, &receipt));
    good(front_revoke(f, CB_FEED_CARD_REVOKED, &one.id));
    expect(CB_E_CARD_REVOKED, attack_sign(f, &tap, &key));
    expect(CB_E_CARD_REVOKED, activate(f, &one, one.scalar, cb_buf_bytes(&one.binding), &late));
    expect(CB_E_CARD_REVOKED, cb_hsm_bind_password(f->hsm, &one.id, one.point, &f->holder, 2, 0,
                                                   cb_buf_bytes(&one.binding), &receipt));
    cb_buf_free(&receipt);
    front_key_free(&key);
    cb_buf_free(&one.binding);
}

const struct CMUnitTest attack_password_tests[] = {
    cmocka_unit_test(a_password_opens_keys_of_its_level_alone),
    cmocka_unit_test(a_card_and_a_password_do_not_stand_for_each_other),
    cmocka_unit_test(guesses_are_counted_by_hsmd),
    cmocka_unit_test(an_old_binding_begins_no_count_anew),
    cmocka_unit_test(a_revoked_password_is_dead_at_once),
};

const size_t attack_password_count = sizeof attack_password_tests / sizeof *attack_password_tests;
