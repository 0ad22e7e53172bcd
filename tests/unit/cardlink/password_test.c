/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names, passwords, and what is made of them, on both sides.
 */
#include "cardlink/password/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/text.h"
#include "cardlink/apdu.h"
#include "cardlink/terminal/play.h"
#include "world.h"

#define good(call) assert_string_equal(cb_error_code(call), "ok")
#define expect(error, call) assert_string_equal(cb_error_code(call), cb_error_code(error))

/* RFC 9106, 5.3. */
static void argon2id_is_that_of_rfc_9106(void **state)
{
    uint8_t password[32], salt[16], secret[8], data[12], tag[32], right[32];
    (void)state;
    memset(password, 1, sizeof password);
    memset(salt, 2, sizeof salt);
    memset(secret, 3, sizeof secret);
    memset(data, 4, sizeof data);
    good(cb_unhex_exact("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659", right,
                        32));
    good(cb_argon2id((cb_argon2id_cost){.memory_kib = 32, .passes = 3, .lanes = 4},
                     CB_BYTES_OF(password), CB_BYTES_OF(salt), CB_BYTES_OF(secret),
                     CB_BYTES_OF(data), tag, sizeof tag));
    assert_memory_equal(tag, right, sizeof tag);
    expect(CB_E_CRYPTO, cb_argon2id((cb_argon2id_cost){.memory_kib = 1, .passes = 3, .lanes = 4},
                                    CB_BYTES_OF(password), CB_BYTES_OF(salt), (cb_bytes){0},
                                    (cb_bytes){0}, tag, sizeof tag));
}

static void names_have_one_form(void **state)
{
    char out[CB_PASSWORD_NAME_MAX + 1], again[CB_PASSWORD_NAME_MAX + 1];
    char longest[CB_PASSWORD_NAME_MAX + 2];
    static const char *const bad[] = {"",       ".hana",    "@a",          "hana k",
                                      "hana\n", "hana\x7F", "h\xC3\xA4na", "hana/..",
                                      "-x",     "a\tb",     "a:b",         "a%"};
    (void)state;
    good(cb_password_name("Hana.K+7_x-Y@Example.JP", out));
    assert_string_equal(out, "hana.k+7_x-y@example.jp");
    good(cb_password_name(out, again));
    assert_string_equal(out, again);
    cb_id one = cb_password_id(out);
    good(cb_password_name("hana", out));
    cb_id other = cb_password_id(out);
    assert_false(cb_id_same(&one, &other));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(CB_E_ARGUMENT, cb_password_name(bad[i], out));
    memset(longest, 'a', sizeof longest);
    longest[CB_PASSWORD_NAME_MAX + 1] = 0;
    expect(CB_E_ARGUMENT, cb_password_name(longest, out));
    longest[CB_PASSWORD_NAME_MAX] = 0;
    good(cb_password_name(longest, out));
}

static void what_is_guessed_first_may_not_be_chosen(void **state)
{
    static const char *const bad[] = {"",
                                      "fourteen chars",
                                      "aaaaaaaaaaaaaaaaaaaa",
                                      "passwordpassword",
                                      "passwordpasswor",
                                      "abcabcabcabcabcabc",
                                      "12345678901234567890",
                                      "09876543210987654321",
                                      "abcdefghijklmnopqrstuvwxyz",
                                      "hana.kimurahana.kimura",
                                      "hana1990kimura1990",
                                      "kimura-cardbroker-1",
                                      "password12345678",
                                      "Password!2024Summer",
                                      "qwertyuiopasdfgh1!",
                                      "iloveyouiloveyou1",
                                      "monkey dragon master",
                                      "a line\nand another",
                                      "\xE2\x80\xAEturned about the words",
                                      "not UTF-8 at all: \xFF\xFE"};
    static const char *const fit[] = {
        "correct horse battery", "fifteen chars !",
        "\xE3\x81\x82\xE3\x82\x8A\xE3\x81\x8C\xE3\x81\xA8\xE3\x81\x86"
        "\xE3\x81\x94\xE3\x81\x96\xE3\x81\x84\xE3\x81\xBE\xE3\x81\x99"
        "\xE3\x81\xAD\xE3\x81\x88\xE3\x81\x82\xE3\x81\xAE\xE3\x81\xAD"};
    char longest[CB_PASSWORD_MAX + 2] = "";
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(CB_E_PASSWORD_FORMAT, cb_password_fit(cb_bytes_str(bad[i]), "hana.kimura"));
    expect(CB_E_PASSWORD_FORMAT,
           cb_password_fit(cb_bytes_str("hana.kimura@example.jp"), "hana.kimura@example.jp"));
    for (size_t i = 0; i < sizeof fit / sizeof *fit; i++)
        good(cb_password_fit(cb_bytes_str(fit[i]), "hana.kimura"));
    for (size_t i = 0; i <= CB_PASSWORD_MAX; i++)
        longest[i] = (char)('a' + i * i % 23 + (i > 200));
    expect(CB_E_PASSWORD_FORMAT, cb_password_fit(cb_bytes_str(longest), "x"));
    longest[CB_PASSWORD_MAX] = 0;
    good(cb_password_fit(cb_bytes_str(longest), "x"));
    expect(CB_E_PASSWORD_FORMAT, cb_password_fit(cb_bytes_make("fifteen\0and more", 16), "x"));
}

static void a_key_hangs_on_password_salt_and_name(void **state)
{
    uint8_t salt[2][CB_PASSWORD_SALT] = {{1}, {2}}, key[5][CB_P256_SCALAR];
    const cb_id id[2] = {cb_password_id("hana"), cb_password_id("taro")};
    cb_bytes password[2] = {cb_bytes_str("correct horse battery"),
                            cb_bytes_str("correct horse batterz")};
    (void)state;
    good(cb_password_key(password[0], salt[0], &id[0], key[0]));
    good(cb_password_key(password[0], salt[0], &id[0], key[1]));
    assert_memory_equal(key[0], key[1], sizeof key[0]);
    good(cb_password_key(password[1], salt[0], &id[0], key[1]));
    good(cb_password_key(password[0], salt[1], &id[0], key[2]));
    good(cb_password_key(password[0], salt[0], &id[1], key[3]));
    for (size_t i = 1; i <= 3; i++)
        assert_memory_not_equal(key[0], key[i], sizeof key[0]);
}

static void questions_are_read_as_they_were_written(void **state)
{
    cb_password_question question = {.salt = {1},
                                     .terminal = {{2}},
                                     .level = CB_LEVEL_PASSWORD,
                                     .broker = {{3}},
                                     .nonce = {4}},
                         read;
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    (void)state;
    cb_password_question_put(&command, &question);
    good(cb_buf_error(&command));
    good(cb_password_question_get(cb_buf_bytes(&command), &read));
    assert_memory_equal(&read, &question, sizeof read);
    for (size_t len = 0; len < command.len; len++)
        expect(CB_E_FORMAT, cb_password_question_get(cb_bytes_make(command.data, len), &read));
    for (size_t i = 0; i < 5; i++) {
        command.data[i] ^= 0x10;
        expect(CB_E_FORMAT, cb_password_question_get(cb_buf_bytes(&command), &read));
        command.data[i] ^= 0x10;
    }
    cb_buf_free(&command);
}

/* ---- Both sides ---- */

static cb_error salt(void *keys, const cb_id *password, uint8_t out[CB_PASSWORD_SALT])
{
    (void)keys;
    memcpy(out, password->bytes, CB_PASSWORD_SALT);
    return CB_OK;
}

typedef struct tap {
    cb_profile_host host;
    cb_tap_context context;
    cb_soft_password soft;
    uint8_t state[256];
    cb_buf script, answers;
    cb_card_claim claim;
} tap;

static void tap_make(tap *t)
{
    static const uint8_t certificate[] = {1, 2, 3};
    *t = (tap){.script = CB_BUF(CB_SCRIPT_BYTES_MAX), .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    t->host = (cb_profile_host){.signer_certificate = CB_BYTES_OF(certificate), .salt = salt};
    t->context = (cb_tap_context){.tap = {{1}},
                                  .terminal = {{2}},
                                  .profile = CB_PROFILE_PASSWORD,
                                  .purpose = CB_TAP_AUTHENTICATE,
                                  .level = CB_LEVEL_PASSWORD,
                                  .service = "library"};
    t->soft = (cb_soft_password){.id = cb_password_id("hana"),
                                 .password = cb_bytes_str("correct horse battery"),
                                 .context = t->context};
    assert_true(cb_profile_password.state_size <= sizeof t->state);
}

static void tap_free(tap *t)
{
    cb_profile_password.end(t->state);
    cb_buf_free(&t->script);
    cb_buf_free(&t->answers);
}

static void play(tap *t)
{
    cb_script script;
    const cb_card_io io = {.card = &t->soft, .transmit = cb_soft_password_transmit};
    cb_buf_reset(&t->answers);
    good(cb_script_read(cb_buf_bytes(&t->script), CB_COMMAND_MAX, &script));
    good(cb_play(&io, &script, &t->answers));
    cb_buf_reset(&t->script);
}

static cb_error challenge(tap *t)
{
    cb_script answers;
    good(cb_script_read(cb_buf_bytes(&t->answers), CB_ANSWER_MAX, &answers));
    return cb_profile_password.challenge(t->state, &t->host, &answers, &t->context, NULL,
                                         (cb_bytes){0}, &t->script);
}

static cb_error finish(tap *t)
{
    cb_script answers;
    good(cb_script_read(cb_buf_bytes(&t->answers), CB_ANSWER_MAX, &answers));
    return cb_profile_password.finish(t->state, &t->host, &answers, &t->claim);
}

static void begin(tap *t)
{
    good(cb_profile_password.begin(t->state, &t->host, &t->script));
    play(t);
}

static bool proven(const tap *t)
{
    const cb_card_keys keys = {.count = 1, .key = {cb_card_key_of_point(t->claim.shown)}};
    return cb_profile_verify(&t->claim, &keys);
}

static void what_is_signed_is_what_was_asked_for(void **state)
{
    tap t;
    (void)state;
    tap_make(&t);
    begin(&t);
    good(challenge(&t));
    play(&t);
    good(finish(&t));
    assert_true(cb_id_same(&t.claim.card, &t.soft.id));
    assert_true(proven(&t));
    assert_int_equal(t.claim.pin, CB_PIN_NOT_PRESENTED);
    assert_int_equal(cb_profile_level(&cb_profile_password, false), CB_LEVEL_PASSWORD);
    assert_int_equal(cb_profile_level(&cb_profile_password, true), CB_LEVEL_PASSWORD);
    tap_free(&t);
}

/* A front end that was taken over tells hsmd of another service than the terminal asked for. */
static void a_terminal_signs_for_no_other_service_or_text_or_tap(void **state)
{
    tap t;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        tap_make(&t);
        if (i == 0)
            strcpy(t.context.service, "tax");
        else if (i == 1)
            t.context.text.bytes[0] = 1;
        else
            t.context.tap.bytes[1] = 1;
        begin(&t);
        good(challenge(&t));
        play(&t);
        good(finish(&t));
        assert_false(proven(&t));
        tap_free(&t);
    }
}

static void nothing_above_its_level_is_asked_of_a_password(void **state)
{
    static const uint8_t above[] = {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN, CB_LEVEL_PIN, 99};
    tap t;
    (void)state;
    for (size_t i = 0; i < sizeof above; i++) {
        tap_make(&t);
        t.context.level = above[i];
        begin(&t);
        expect(CB_E_TAP_LEVEL, challenge(&t));
        assert_int_equal(t.script.len, 0);
        tap_free(&t);
    }
}

static void steps_come_in_their_order_and_for_a_login_alone(void **state)
{
    tap t;
    (void)state;
    tap_make(&t);
    expect(CB_E_TAP_ORDER, challenge(&t));
    expect(CB_E_TAP_ORDER, finish(&t));
    begin(&t);
    expect(CB_E_TAP_ORDER, cb_profile_password.begin(t.state, &t.host, &t.script));
    t.context.purpose = CB_TAP_PIN_CHANGE;
    expect(CB_E_ARGUMENT, challenge(&t));
    expect(CB_E_TAP_ORDER, finish(&t));
    tap_free(&t);
}

static void answers_of_another_form_are_refused(void **state)
{
    tap t;
    (void)state;
    for (size_t cut = 0; cut < 3; cut++) {
        tap_make(&t);
        begin(&t);
        good(challenge(&t));
        play(&t);
        /* One item: a count, flags, length, data, status. */
        cb_buf_reset(&t.answers);
        cb_buf data = CB_BUF(CB_ANSWER_MAX);
        for (size_t i = 0; i < (cut == 0 ? 128 : cut == 1 ? 130 : 0); i++)
            cb_buf_put_u8(&data, 4);
        cb_buf_put_u16(&data, CB_SW_OK);
        cb_script_put(&t.answers, 0, cb_buf_bytes(&data));
        expect(CB_E_CARD_ANSWER, finish(&t));
        assert_true(cb_id_is_zero(&t.claim.card));
        cb_buf_free(&data);
        tap_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(argon2id_is_that_of_rfc_9106),
        cmocka_unit_test(names_have_one_form),
        cmocka_unit_test(what_is_guessed_first_may_not_be_chosen),
        cmocka_unit_test(a_key_hangs_on_password_salt_and_name),
        cmocka_unit_test(questions_are_read_as_they_were_written),
        cmocka_unit_test(what_is_signed_is_what_was_asked_for),
        cmocka_unit_test(a_terminal_signs_for_no_other_service_or_text_or_tap),
        cmocka_unit_test(nothing_above_its_level_is_asked_of_a_password),
        cmocka_unit_test(steps_come_in_their_order_and_for_a_login_alone),
        cmocka_unit_test(answers_of_another_form_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
