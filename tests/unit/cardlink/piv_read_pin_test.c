/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The virtual PIV card: what it says of itself, and its PIN and PUK (NIST SP 800-73-4, part
 * 2, 3.1, 3.2.1 to 3.2.3).
 */
#include "vpiv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/tlv.h"

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

/* ---- Selecting, and reading ---- */

static void select_says_which_application_it_is(void **state)
{
    static const uint8_t expected[] = {0x61, 0x11, 0x4F, 0x06, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00,
                                       0x79, 0x07, 0x4F, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08};
    vpiv_card *p = *state;
    cb_buf answer = CB_BUF(256);
    for (uint8_t len = 5; len <= 11; len++) {
        cb_buf_reset(&answer);
        assert_int_equal(
            vpiv_send(p->card, 0xA4, 0x04, 0x00, cb_bytes_make(cb_vpiv_aid, len), &answer),
            CB_SW_OK);
        assert_true(cb_bytes_same(cb_buf_bytes(&answer), CB_BYTES_OF(expected)));
    }
    cb_buf_free(&answer);
    assert_int_equal(vpiv_send(p->card, 0xA4, 0x04, 0x00, cb_bytes_make(cb_vpiv_aid, 4), NULL),
                     CB_SW_FILE_NOT_FOUND);
    assert_int_equal(vpiv_send(p->card, 0xA4, 0x00, 0x00, cb_bytes_make(cb_vpiv_aid, 5), NULL),
                     CB_SW_PARAMETERS);
    assert_int_equal(vpiv_send(p->card, 0xA4, 0x04, 0x01, cb_bytes_make(cb_vpiv_aid, 5), NULL),
                     CB_SW_PARAMETERS);
}

static void nothing_is_done_before_select_or_for_a_foreign_class(void **state)
{
    static const uint8_t all[] = {0xCB, 0xDB, 0x20, 0x24, 0x2C, 0x87, 0x47};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof all; i++)
        assert_int_equal(vpiv_raw(p->card, CB_BYTES_OF(((uint8_t[]){0x80, all[i], 0, 0})), NULL),
                         CB_SW_CLA);
    cb_vcard_reset(p->card);
    for (size_t i = 0; i < sizeof all; i++)
        assert_int_equal(vpiv_send(p->card, all[i], 0x00, 0x80, (cb_bytes){0}, NULL),
                         CB_SW_CONDITIONS);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_CONDITIONS);
    assert_int_equal(now(p)->pin_tries, 3);
    assert_int_equal(vpiv_send(p->card, 0xF7, 0x00, 0x80, (cb_bytes){0}, NULL), CB_SW_INS);
}

static void objects_are_read_by_their_tags(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        uint16_t status;
    } rows[] = {{"\x5C\x01\x7E", 3, CB_SW_OK},
                {"\x5C\x03\x5F\xC1\x02", 5, CB_SW_OK},
                {"\x5C\x03\x5F\xC1\x05", 5, CB_SW_OK},
                {"\x5C\x03\x5F\xC1\x01", 5, CB_SW_OK},
                {"\x5C\x03\x5F\xC1\x0A", 5, CB_SW_OK},
                {"\x5C\x03\x5F\xC1\x0B", 5, CB_SW_OK},
                {"\x5C\x03\x5F\xC1\x07", 5, CB_SW_OK},
                {"\x5C\x03\x5F\xC1\x06", 5, CB_SW_FILE_NOT_FOUND},
                {"\x5C\x03\x5F\xFF\x01", 5, CB_SW_FILE_NOT_FOUND},
                {"\x5C\x02\x7F\x61", 4, CB_SW_FILE_NOT_FOUND},
                {"\x5C\x00", 2, CB_SW_DATA},
                {"\x5C\x04\x5F\xC1\x02\x00", 6, CB_SW_DATA},
                {"\x5C\x03\x5F\xC1", 4, CB_SW_DATA},
                {"\x5C\x03\x5F\xC1\x02\x00", 6, CB_SW_DATA},
                {"\x5D\x03\x5F\xC1\x02", 5, CB_SW_DATA},
                {"", 0, CB_SW_DATA}};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cb_buf answer = CB_BUF(4096);
        cb_bytes data = cb_bytes_make(rows[i].data, rows[i].len);
        assert_int_equal(vpiv_send(p->card, VPIV_GET, 0x3F, 0xFF, data, &answer), rows[i].status);
        assert_true((answer.len > 0) == (rows[i].status == CB_SW_OK));
        cb_buf_free(&answer);
        assert_int_equal(vpiv_send(p->card, VPIV_GET, 0x3F, 0x00, data, NULL), CB_SW_PARAMETERS);
    }
}

static void the_chuid_has_the_guid_that_the_card_is_known_by(void **state)
{
    vpiv_card *p = *state;
    cb_buf answer = CB_BUF(256);
    cb_bytes content, guid;
    cb_id id;
    assert_int_equal(
        vpiv_send(p->card, VPIV_GET, 0x3F, 0xFF, BYTES("\x5C\x03\x5F\xC1\x02"), &answer), CB_SW_OK);
    assert_true(cb_tlv_find(cb_buf_bytes(&answer), 0x53, &content));
    assert_true(cb_tlv_find(content, 0x34, &guid));
    assert_true(cb_bytes_same(guid, cb_id_bytes(&p->guid)));
    assert_true(cb_vcard_identity(p->card, &id));
    assert_memory_equal(&id, &p->guid, sizeof id);
    cb_buf_free(&answer);
}

static void a_certificate_may_be_read_in_parts(void **state)
{
    vpiv_card *p = *state;
    cb_bytes stored = cb_vpiv_object_get(&p->first, CB_VPIV_AUTHENTICATION_CERTIFICATE);
    cb_buf answer = CB_BUF(4096);
    assert_true(stored.len > 300 && stored.len < 600);
    assert_int_equal(
        vpiv_raw(p->card, BYTES("\x00\xCB\x3F\xFF\x05\x5C\x03\x5F\xC1\x05\x08"), &answer), 0x6100);
    assert_int_equal(answer.len, 8);
    assert_memory_equal(answer.data, "\x53\x82", 2);
    uint16_t status = 0x6100;
    while ((status & 0xFF00) == 0x6100)
        status = vpiv_raw(p->card, BYTES("\x00\xC0\x00\x00\x40"), &answer);
    assert_int_equal(status, CB_SW_OK);
    assert_int_equal(answer.len, stored.len + 4);
    assert_memory_equal(&answer.data[4], stored.data, stored.len);
    cb_buf_free(&answer);
}

/* ---- PIN and PUK ---- */

static uint16_t tries(const vpiv_card *p)
{
    return vpiv_send(p->card, 0x20, 0x00, 0x80, (cb_bytes){0}, NULL);
}

static void wrong_pins_are_counted_and_block(void **state)
{
    vpiv_card *p = *state;
    assert_int_equal(tries(p), 0x63C3);
    assert_int_equal(vpiv_verify(p->card, "000000"), 0x63C2);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(tries(p), CB_SW_OK);
    assert_int_equal(vpiv_verify(p->card, "000000"), 0x63C2);
    assert_int_equal(tries(p), 0x63C2);
    assert_int_equal(vpiv_verify(p->card, "000000"), 0x63C1);
    assert_int_equal(vpiv_verify(p->card, "000000"), CB_SW_BLOCKED);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_BLOCKED);
    vpiv_card_wake(p);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    assert_int_equal(tries(p), CB_SW_BLOCKED);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_BLOCKED);
}

static void what_is_no_pin_costs_no_try(void **state)
{
    static const struct {
        const char *data;
        size_t len;
    } rows[] = {{"12345\xFF\xFF\xFF", 8},
                {"123456\xFF", 7},
                {"123456\xFF\xFF\xFF", 9},
                {"123456\x00\x00", 8},
                {"12a456\xFF\xFF", 8},
                {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8},
                {"123456\xFF"
                 "8",
                 8},
                {"1", 1}};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(
            vpiv_send(p->card, 0x20, 0x00, 0x80, cb_bytes_make(rows[i].data, rows[i].len), NULL),
            CB_SW_DATA);
    assert_int_equal(vpiv_send(p->card, 0x20, 0x01, 0x80, BYTES("123456\xFF\xFF"), NULL),
                     CB_SW_PARAMETERS);
    assert_int_equal(vpiv_send(p->card, 0x20, 0x00, 0x00, BYTES("123456\xFF\xFF"), NULL),
                     CB_SW_NOT_FOUND);
    assert_int_equal(vpiv_send(p->card, 0x20, 0x00, 0x81, BYTES(VPIV_CARD_PUK), NULL),
                     CB_SW_NOT_FOUND);
    assert_int_equal(tries(p), 0x63C3);
}

static void a_verified_pin_can_be_forgotten(void **state)
{
    vpiv_card *p = *state;
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(vpiv_send(p->card, 0x20, 0xFF, 0x80, BYTES("123456\xFF\xFF"), NULL),
                     CB_SW_DATA);
    assert_int_equal(vpiv_send(p->card, 0x20, 0xFF, 0x80, (cb_bytes){0}, NULL), CB_SW_OK);
    assert_int_equal(tries(p), 0x63C3);
}

static void pin_and_puk_are_changed_by_who_knows_them(void **state)
{
    vpiv_card *p = *state;
    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x80,
                               BYTES("000000\xFF\xFF"
                                     "654321\xFF\xFF"),
                               NULL),
                     0x63C2);
    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x80,
                               BYTES("123456\xFF\xFF"
                                     "65432\xFF\xFF\xFF"),
                               NULL),
                     CB_SW_DATA);
    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x80,
                               BYTES("123456\xFF\xFF"
                                     "654321"),
                               NULL),
                     CB_SW_DATA);
    assert_int_equal(now(p)->pin_tries, 2);
    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x80,
                               BYTES("123456\xFF\xFF"
                                     "65432178"),
                               NULL),
                     CB_SW_OK);
    assert_int_equal(now(p)->pin_tries, 3);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), 0x63C2);
    assert_int_equal(vpiv_verify(p->card, "65432178"), CB_SW_OK);

    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x81,
                               BYTES("00000000"
                                     "12341234"),
                               NULL),
                     0x63C2);
    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x81, BYTES(VPIV_CARD_PUK "12341234"), NULL),
                     CB_SW_OK);
    assert_int_equal(
        vpiv_send(p->card, 0x2C, 0x00, 0x80, BYTES(VPIV_CARD_PUK "123456\xFF\xFF"), NULL), 0x63C2);
    assert_int_equal(vpiv_send(p->card, 0x2C, 0x00, 0x80,
                               BYTES("12341234"
                                     "123456\xFF\xFF"),
                               NULL),
                     CB_SW_OK);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x00,
                               BYTES("12341234"
                                     "12341234"),
                               NULL),
                     CB_SW_NOT_FOUND);
    assert_int_equal(vpiv_send(p->card, 0x2C, 0x00, 0x81,
                               BYTES("12341234"
                                     "12341234"),
                               NULL),
                     CB_SW_NOT_FOUND);
    assert_int_equal(vpiv_send(p->card, 0x24, 0x01, 0x80,
                               BYTES("12341234"
                                     "12341234"),
                               NULL),
                     CB_SW_PARAMETERS);
}

static void whoever_fails_to_change_the_pin_has_not_verified_it(void **state)
{
    static const struct {
        uint8_t ins;
        const char *data;
    } rows[] = {{0x24, "000000\xFF\xFF"
                       "654321\xFF\xFF"},
                {0x2C, "00000000"
                       "654321\xFF\xFF"}};
    vpiv_card *p = *state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
        assert_int_equal(
            vpiv_send(p->card, rows[i].ins, 0x00, 0x80, cb_bytes_make(rows[i].data, 16), NULL),
            0x63C2);
        assert_int_not_equal(tries(p), CB_SW_OK);
    }
}

static void whoever_changes_the_pin_has_verified_it_and_unblocking_changes_nothing(void **state)
{
    vpiv_card *p = *state;
    const cb_bytes unblock = BYTES(VPIV_CARD_PUK "123456\xFF\xFF");
    assert_int_equal(vpiv_send(p->card, 0x2C, 0x00, 0x80, unblock, NULL), CB_SW_OK);
    assert_int_equal(tries(p), 0x63C3);
    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x80,
                               BYTES("123456\xFF\xFF"
                                     "654321\xFF\xFF"),
                               NULL),
                     CB_SW_OK);
    assert_int_equal(tries(p), CB_SW_OK);
    assert_int_equal(vpiv_send(p->card, 0x2C, 0x00, 0x80, unblock, NULL), CB_SW_OK);
    assert_int_equal(tries(p), CB_SW_OK);
}

static void a_blocked_puk_leaves_a_blocked_pin_so(void **state)
{
    vpiv_card *p = *state;
    for (int i = 0; i < 3; i++)
        vpiv_verify(p->card, "000000");
    for (uint16_t left = 2; left > 0; left--)
        assert_int_equal(vpiv_send(p->card, 0x2C, 0x00, 0x80,
                                   BYTES("00000000"
                                         "123456\xFF\xFF"),
                                   NULL),
                         0x63C0 | left);
    assert_int_equal(vpiv_send(p->card, 0x2C, 0x00, 0x80,
                               BYTES("00000000"
                                     "123456\xFF\xFF"),
                               NULL),
                     CB_SW_BLOCKED);
    assert_int_equal(
        vpiv_send(p->card, 0x2C, 0x00, 0x80, BYTES(VPIV_CARD_PUK "123456\xFF\xFF"), NULL),
        CB_SW_BLOCKED);
    assert_int_equal(vpiv_send(p->card, 0x24, 0x00, 0x81, BYTES(VPIV_CARD_PUK VPIV_CARD_PUK), NULL),
                     CB_SW_BLOCKED);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_BLOCKED);
}

/* Whoever takes the power away, at whatever write, gets no more answers about a PIN than there are
 * tries. */
static void cutting_the_power_buys_no_comparison(void **state)
{
    static const struct {
        uint8_t ins, p2;
        const char *data;
        size_t len;
    } rows[] = {{0x20, 0x80, "000000\xFF\xFF", 8},
                {0x24, 0x80,
                 "000000\xFF\xFF"
                 "123456\xFF\xFF",
                 16},
                {0x24, 0x81,
                 "00000000"
                 "12345678",
                 16},
                {0x2C, 0x80,
                 "00000000"
                 "123456\xFF\xFF",
                 16}};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int cut = 0; cut < 4; cut++) {
            int compared = 0;
            vpiv_card_free(p);
            vpiv_card_make(p, (const uint8_t[CB_VPIV_SLOTS]){0}, CB_VPIV_3DES);
            for (int turn = 0; turn < 12; turn++) {
                p->memory.writes = 0;
                p->memory.fails_at = turn % 3 == 0 ? cut / 2 + 1 : 0;
                p->memory.after = cut % 2;
                vpiv_select(p->card);
                uint16_t status = vpiv_send(p->card, rows[i].ins, 0x00, rows[i].p2,
                                            cb_bytes_make(rows[i].data, rows[i].len), NULL);
                compared += (status & 0xFFF0) == CB_SW_TRIES_LEFT ||
                            (status == CB_SW_BLOCKED && p->memory.writes > 0);
                assert_int_not_equal(status, CB_SW_OK);
                vpiv_card_wake(p);
            }
            assert_in_range(compared, 1, 3);
        }
    }
}

/* Not even the right one is compared before its try is gone: whoever cuts the power then has paid.
 */
static void a_try_is_gone_before_the_comparison(void **state)
{
    static const struct {
        uint8_t ins, p2;
        const char *data;
        size_t len;
    } rows[] = {{0x20, 0x80, "123456\xFF\xFF", 8},
                {0x24, 0x80,
                 "123456\xFF\xFF"
                 "654321\xFF\xFF",
                 16},
                {0x24, 0x81, VPIV_CARD_PUK "12345678", 16},
                {0x2C, 0x80, VPIV_CARD_PUK "654321\xFF\xFF", 16}};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool puk = i >= 2;
        vpiv_card_free(p);
        vpiv_card_make(p, (const uint8_t[CB_VPIV_SLOTS]){0}, CB_VPIV_3DES);
        p->memory.fails_at = 1;
        p->memory.after = true;
        vpiv_select(p->card);
        assert_int_equal(vpiv_send(p->card, rows[i].ins, 0x00, rows[i].p2,
                                   cb_bytes_make(rows[i].data, rows[i].len), NULL),
                         CB_SW_MEMORY);
        vpiv_card_wake(p);
        assert_int_equal(now(p)->pin_tries, puk ? 3 : 2);
        assert_int_equal(now(p)->puk_tries, puk ? 2 : 3);
        assert_memory_equal(now(p)->pin, p->first.pin, CB_VPIV_PIN);
        assert_memory_equal(now(p)->puk, p->first.puk, CB_VPIV_PIN);
    }
}

static void a_card_that_cannot_write_compares_nothing_and_falls_silent(void **state)
{
    vpiv_card *p = *state;
    p->memory.fails_at = 1;
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_MEMORY);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_MEMORY);
    assert_int_equal(vpiv_select(p->card), CB_SW_MEMORY);
    cb_vcard_reset(p->card);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    assert_int_equal(vpiv_sign(p->card, CB_VCARD_EC_P256, 0x9A, CB_BYTES_OF(digest), NULL),
                     CB_SW_SECURITY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(select_says_which_application_it_is),
        TEST(nothing_is_done_before_select_or_for_a_foreign_class),
        TEST(objects_are_read_by_their_tags),
        TEST(the_chuid_has_the_guid_that_the_card_is_known_by),
        TEST(a_certificate_may_be_read_in_parts),
        TEST(wrong_pins_are_counted_and_block),
        TEST(what_is_no_pin_costs_no_try),
        TEST(a_verified_pin_can_be_forgotten),
        TEST(pin_and_puk_are_changed_by_who_knows_them),
        TEST(whoever_fails_to_change_the_pin_has_not_verified_it),
        TEST(whoever_changes_the_pin_has_verified_it_and_unblocking_changes_nothing),
        TEST(a_blocked_puk_leaves_a_blocked_pin_so),
        TEST(cutting_the_power_buys_no_comparison),
        TEST(a_try_is_gone_before_the_comparison),
        TEST(a_card_that_cannot_write_compares_nothing_and_falls_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
