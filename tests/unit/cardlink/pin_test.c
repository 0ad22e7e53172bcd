/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/native/pin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/secret.h"

static uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];

static int setup(void **state)
{
    (void)state;
    return cb_p256_generate(scalar, point);
}

static cb_error encrypt(cb_pin_form form, const char *secret, const char *fresh, cb_buf *out)
{
    cb_buf_reset(out);
    return cb_pin_encrypt(form, cb_bytes_str(secret), cb_bytes_str(fresh), point, out);
}

static void only_digits_of_the_right_number_are_taken(void **state)
{
    static const char *const bad[] = {"",     "123",      "1234567890123", "12 4",
                                      "12a4", "１２３４", "-123"};
    cb_buf out = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(cb_pin_ok(cb_bytes_str(bad[i])));
        assert_int_equal(encrypt(CB_PIN_FORM_VERIFY, bad[i], NULL, &out), CB_E_PIN_FORMAT);
        assert_int_equal(encrypt(CB_PIN_FORM_CHANGE, "1234", bad[i], &out), CB_E_PIN_FORMAT);
        assert_int_equal(encrypt(CB_PIN_FORM_UNBLOCK, "12345678", bad[i], &out), CB_E_PIN_FORMAT);
    }
    assert_int_equal(encrypt(CB_PIN_FORM_VERIFY, "1234", "1234", &out), CB_E_PIN_FORMAT);
    assert_int_equal(encrypt(CB_PIN_FORM_UNBLOCK, "1234567", "1234", &out), CB_E_PIN_FORMAT);
    assert_int_equal(encrypt(CB_PIN_FORM_UNBLOCK, "123456789", "1234", &out), CB_E_PIN_FORMAT);
    assert_int_equal(encrypt(CB_PIN_FORM_NONE, "1234", NULL, &out), CB_E_PIN_FORMAT);
    assert_int_equal(out.len, 0);
    cb_buf_free(&out);
}

static void the_length_tells_nothing(void **state)
{
    cb_buf out = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    (void)state;
    assert_int_equal(encrypt(CB_PIN_FORM_VERIFY, "1234", NULL, &out), CB_OK);
    assert_int_equal(out.len, CB_PIN_CIPHERTEXT);
    assert_int_equal(encrypt(CB_PIN_FORM_CHANGE, "123456789012", "123456789012", &out), CB_OK);
    assert_int_equal(out.len, CB_PIN_CIPHERTEXT);
    assert_int_equal(encrypt(CB_PIN_FORM_UNBLOCK, "12345678", "1234", &out), CB_OK);
    assert_int_equal(out.len, CB_PIN_CIPHERTEXT);
    cb_buf_free(&out);
}

static void the_card_reads_what_was_typed(void **state)
{
    cb_buf out = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_pin_block block;
    (void)state;
    assert_int_equal(encrypt(CB_PIN_FORM_CHANGE, "1234", "567890", &out), CB_OK);
    assert_int_equal(cb_pin_decrypt(cb_buf_bytes(&out), scalar, point, &block), CB_OK);
    assert_int_equal(block.form, CB_PIN_FORM_CHANGE);
    assert_memory_equal(block.secret, "1234\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", CB_PIN_MAX);
    assert_memory_equal(block.fresh, "567890\xFF\xFF\xFF\xFF\xFF\xFF", CB_PIN_MAX);
    cb_buf_free(&out);
}

static void any_change_and_any_other_key_is_noticed(void **state)
{
    uint8_t other_scalar[CB_P256_SCALAR], other_point[CB_P256_POINT];
    cb_buf out = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_pin_block block;
    (void)state;
    cb_p256_generate(other_scalar, other_point);
    assert_int_equal(encrypt(CB_PIN_FORM_VERIFY, "1234", NULL, &out), CB_OK);
    assert_int_equal(cb_pin_decrypt(cb_buf_bytes(&out), other_scalar, other_point, &block),
                     CB_E_CARD_ANSWER);
    assert_int_equal(cb_pin_decrypt(cb_buf_bytes(&out), scalar, other_point, &block),
                     CB_E_CARD_ANSWER);
    for (size_t i = 0; i < out.len; i++) {
        out.data[i] ^= 1;
        assert_int_equal(cb_pin_decrypt(cb_buf_bytes(&out), scalar, point, &block),
                         CB_E_CARD_ANSWER);
        out.data[i] ^= 1;
        assert_int_equal(cb_pin_decrypt(cb_bytes_make(out.data, i), scalar, point, &block),
                         CB_E_CARD_ANSWER);
    }
    assert_int_equal(cb_pin_decrypt(cb_buf_bytes(&out), scalar, point, &block), CB_OK);
    cb_buf_free(&out);
}

static void the_cards_key_is_found_in_its_answer(void **state)
{
    uint8_t found[CB_P256_POINT];
    cb_buf answer = CB_BUF(256);
    cb_script answers = {.count = 1};
    (void)state;
    cb_buf_put(&answer, CB_BYTES_OF(((uint8_t[]){0x5F, 0x49, 0x41})));
    cb_buf_put(&answer, CB_BYTES_OF(point));
    cb_buf_put(&answer, CB_BYTES_OF(((uint8_t[]){0x86, 0x10, 0,  1,  2,  3,  4,  5,  6,    7,
                                                 8,    9,    10, 11, 12, 13, 14, 15, 0x90, 0x00})));
    answers.item[0].apdu = cb_buf_bytes(&answer);
    assert_int_equal(cb_pin_card_key(&answers, found), CB_OK);
    assert_memory_equal(found, point, sizeof point);
    answer.data[10] ^= 1; /* no longer on the curve */
    assert_int_equal(cb_pin_card_key(&answers, found), CB_E_CARD_ANSWER);
    answer.data[10] ^= 1;
    answer.data[answer.len - 2] = 0x6A;
    assert_int_equal(cb_pin_card_key(&answers, found), CB_E_CARD_ANSWER);
    answers.count = 0;
    assert_int_equal(cb_pin_card_key(&answers, found), CB_E_CARD_ANSWER);
    cb_buf_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_digits_of_the_right_number_are_taken),
        cmocka_unit_test(the_length_tells_nothing),
        cmocka_unit_test(the_card_reads_what_was_typed),
        cmocka_unit_test(any_change_and_any_other_key_is_noticed),
        cmocka_unit_test(the_cards_key_is_found_in_its_answer),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
