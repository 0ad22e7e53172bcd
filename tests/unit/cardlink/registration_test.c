/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a registration code says of a card. The known answers were made by another program, from the
 * words of registration.h and the curve's equation (SP 800-186, 3.2.1.3).
 */
#include "cardlink/registration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"

static const char symbols[CB_CODE_SYMBOLS] = "7ZD0F3KX8M0QG2AWN5BJ";
static const cb_id tap = {{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}};

static cb_foreign_reading reading(void)
{
    return (cb_foreign_reading){.profile = 2,
                                .answers = cb_bytes_str("answers"),
                                .keys = 2,
                                .key = {{0x9A, cb_bytes_str("one")}, {0x9E, cb_bytes_str("two")}}};
}

static void is_hex(cb_bytes bytes, const char *right)
{
    char text[256];
    assert_true(2 * bytes.len < sizeof text);
    cb_hex(bytes, text);
    assert_string_equal(text, right);
}

static void known_answers(void **state)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_foreign_reading of = reading();
    (void)state;
    assert_int_equal(cb_registration_key(symbols, scalar, point), CB_OK);
    is_hex(CB_BYTES_OF(scalar), "0bd2a956357737cf5a187071f57dd5fa51ba9588caba6a0677c54ade67eb5517");
    is_hex(
        CB_BYTES_OF(point),
        "04ed703e0c95faacf17af2855028a4e9b46c3be5eb690ef5a0dbce37429c53c9b2934a38e1b355e015e1eadfaa"
        "72254735e5b06d94d3fb6e793c14a1a4d4d9fd68");
    cb_id code = cb_registration_id(point);
    is_hex(cb_id_bytes(&code), "4bddbfd0601787eca79a8b88339df3a4");
    cb_digest statement = cb_registration_statement(&code, &tap, &of);
    is_hex(cb_digest_bytes(&statement),
           "667da0135e8fdfeb10eb8ff93964d7c6ad3d69cf7e7669fb1d4c437447e60eab");
}

static void what_is_said_is_signed_by_the_codes_key(void **state)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_registration_word word;
    cb_foreign_reading of = reading();
    (void)state;
    assert_int_equal(cb_registration_key(symbols, scalar, point), CB_OK);
    assert_int_equal(cb_registration_say(symbols, &tap, &of, &word), CB_OK);
    assert_memory_equal(word.point, point, sizeof point);
    cb_id code = cb_registration_id(point);
    cb_digest statement = cb_registration_statement(&code, &tap, &of);
    assert_true(cb_p256_verify(CB_BYTES_OF(point), &statement, CB_BYTES_OF(word.signature)));
}

static void every_part_of_the_statement_counts(void **state)
{
    cb_id code = {{1}}, other = {{2}};
    cb_foreign_reading changed[7];
    cb_foreign_reading of = reading();
    cb_digest right = cb_registration_statement(&code, &tap, &of), now;
    (void)state;
    for (size_t i = 0; i < 7; i++)
        changed[i] = reading();
    changed[0].profile = 3;
    changed[1].answers = cb_bytes_str("answerS");
    changed[2].keys = 1;
    changed[3].key[0].use = 0x9E;
    changed[4].key[1].certificate = cb_bytes_str("twO");
    changed[5].key[0] = of.key[1]; /* the same two, */
    changed[5].key[1] = of.key[0]; /* in another order */
    changed[6].keys = 3;           /* and an empty one */
    for (size_t i = 0; i < 7; i++) {
        now = cb_registration_statement(&code, &tap, &changed[i]);
        assert_memory_not_equal(&now, &right, sizeof now);
    }
    now = cb_registration_statement(&other, &tap, &of);
    assert_memory_not_equal(&now, &right, sizeof now);
    now = cb_registration_statement(&code, &other, &of);
    assert_memory_not_equal(&now, &right, sizeof now);
}

static void another_symbol_is_another_key(void **state)
{
    uint8_t scalar[CB_P256_SCALAR], one[CB_P256_POINT], point[CB_P256_POINT];
    char changed[CB_CODE_SYMBOLS];
    (void)state;
    assert_int_equal(cb_registration_key(symbols, scalar, one), CB_OK);
    for (size_t i = 0; i < CB_CODE_SYMBOLS; i++) {
        memcpy(changed, symbols, sizeof changed);
        changed[i] = changed[i] == '0' ? '1' : '0';
        assert_int_equal(cb_registration_key(changed, scalar, point), CB_OK);
        assert_memory_not_equal(point, one, sizeof one);
    }
}

static void private_keys_are_within_the_order(void **state)
{
    static const uint8_t n[CB_P256_SCALAR] = {0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00,
                                              0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                              0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84,
                                              0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51};
    uint8_t scalar[CB_P256_SCALAR] = {0};
    (void)state;
    assert_false(cb_p256_is_private(scalar));
    scalar[CB_P256_SCALAR - 1] = 1;
    assert_true(cb_p256_is_private(scalar));
    assert_false(cb_p256_is_private(n));
    memcpy(scalar, n, sizeof n);
    scalar[CB_P256_SCALAR - 1]--;
    assert_true(cb_p256_is_private(scalar));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(what_is_said_is_signed_by_the_codes_key),
        cmocka_unit_test(every_part_of_the_statement_counts),
        cmocka_unit_test(another_symbol_is_another_key),
        cmocka_unit_test(private_keys_are_within_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
