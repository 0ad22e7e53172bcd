/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The virtual PIV card: who may change it, and how (NIST SP 800-73-4, part 2, 3.3 and A).
 */
#include "vpiv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/crypto.h"
#include "base/tlv.h"

static const uint8_t usual[CB_VPIV_SLOTS] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_EC_P256,
                                             CB_VCARD_EC_P256};
static int setup(void **state)
{
    vpiv_card *p = calloc(1, sizeof *p);
    vpiv_card_make(p, usual, CB_VPIV_3DES);
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

static void who_has_the_management_key_is_let_in(void **state)
{
    static const uint8_t kinds[] = {CB_VPIV_3DES, CB_VPIV_AES_128, CB_VPIV_AES_192,
                                    CB_VPIV_AES_256};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        vpiv_card_free(p);
        vpiv_card_make(p, (const uint8_t[CB_VPIV_SLOTS]){0}, kinds[i]);
        vpiv_select(p->card);
        cb_bytes chuid = BYTES("\x5C\x03\x5F\xC1\x02\x53\x01\x41");
        assert_int_equal(vpiv_send(p->card, VPIV_PUT, 0x3F, 0xFF, chuid, NULL), CB_SW_SECURITY);
        cb_vpiv_state other = p->first;
        other.management_key[0] ^= 2;
        assert_int_equal(vpiv_manage(p->card, &other), CB_SW_SECURITY);
        assert_int_equal(vpiv_send(p->card, VPIV_PUT, 0x3F, 0xFF, chuid, NULL), CB_SW_SECURITY);
        assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
        assert_int_equal(vpiv_send(p->card, VPIV_PUT, 0x3F, 0xFF, chuid, NULL), CB_SW_OK);
        assert_int_equal(
            vpiv_send(p->card, VPIV_USE, kinds[i], 0x9B, BYTES("\x7C\x02\x81\x00"), NULL),
            CB_SW_OK); /* who begins anew is out again */
        assert_int_equal(vpiv_send(p->card, VPIV_PUT, 0x3F, 0xFF, chuid, NULL), CB_SW_SECURITY);
        assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
        assert_int_equal(vpiv_manage(p->card, &other), CB_SW_SECURITY);
        assert_int_equal(vpiv_send(p->card, VPIV_PUT, 0x3F, 0xFF, chuid, NULL), CB_SW_SECURITY);
        assert_int_equal(
            vpiv_send(p->card, VPIV_USE, kinds[i] ^ 1, 0x9B, BYTES("\x7C\x02\x81\x00"), NULL),
            CB_SW_PARAMETERS);
    }
}

/* Decrypts as the host does: by trying is out of the question, so with AES's inverse. */
static void both_sides_may_show_it(void **state)
{
    static const uint8_t zero[16], challenge[16] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    vpiv_card *p = *state;
    for (int wrong = 0; wrong < 3; wrong++) { /* 1: the witness; 2: the challenge, by a byte more */
        vpiv_card_free(p);
        vpiv_card_make(p, (const uint8_t[CB_VPIV_SLOTS]){0}, CB_VPIV_AES_192);
        vpiv_select(p->card);
        uint8_t data[39] = {0x7C, 36, 0x80, 16};
        cb_bytes shown = cb_bytes_make(data, wrong == 2 ? 39 : 38);
        uint8_t expected[20] = {0x7C, 18, 0x82, 16};
        cb_buf answer = CB_BUF(64);
        assert_int_equal(
            vpiv_send(p->card, VPIV_USE, 0x0A, 0x9B, BYTES("\x7C\x02\x80\x00"), &answer), CB_SW_OK);
        assert_int_equal(answer.len, 20);
        assert_int_equal(cb_aes_cbc_decrypt(cb_bytes_make(p->first.management_key, 24), zero,
                                            cb_bytes_make(&answer.data[4], 16), &data[4]),
                         CB_OK);
        data[1] += wrong == 2;
        data[4] ^= wrong == 1;
        data[20] = 0x81;
        data[21] = wrong == 2 ? 17 : 16;
        memcpy(&data[22], challenge, 16);
        vpiv_encrypt(&p->first, challenge, &expected[4]);
        cb_buf_reset(&answer);
        assert_int_equal(vpiv_send(p->card, VPIV_USE, 0x0A, 0x9B, shown, &answer),
                         wrong == 2   ? CB_SW_DATA
                         : wrong == 1 ? CB_SW_SECURITY
                                      : CB_SW_OK);
        assert_int_equal(answer.len, wrong ? 0 : 20);
        if (!wrong)
            assert_memory_equal(answer.data, expected, 20);
        cb_buf_free(&answer);
        assert_int_equal(
            vpiv_send(p->card, VPIV_GENERATE, 0x00, 0x9E, BYTES("\xAC\x03\x80\x01\x11"), NULL),
            wrong ? CB_SW_SECURITY : CB_SW_OK);
        /* The witness is gone: nothing can be said to it a second time. */
        assert_int_equal(vpiv_send(p->card, VPIV_USE, 0x0A, 0x9B, shown, NULL), CB_SW_CONDITIONS);
    }
}

static void a_challenge_is_for_the_next_command(void **state)
{
    static const uint8_t disturbances[][5] = {{0x00, 0x20, 0x00, 0x80, 0x00},
                                              {0x00, 0x87, 0x11, 0x9E, 0x00},
                                              {0x00, 0xF7, 0x00, 0x00, 0x00},
                                              {0x00, 0xA4, 0x04, 0x00, 0x00}};
    vpiv_card *p = *state;
    uint8_t data[12] = {0x7C, 10, 0x82, 8};
    for (size_t i = 0; i < 7; i++) {
        cb_buf answer = CB_BUF(64);
        assert_int_equal(
            vpiv_send(p->card, VPIV_USE, 0x03, 0x9B, BYTES("\x7C\x02\x81\x00"), &answer), CB_SW_OK);
        vpiv_encrypt(&p->first, &answer.data[4], &data[4]);
        cb_buf_free(&answer);
        if (i < 4)
            vpiv_raw(p->card, CB_BYTES_OF(disturbances[i]), NULL);
        else if (i == 4)
            vpiv_raw(p->card, BYTES("\x00"), NULL);
        else if (i == 5)
            assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9E, BYTES("digest"), NULL),
                             CB_SW_OK);
        else
            assert_int_equal(vpiv_send(p->card, VPIV_USE, 0x03, 0x9B, CB_BYTES_OF(data), NULL),
                             CB_SW_OK);
        assert_int_equal(vpiv_send(p->card, VPIV_USE, 0x03, 0x9B, CB_BYTES_OF(data), NULL),
                         CB_SW_CONDITIONS);
    }
    /* The card encrypts nothing for who has not shown the key. */
    assert_int_equal(vpiv_send(p->card, VPIV_USE, 0x03, 0x9B,
                               BYTES("\x7C\x0C\x81\x08"
                                     "12345678"
                                     "\x82\x00"),
                               NULL),
                     CB_SW_DATA);
    assert_int_equal(vpiv_send(p->card, VPIV_USE, 0x03, 0x9B,
                               BYTES("\x7C\x14\x80\x08"
                                     "12345678"
                                     "\x81\x08"
                                     "12345678"),
                               NULL),
                     CB_SW_CONDITIONS);
}

static uint16_t put_object(vpiv_card *p, uint32_t tag, size_t len)
{
    static const uint8_t content[CB_VPIV_OBJECT_MAX + 1] = {0x41};
    cb_buf data = CB_BUF(CB_VPIV_OBJECT_MAX + 64);
    uint8_t name[] = {(uint8_t)(tag >> 16), (uint8_t)(tag >> 8), (uint8_t)tag};
    cb_tlv_put(&data, 0x5C, CB_BYTES_OF(name));
    cb_tlv_put(&data, 0x53, cb_bytes_make(content, len));
    uint16_t status = vpiv_send(p->card, VPIV_PUT, 0x3F, 0xFF, cb_buf_bytes(&data), NULL);
    cb_buf_free(&data);
    return status;
}

static void objects_are_written_replaced_and_removed(void **state)
{
    vpiv_card *p = *state;
    assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
    assert_int_equal(put_object(p, 0x5FC106, 3000), CB_SW_OK);
    assert_int_equal(cb_vpiv_object_get(now(p), 0x5FC106).len, 3000);
    assert_int_equal(put_object(p, 0x5FC106, CB_VPIV_OBJECT_MAX), CB_SW_OK);
    assert_int_equal(put_object(p, 0x5FC106, CB_VPIV_OBJECT_MAX + 1), CB_SW_FULL);
    assert_int_equal(cb_vpiv_object_get(now(p), 0x5FC106).len, CB_VPIV_OBJECT_MAX);
    vpiv_card_wake(p);
    assert_int_equal(cb_vpiv_object_get(now(p), 0x5FC106).len, CB_VPIV_OBJECT_MAX);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    assert_int_equal(put_object(p, 0x5FC106, 0), CB_SW_SECURITY);
    assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
    assert_int_equal(put_object(p, 0x5FC106, 0), CB_SW_OK);
    assert_int_equal(vpiv_send(p->card, VPIV_GET, 0x3F, 0xFF, BYTES("\x5C\x03\x5F\xC1\x06"), NULL),
                     CB_SW_FILE_NOT_FOUND);
    assert_int_equal(put_object(p, 0x5FC106, 0), CB_SW_OK);
    assert_int_equal(put_object(p, 0x5FC100, 1), CB_SW_FILE_NOT_FOUND);
    assert_int_equal(put_object(p, 0x5FC124, 1), CB_SW_FILE_NOT_FOUND);
    assert_int_equal(put_object(p, 0x5FFF01, 1), CB_SW_FILE_NOT_FOUND);
    assert_int_equal(vpiv_send(p->card, VPIV_PUT, 0x3F, 0xFF, BYTES("\x5C\x03\x5F\xC1\x06"), NULL),
                     CB_SW_DATA);
    assert_int_equal(vpiv_send(p->card, VPIV_PUT, 0x3F, 0xFF, BYTES("\x7E\x12\x4F\x0B"), NULL),
                     CB_SW_DATA);
    assert_int_equal(
        vpiv_send(p->card, VPIV_PUT, 0x3F, 0x00, BYTES("\x5C\x03\x5F\xC1\x06\x53\x00"), NULL),
        CB_SW_PARAMETERS);
}

static void a_full_card_says_so_and_keeps_what_it_has(void **state)
{
    vpiv_card *p = *state;
    uint16_t status = CB_SW_OK;
    uint32_t tag = 0x5FC10D;
    assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
    for (; status == CB_SW_OK && tag < 0x5FC121; tag++)
        status = put_object(p, tag, CB_VPIV_OBJECT_MAX);
    assert_int_equal(status, CB_SW_FULL);
    vpiv_card_wake(p);
    assert_int_equal(cb_vpiv_object_get(now(p), tag - 2).len, CB_VPIV_OBJECT_MAX);
    assert_int_equal(cb_vpiv_object_get(now(p), tag - 1).len, 0);
}

static void objects_about_the_holder_want_the_pin(void **state)
{
    static const uint8_t last[] = {0x03, 0x08, 0x09, 0x21};
    vpiv_card *p = *state;
    assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
    for (size_t i = 0; i < sizeof last; i++) {
        uint8_t name[] = {0x5C, 0x03, 0x5F, 0xC1, last[i]};
        assert_int_equal(put_object(p, 0x5FC100 | last[i], 10), CB_SW_OK);
        cb_vcard_reset(p->card);
        vpiv_select(p->card);
        assert_int_equal(vpiv_send(p->card, VPIV_GET, 0x3F, 0xFF, CB_BYTES_OF(name), NULL),
                         CB_SW_SECURITY);
        assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
        assert_int_equal(vpiv_send(p->card, VPIV_GET, 0x3F, 0xFF, CB_BYTES_OF(name), NULL),
                         CB_SW_OK);
        assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
    }
}

static void keys_are_made_in_the_card(void **state)
{
    static const uint8_t algorithms[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    vpiv_card *p = *state;
    assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
    for (size_t i = 0; i < sizeof algorithms; i++) {
        uint8_t data[] = {0xAC, 0x03, 0x80, 0x01, algorithms[i]};
        cb_buf answer = CB_BUF(512);
        cb_vcard_public public;
        cb_bytes body, first;
        assert_int_equal(vpiv_send(p->card, VPIV_GENERATE, 0x00, 0x9E, CB_BYTES_OF(data), &answer),
                         CB_SW_OK);
        assert_int_equal(cb_vcard_key_public(&now(p)->key[3], &public), CB_OK);
        assert_true(cb_tlv_find(cb_buf_bytes(&answer), 0x7F49, &body));
        assert_true(cb_tlv_find(body, algorithms[i] == CB_VCARD_RSA_2048 ? 0x81 : 0x86, &first));
        assert_true(cb_bytes_same(first, cb_bytes_make(public.key, public.len)));
        cb_buf_free(&answer);
    }
    vpiv_card_wake(p);
    assert_int_equal(now(p)->key[3].algorithm, CB_VCARD_RSA_2048);
    assert_memory_not_equal(&now(p)->key[3], &p->first.key[3], sizeof(cb_vcard_key));
    assert_memory_equal(&now(p)->key[0], &p->first.key[0], sizeof(cb_vcard_key));
}

static void what_is_no_order_for_a_key_makes_none(void **state)
{
    static const struct {
        uint8_t p1, p2;
        const char *data;
        size_t len;
        uint16_t status;
    } rows[] = {{0x00, 0x9B, "\xAC\x03\x80\x01\x11", 5, CB_SW_PARAMETERS},
                {0x01, 0x9A, "\xAC\x03\x80\x01\x11", 5, CB_SW_PARAMETERS},
                {0x00, 0x9A, "\xAC\x03\x80\x01\x06", 5, CB_SW_DATA},
                {0x00, 0x9A, "\xAC\x03\x81\x01\x11", 5, CB_SW_DATA},
                {0x00, 0x9A, "\xAC\x04\x80\x02\x11\x11", 6, CB_SW_DATA},
                {0x00, 0x9A, "\xAC\x06\x80\x01\x11\xAA\x01\x02", 8, CB_SW_DATA},
                {0x00, 0x9A, "\xAC\x03\x80\x01\x11\x00", 6, CB_SW_DATA},
                {0x00, 0x9A, "\xAC\x02\x80\x00", 4, CB_SW_DATA},
                {0x00, 0x9A, "", 0, CB_SW_DATA}};
    vpiv_card *p = *state;
    assert_int_equal(vpiv_manage(p->card, &p->first), CB_SW_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(vpiv_send(p->card, VPIV_GENERATE, rows[i].p1, rows[i].p2,
                                   cb_bytes_make(rows[i].data, rows[i].len), NULL),
                         rows[i].status);
    assert_memory_equal(now(p)->key, p->first.key, sizeof p->first.key);
}

static void a_state_that_was_not_written_so_is_refused(void **state)
{
    vpiv_card *p = *state;
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX);
    cb_vpiv_state read;
    cb_vpiv_state_put(&bytes, &p->first);
    assert_int_equal(cb_vpiv_state_parse(cb_buf_bytes(&bytes), &read), CB_OK);
    assert_memory_equal(read.key, p->first.key, sizeof read.key);
    assert_int_equal(read.object_count, p->first.object_count);
    cb_vpiv_state_free(&read);
    for (size_t i = 0; i < bytes.len; i += 1 + i / 64)
        assert_int_equal(cb_vpiv_state_parse(cb_bytes_make(bytes.data, i), &read), CB_E_FORMAT);
    cb_buf_put_u8(&bytes, 0);
    assert_int_equal(cb_vpiv_state_parse(cb_buf_bytes(&bytes), &read), CB_E_FORMAT);
    bytes.len--;
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 2}, {9, 4}, {18, 4}, {19, 0x05}, {1, 'x'}, {44, 5}, {45, 0x9B}, {46, 0x08}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t good = bytes.data[wrong[i].at];
        bytes.data[wrong[i].at] = wrong[i].value;
        if (cb_vpiv_state_parse(cb_buf_bytes(&bytes), &read) != CB_E_FORMAT)
            fail_msg("byte %zu", wrong[i].at);
        bytes.data[wrong[i].at] = good;
    }
    cb_buf_free(&bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(who_has_the_management_key_is_let_in),
        TEST(both_sides_may_show_it),
        TEST(a_challenge_is_for_the_next_command),
        TEST(objects_are_written_replaced_and_removed),
        TEST(a_full_card_says_so_and_keeps_what_it_has),
        TEST(objects_about_the_holder_want_the_pin),
        TEST(keys_are_made_in_the_card),
        TEST(what_is_no_order_for_a_key_makes_none),
        TEST(a_state_that_was_not_written_so_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
