/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Known answers of SCP11a (an independent implementation accepted them). Private scalars are one
 * byte, 32 times.
 */
#include "cardlink/native/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"

static const char command_hex[] =
    "a60d9002110195013c8001888101105f4941"
    "040217e617f0b6443928278f96999e69a23a4f2c152bdf6d6cdf66e5b80282d4ed19"
    "4a7debcb97712d2dda3ca85aa8765a56f45fc758599652f2897c65306e5794";

static void repeat(uint8_t byte, uint8_t scalar[CB_P256_SCALAR], uint8_t point[CB_P256_POINT])
{
    memset(scalar, byte, CB_P256_SCALAR);
    assert_int_equal(cb_p256_public(scalar, point), CB_OK);
}

static void known_answers(void **state)
{
    static const char *const keys[] = {"cfdbd4719b393802ca3d80df6786550c",
                                       "0579824c8c03a7d0972ab247061e1b98",
                                       "4e0d5c1bd61975ce46446007ee26c3fc"};
    uint8_t oce_e[32], oce[32], sd_e[32], sd[32];
    uint8_t oce_e_point[65], oce_point[65], sd_e_point[65], sd_point[65];
    uint8_t data[CB_CHANNEL_DATA], expected[CB_CHANNEL_DATA], ephemeral[32], fixed[32];
    uint8_t receipt[16], expected_receipt[16], key[3][16];
    cb_sm sm;
    (void)state;
    repeat(0x11, oce_e, oce_e_point);
    repeat(0x22, oce, oce_point);
    repeat(0x33, sd_e, sd_e_point);
    repeat(0x44, sd, sd_point);
    cb_channel_data_make(oce_e_point, data);
    assert_int_equal(cb_unhex_exact(command_hex, expected, sizeof expected), CB_OK);
    assert_memory_equal(data, expected, sizeof data);
    assert_int_equal(cb_p256_agree(sd_e, CB_BYTES_OF(oce_e_point), ephemeral), CB_OK);
    assert_int_equal(cb_p256_agree(oce, CB_BYTES_OF(sd_point), fixed), CB_OK);
    assert_int_equal(cb_channel_open(ephemeral, fixed, data, sd_e_point, &sm, receipt), CB_OK);
    cb_unhex_exact("3678cbed74d6757060c3a3e445963f45", expected_receipt, 16);
    assert_memory_equal(receipt, expected_receipt, 16);
    for (size_t i = 0; i < 3; i++)
        cb_unhex_exact(keys[i], key[i], 16);
    assert_memory_equal(sm.enc, key[0], 16);
    assert_memory_equal(sm.mac, key[1], 16);
    assert_memory_equal(sm.rmac, key[2], 16);
    assert_memory_equal(sm.chain, receipt, 16);
    assert_int_equal(sm.counter, 1);
}

static void no_other_parameter_is_taken(void **state)
{
    uint8_t data[CB_CHANNEL_DATA], point[CB_P256_POINT];
    (void)state;
    assert_int_equal(cb_unhex_exact(command_hex, data, sizeof data), CB_OK);
    assert_int_equal(cb_channel_data_read(CB_BYTES_OF(data), point), CB_OK);
    for (size_t i = 0; i < sizeof data; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            data[i] ^= (uint8_t)(1u << bit);
            assert_int_equal(cb_channel_data_read(CB_BYTES_OF(data), point), CB_E_FORMAT);
            data[i] ^= (uint8_t)(1u << bit);
        }
    }
    for (size_t len = 0; len < sizeof data; len++)
        assert_int_equal(cb_channel_data_read(cb_bytes_make(data, len), point), CB_E_FORMAT);
}

static void the_transcript_depends_on_every_fact(void **state)
{
    uint8_t a[CB_P256_POINT] = {1}, b[CB_P256_POINT] = {2}, receipt[16] = {3}, other[16] = {4};
    const cb_bytes x = cb_bytes_str("x"), y = cb_bytes_str("y"), xy = cb_bytes_str("xy");
    const cb_channel_facts facts[] = {{0x20, 1, x, y, a, b, receipt},
                                      {0x21, 1, x, y, a, b, receipt},
                                      {0x20, 2, x, y, a, b, receipt},
                                      {0x20, 1, y, y, a, b, receipt},
                                      {0x20, 1, x, x, a, b, receipt},
                                      {0x20, 1, x, y, b, b, receipt},
                                      {0x20, 1, x, y, a, a, receipt},
                                      {0x20, 1, x, y, a, b, other},
                                      {0x20, 1, xy, (cb_bytes){0}, a, b, receipt},
                                      {0x20, 1, (cb_bytes){0}, xy, a, b, receipt}};
    const size_t count = sizeof facts / sizeof facts[0];
    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            cb_digest one = cb_channel_transcript(&facts[i]),
                      two = cb_channel_transcript(&facts[j]);
            assert_memory_not_equal(one.bytes, two.bytes, sizeof one.bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(no_other_parameter_is_taken),
        cmocka_unit_test(the_transcript_depends_on_every_fact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
