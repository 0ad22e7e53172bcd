/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The virtual PIV card: what its keys do, for whom, and what they do not (NIST SP 800-73-4, part 2,
 * 3.2.4).
 */
#include "vpiv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/crypto.h"
#include "cardlink/card_key.h"

static const uint8_t usual[CB_VPIV_SLOTS] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_EC_P256,
                                             CB_VCARD_EC_P256};
static const uint8_t digest[48] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

static int setup(void **state)
{
    vpiv_card *p = calloc(1, sizeof *p);
    vpiv_card_make(p, usual, CB_VPIV_3DES);
    *state = p;
    return vpiv_select(p->card) == CB_SW_OK ? 0 : -1;
}

static int setup_rsa(void **state)
{
    static const uint8_t rsa[CB_VPIV_SLOTS] = {CB_VCARD_RSA_2048, 0, CB_VCARD_RSA_2048, 0};
    vpiv_card *p = calloc(1, sizeof *p);
    vpiv_card_make(p, rsa, CB_VPIV_AES_128);
    *state = p;
    return vpiv_select(p->card) == CB_SW_OK ? 0 : -1;
}

static int teardown(void **state)
{
    vpiv_card_free(*state);
    free(*state);
    return 0;
}

#define BYTES(text) cb_bytes_make(text, sizeof(text) - 1)

static const cb_vpiv_state *now(const vpiv_card *p)
{
    return &((cb_vpiv_application *)cb_vcard_applet(p->card, &cb_applet_piv))->state;
}

static bool verifies(const vpiv_card *p, int slot, cb_bytes message, cb_bytes der)
{
    cb_buf spki = CB_BUF(CB_VCARD_SPKI_MAX);
    cb_card_key key;
    cb_card_signature signature = {.digest_len = message.len};
    size_t half = message.len;
    assert_int_equal(cb_vcard_key_spki(&now(p)->key[slot], &spki), CB_OK);
    assert_int_equal(cb_card_key_of_spki(cb_buf_bytes(&spki), &key), CB_OK);
    memcpy(signature.digest, message.data, message.len);
    assert_int_equal(cb_ecdsa_from_der(der, signature.bytes, half), CB_OK);
    signature.len = 2 * half;
    cb_buf_free(&spki);
    return cb_card_key_verify(&key, &signature);
}

static void the_authentication_key_wants_the_pin_once(void **state)
{
    vpiv_card *p = *state;
    cb_bytes message = cb_bytes_make(digest, 32);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9A, message, NULL), CB_SW_SECURITY);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    for (int i = 0; i < 2; i++) {
        cb_buf signature = CB_BUF(128);
        assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9A, message, &signature), CB_SW_OK);
        assert_true(verifies(p, 0, message, cb_buf_bytes(&signature)));
        cb_buf_free(&signature);
        assert_int_equal(vpiv_select(p->card), CB_SW_OK); /* which changes nothing */
    }
    assert_int_equal(vpiv_verify(p->card, "000000"), 0x63C2);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9A, message, NULL), CB_SW_SECURITY);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    cb_vcard_reset(p->card);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9A, message, NULL), CB_SW_SECURITY);
}

static void the_signature_key_wants_the_pin_each_time(void **state)
{
    vpiv_card *p = *state;
    cb_buf signature = CB_BUF(256);
    cb_bytes message = CB_BYTES_OF(digest);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P384, 0x9C, message, NULL), CB_SW_SECURITY);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P384, 0x9C, message, &signature), CB_SW_OK);
    assert_true(verifies(p, 1, message, cb_buf_bytes(&signature)));
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P384, 0x9C, message, NULL), CB_SW_SECURITY);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P384, 0x9C, message, NULL), CB_SW_OK);
    cb_buf_free(&signature);
}

static void the_card_authentication_key_wants_no_pin(void **state)
{
    vpiv_card *p = *state;
    cb_buf signature = CB_BUF(128);
    cb_bytes message = cb_bytes_make(digest, 32);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9E, message, &signature), CB_SW_OK);
    assert_true(verifies(p, 3, message, cb_buf_bytes(&signature)));
    cb_buf_free(&signature);
}

static void the_key_management_key_agrees_and_signs_nothing(void **state)
{
    vpiv_card *p = *state;
    uint8_t scalar[CB_P256_SCALAR], shared[CB_P256_SCALAR];
    uint8_t data[4 + 2 + CB_P256_POINT] = {0x7C, 4 + CB_P256_POINT, 0x82, 0x00,
                                           0x85, CB_P256_POINT};
    cb_vcard_public public;
    cb_buf answer = CB_BUF(128);
    assert_int_equal(cb_p256_generate(scalar, &data[6]), CB_OK);
    assert_int_equal(vpiv_send(p->card, VPIV_USE, CB_VCARD_EC_P256, 0x9D, CB_BYTES_OF(data), NULL),
                     CB_SW_SECURITY);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(
        vpiv_send(p->card, VPIV_USE, CB_VCARD_EC_P256, 0x9D, CB_BYTES_OF(data), &answer), CB_SW_OK);
    assert_int_equal(cb_vcard_key_public(&now(p)->key[2], &public), CB_OK);
    assert_int_equal(cb_p256_agree(scalar, cb_bytes_make(public.key, public.len), shared), CB_OK);
    assert_int_equal(answer.len, 36);
    assert_memory_equal(answer.data, "\x7C\x22\x82\x20", 4);
    assert_memory_equal(&answer.data[4], shared, sizeof shared);
    data[10] ^= 1; /* beside the curve */
    assert_int_equal(vpiv_send(p->card, VPIV_USE, CB_VCARD_EC_P256, 0x9D, CB_BYTES_OF(data), NULL),
                     CB_SW_DATA);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9D, cb_bytes_make(digest, 32), NULL),
                     CB_SW_DATA);
    assert_int_equal(vpiv_send(p->card, VPIV_USE, CB_VCARD_EC_P256, 0x9A, CB_BYTES_OF(data), NULL),
                     CB_SW_DATA); /* and a key that signs does not agree */
    cb_buf_free(&answer);
}

static void what_is_no_use_of_a_key_is_refused(void **state)
{
    static const struct {
        uint8_t p1, p2;
        const char *data;
        size_t len;
        uint16_t status;
    } rows[] = {{0x11, 0x9E, "\x7C\x04\x82\x00\x81\x00", 6, CB_SW_DATA},
                {0x11, 0x9E, "\x7C\x05\x82\x00\x81\x01\x41", 7, CB_SW_OK},
                {0x11, 0x9E, "\x7C\x05\x81\x01\x41\x82\x00", 7, CB_SW_OK},
                {0x14, 0x9E, "\x7C\x05\x82\x00\x81\x01\x41", 7, CB_SW_PARAMETERS},
                {0x07, 0x9E, "\x7C\x05\x82\x00\x81\x01\x41", 7, CB_SW_PARAMETERS},
                {0x11, 0x82, "\x7C\x05\x82\x00\x81\x01\x41", 7, CB_SW_PARAMETERS},
                {0x11, 0x00, "\x7C\x05\x82\x00\x81\x01\x41", 7, CB_SW_PARAMETERS},
                {0x11, 0x9E, "\x7C\x03\x81\x01\x41", 5, CB_SW_DATA},
                {0x11, 0x9E, "\x7C\x02\x82\x00", 4, CB_SW_DATA},
                {0x11, 0x9E, "\x7C\x06\x82\x01\x42\x81\x01\x41", 8, CB_SW_DATA},
                {0x11, 0x9E, "\x7C\x08\x82\x00\x81\x01\x41\x81\x01\x41", 10, CB_SW_DATA},
                {0x11, 0x9E, "\x7C\x07\x80\x00\x82\x00\x81\x01\x41", 9, CB_SW_DATA},
                {0x11, 0x9E, "\x7C\x07\x82\x00\x81\x01\x41\x83\x00", 9, CB_SW_DATA},
                {0x11, 0x9E, "\x7C\x05\x82\x00\x81\x01\x41\x00", 8, CB_SW_DATA},
                {0x11, 0x9E, "\x7C\x05\x82\x00\x81\x02\x41", 7, CB_SW_DATA},
                {0x11, 0x9E, "\x7D\x05\x82\x00\x81\x01\x41", 7, CB_SW_DATA},
                {0x11, 0x9E, "", 0, CB_SW_DATA},
                {0x11, 0x9E, "\x7C", 1, CB_SW_DATA}};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint16_t status = vpiv_send(p->card, VPIV_USE, rows[i].p1, rows[i].p2,
                                    cb_bytes_make(rows[i].data, rows[i].len), NULL);
        if (status != rows[i].status)
            fail_msg("row %zu: %04X", i, status);
    }
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9E, cb_bytes_make(digest, 33), NULL),
                     CB_SW_DATA);
    vpiv_card_free(p);
    vpiv_card_make(p, (const uint8_t[CB_VPIV_SLOTS]){CB_VCARD_EC_P256}, CB_VPIV_3DES);
    vpiv_select(p->card);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9E, cb_bytes_make(digest, 32), NULL),
                     CB_SW_NOT_FOUND);
}

/* PKCS #1 v1.5 as the host pads it. */
static void pad(uint8_t block[256])
{
    memset(block, 0xFF, 256);
    block[0] = 0x00;
    block[1] = 0x01;
    block[256 - CB_DIGEST_INFO - 1] = 0x00;
    cb_digest_info(digest, &block[256 - CB_DIGEST_INFO]);
}

static void an_rsa_key_does_what_the_host_has_padded(void **state)
{
    vpiv_card *p = *state;
    uint8_t block[256];
    cb_buf signature = CB_BUF(512), spki = CB_BUF(CB_VCARD_SPKI_MAX);
    cb_card_key key;
    cb_card_signature check = {.digest_len = 32, .len = 256};
    pad(block);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_RSA_2048, 0x9A, CB_BYTES_OF(block), NULL),
                     CB_SW_SECURITY);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_RSA_2048, 0x9A, CB_BYTES_OF(block), &signature),
                     CB_SW_OK);
    assert_int_equal(signature.len, 256);
    assert_int_equal(cb_vcard_key_spki(&now(p)->key[0], &spki), CB_OK);
    assert_int_equal(cb_card_key_of_spki(cb_buf_bytes(&spki), &key), CB_OK);
    memcpy(check.digest, digest, 32);
    memcpy(check.bytes, signature.data, 256);
    assert_true(cb_card_key_verify(&key, &check));
    check.digest[0] ^= 1;
    assert_false(cb_card_key_verify(&key, &check));

    memset(block, 0xFF, sizeof block); /* above the modulus */
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_RSA_2048, 0x9A, CB_BYTES_OF(block), NULL),
                     CB_SW_DATA);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_RSA_2048, 0x9A, cb_bytes_make(block, 255), NULL),
                     CB_SW_DATA);
    cb_buf_free(&signature);
    cb_buf_free(&spki);
}

static void a_chain_that_is_broken_off_signs_nothing(void **state)
{
    vpiv_card *p = *state;
    uint8_t data[266] = {0x7C, 0x82, 0x01, 0x06, 0x82, 0x00, 0x81, 0x82, 0x01, 0x00};
    cb_buf first = CB_BUF(300), last = CB_BUF(300);
    pad(&data[10]);
    cb_apdu_put(&first, &(cb_apdu){0x10, 0x87, 0x07, 0x9A, cb_bytes_make(data, 255), false});
    cb_apdu_put(&last, &(cb_apdu){0x00, 0x87, 0x07, 0x9A, cb_bytes_make(&data[255], 11), true});
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(vpiv_raw(p->card, cb_buf_bytes(&last), NULL), CB_SW_DATA);
    assert_int_equal(vpiv_raw(p->card, cb_buf_bytes(&first), NULL), CB_SW_OK);
    assert_int_equal(vpiv_send(p->card, 0x20, 0x00, 0x80, (cb_bytes){0}, NULL), CB_SW_OK);
    assert_int_equal(vpiv_raw(p->card, cb_buf_bytes(&last), NULL), CB_SW_DATA);
    assert_int_equal(vpiv_raw(p->card, cb_buf_bytes(&first), NULL), CB_SW_OK);
    assert_int_equal(vpiv_raw(p->card, cb_buf_bytes(&last), NULL), 0x6108);
    cb_buf_free(&first);
    cb_buf_free(&last);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_RSA(name) cmocka_unit_test_setup_teardown(name, setup_rsa, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_authentication_key_wants_the_pin_once),
        TEST(the_signature_key_wants_the_pin_each_time),
        TEST(the_card_authentication_key_wants_no_pin),
        TEST(the_key_management_key_agrees_and_signs_nothing),
        TEST(what_is_no_use_of_a_key_is_refused),
        TEST_RSA(an_rsa_key_does_what_the_host_has_padded),
        TEST_RSA(a_chain_that_is_broken_off_signs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
