/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A virtual PIV card with a secure messaging key: how a channel begins, and what goes through it
 * (NIST SP 800-73-4, part 2, 4).
 */
#include "vpiv_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/tlv.h"

#define BYTES(text) cb_bytes_make(text, sizeof(text) - 1)
#define GUID_OBJECT BYTES("\x5C\x03\x5F\xC1\x02")
#define LONG_OBJECT BYTES("\x5C\x03\x5F\xC1\x06")
#define REQUEST(point) request_of(0x00, point, &request)

static const uint8_t usual[CB_VPIV_SLOTS] = {CB_VCARD_EC_P256, CB_VCARD_EC_P256, CB_VCARD_EC_P256,
                                             CB_VCARD_EC_P256};

static int setup(void **state)
{
    vpiv_card *p = calloc(1, sizeof *p);
    vpiv_card_make_secured(p, usual, CB_VPIV_AES_128);
    *state = p;
    return vpiv_select(p->card) == CB_SW_OK ? 0 : -1;
}

static int setup_plain(void **state)
{
    vpiv_card *p = calloc(1, sizeof *p);
    vpiv_card_make(p, usual, CB_VPIV_AES_128);
    *state = p;
    return vpiv_select(p->card) == CB_SW_OK ? 0 : -1;
}

static int teardown(void **state)
{
    vpiv_card_free(*state);
    free(*state);
    return 0;
}

static cb_vpiv_application *application(const vpiv_card *p)
{
    return cb_vcard_applet(p->card, &cb_applet_piv);
}

/* ---- Establishment ---- */

static void select_names_the_cipher_suite_of_a_card_that_has_one(void **state)
{
    vpiv_card *p = *state;
    cb_buf answer = CB_BUF(258);
    cb_bytes template, suites;
    assert_int_equal(vpiv_raw(p->card, BYTES("\x00\xA4\x04\x00\x05\xA0\x00\x00\x03\x08"), &answer),
                     CB_SW_OK);
    assert_true(cb_tlv_find(cb_buf_bytes(&answer), 0x61, &template));
    bool has = application(p)->state.channel_key.algorithm != CB_VCARD_NO_KEY;
    assert_int_equal(cb_tlv_find(template, 0xAC, &suites), has);
    if (has)
        assert_true(cb_bytes_same(suites, BYTES("\x80\x01\x27\x06\x01\x00")));
    cb_buf_free(&answer);
}

static cb_bytes request_of(uint8_t control, cb_bytes point, cb_buf *buf)
{
    *buf = CB_BUF(256);
    vpiv_host_request(control, point, buf);
    return cb_buf_bytes(buf);
}

static uint16_t establish(const vpiv_card *p, uint8_t algorithm, cb_bytes request)
{
    return vpiv_send(p->card, VPIV_USE, algorithm, 0x04, request, NULL);
}

static void a_channel_begins_with_a_point_of_the_curve_alone(void **state)
{
    vpiv_card *p = *state;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf request;
    assert_int_equal(cb_p256_generate(scalar, point), CB_OK);
    assert_int_equal(establish(p, 0x27, REQUEST(CB_BYTES_OF(point))), CB_SW_OK);
    cb_buf_free(&request);
    for (size_t i = 0; i < sizeof point; i++) {
        point[i] ^= 0x04;
        vpiv_host_opened(p);
        assert_int_equal(establish(p, 0x27, REQUEST(CB_BYTES_OF(point))), CB_SW_DATA);
        assert_false(vpiv_host_is_open(p)); /* nor is the one before: another was asked for */
        cb_buf_free(&request);
        point[i] ^= 0x04;
    }
    static const uint8_t nowhere[CB_P256_POINT] = {0x04}, compressed[33] = {0x02, 1};
    const cb_bytes wrong[] = {
        CB_BYTES_OF(nowhere), CB_BYTES_OF(compressed), {point, 64}, {point, 0}, BYTES("\x00")};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(establish(p, 0x27, REQUEST(wrong[i])), CB_SW_DATA);
        cb_buf_free(&request);
    }
    assert_false(vpiv_host_is_open(p));
}

static void the_upper_half_of_the_control_byte_must_be_zero(void **state)
{
    vpiv_card *p = *state;
    for (unsigned control = 0; control < 256; control += 5) {
        vpiv_host host;
        assert_int_equal(vpiv_host_open(&host, p->card, (uint8_t)control),
                         control < 0x10 ? CB_SW_OK : CB_SW_DATA);
        assert_int_equal(vpiv_host_is_open(p), control < 0x10);
        if (control < 0x10)
            assert_int_equal(vpiv_host_get(&host, GUID_OBJECT, NULL), CB_SW_OK);
    }
}

static void a_request_has_its_two_objects_and_no_other(void **state)
{
    vpiv_card *p = *state;
    uint8_t scalar[CB_P256_SCALAR], value[9 + CB_P256_POINT] = {0};
    assert_int_equal(cb_p256_generate(scalar, &value[9]), CB_OK);
    static const struct {
        uint32_t first, second, third;
        uint16_t status;
    } rows[] = {{0x81, 0x82, 0, CB_SW_OK},      {0x81, 0, 0, CB_SW_DATA},
                {0, 0x82, 0, CB_SW_DATA},       {0x81, 0x82, 0x80, CB_SW_DATA},
                {0x81, 0x82, 0x85, CB_SW_DATA}, {0x81, 0x82, 0x82, CB_SW_DATA},
                {0x85, 0x82, 0, CB_SW_DATA},    {0x81, 0x83, 0, CB_SW_DATA}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cb_buf body = CB_BUF(256), request = CB_BUF(256);
        if (rows[i].first)
            cb_tlv_put(&body, rows[i].first, CB_BYTES_OF(value));
        if (rows[i].second)
            cb_tlv_put(&body, rows[i].second, (cb_bytes){0});
        if (rows[i].third)
            cb_tlv_put(&body, rows[i].third, (cb_bytes){0});
        cb_tlv_put(&request, 0x7C, cb_buf_bytes(&body));
        assert_int_equal(establish(p, 0x27, cb_buf_bytes(&request)), rows[i].status);
        assert_int_equal(vpiv_host_is_open(p), rows[i].status == CB_SW_OK);
        assert_int_equal(establish(p, 0x2E, cb_buf_bytes(&request)),
                         rows[i].second == 0x83 || rows[i].third == 0x82 ? CB_SW_DATA
                                                                         : CB_SW_PARAMETERS);
        cb_buf_free(&body);
        cb_buf_free(&request);
    }
    cb_buf request;
    const cb_bytes point = cb_bytes_make(&value[9], CB_P256_POINT);
    assert_int_equal(establish(p, 0x11, REQUEST(point)), CB_SW_PARAMETERS);
    cb_buf_free(&request);
}

static void a_card_without_the_key_has_no_channel(void **state)
{
    vpiv_card *p = *state;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf request;
    assert_int_equal(cb_p256_generate(scalar, point), CB_OK);
    assert_int_equal(establish(p, 0x27, REQUEST(CB_BYTES_OF(point))), CB_SW_PARAMETERS);
    assert_int_equal(vpiv_raw(p->card, BYTES("\x0C\x20\x00\x80"), NULL), CB_VPIV_SW_NOT_SECURED);
    cb_buf_free(&request);
}

/* ---- Commands ---- */

static void what_a_card_says_inside_is_what_it_says_outside(void **state)
{
    static const uint32_t tags[] = {0x5FC101, 0x5FC102, 0x5FC105, 0x5FC107,
                                    0x5FC10A, 0x5FC122, 0x5FC106, 0x5FC109};
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        const uint8_t list[] = {0x5C, 0x03, (uint8_t)(tags[i] >> 16), (uint8_t)(tags[i] >> 8),
                                (uint8_t)tags[i]};
        cb_buf inside = CB_BUF(8192), outside = CB_BUF(8192);
        uint16_t status = vpiv_send(p->card, VPIV_GET, 0x3F, 0xFF, CB_BYTES_OF(list), &outside);
        assert_int_equal(vpiv_host_get(&host, CB_BYTES_OF(list), &inside), status);
        assert_true(cb_bytes_same(cb_buf_bytes(&inside), cb_buf_bytes(&outside)));
        cb_buf_free(&inside);
        cb_buf_free(&outside);
    }
    assert_true(vpiv_host_is_open(p));
}

/* Every length of an object up to some blocks, and the longest. */
static void answers_of_any_length_come_whole(void **state)
{
    static const size_t lengths[] = {1,   7,   8,   9,   10,  11,   12,   13,   14,  15,
                                     16,  17,  100, 220, 221, 222,  223,  236,  237, 238,
                                     239, 240, 252, 253, 254, 1000, 4000, 4095, 4096};
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    uint8_t content[CB_VPIV_OBJECT_MAX];
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 7);
    content[sizeof content - 1] = 0; /* not to be taken for padding */
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        cb_buf answer = CB_BUF(8192);
        cb_bytes value;
        assert_int_equal(cb_vpiv_object_set(&application(p)->state, 0x5FC106,
                                            cb_bytes_make(content, lengths[i])),
                         CB_OK);
        assert_int_equal(vpiv_host_get(&host, LONG_OBJECT, &answer), CB_SW_OK);
        assert_true(cb_tlv_find(cb_buf_bytes(&answer), 0x53, &value));
        assert_true(cb_bytes_same(value, cb_bytes_make(content, lengths[i])));
        cb_buf_free(&answer);
    }
}

static uint16_t sign_inside(vpiv_host *host, uint8_t slot)
{
    static const uint8_t digest[32] = {1};
    cb_buf body = CB_BUF(64), request = CB_BUF(64);
    cb_tlv_put(&body, 0x82, (cb_bytes){0});
    cb_tlv_put(&body, 0x81, CB_BYTES_OF(digest));
    cb_tlv_put(&request, 0x7C, cb_buf_bytes(&body));
    uint16_t status =
        vpiv_host_send(host, VPIV_USE, CB_VCARD_EC_P256, slot, cb_buf_bytes(&request), NULL);
    cb_buf_free(&body);
    cb_buf_free(&request);
    return status;
}

static void pin_and_keys_have_the_same_rules_inside(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    assert_int_equal(vpiv_host_send(&host, 0x20, 0x00, 0x80, (cb_bytes){0}, NULL), 0x63C3);
    assert_int_equal(sign_inside(&host, 0x9E), CB_SW_OK);
    assert_int_equal(sign_inside(&host, 0x9A), CB_SW_SECURITY);
    assert_int_equal(vpiv_host_verify(&host, "999999"), 0x63C2);
    assert_int_equal(vpiv_host_verify(&host, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(sign_inside(&host, 0x9A), CB_SW_OK);
    assert_int_equal(sign_inside(&host, 0x9C), CB_SW_OK);
    assert_int_equal(sign_inside(&host, 0x9C), CB_SW_SECURITY);
    assert_int_equal(vpiv_host_send(&host, 0x24, 0x00, 0x80,
                                    BYTES("123456\xFF\xFF"
                                          "654321\xFF\xFF"),
                                    NULL),
                     CB_SW_OK);
    assert_int_equal(vpiv_host_verify(&host, "654321"), CB_SW_OK);
    assert_int_equal(vpiv_host_send(&host, 0x20, 0xFF, 0x80, (cb_bytes){0}, NULL), CB_SW_OK);
    assert_int_equal(sign_inside(&host, 0x9A), CB_SW_SECURITY);
    for (int i = 2; i >= 0; i--)
        assert_int_equal(vpiv_host_verify(&host, "999999"), i > 0 ? 0x63C0 + i : CB_SW_BLOCKED);
    assert_true(vpiv_host_is_open(p));
}

static void commands_outside_leave_a_channel_alone(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    assert_int_equal(vpiv_host_get(&host, GUID_OBJECT, NULL), CB_SW_OK);
    assert_int_equal(vpiv_verify(p->card, VPIV_CARD_PIN), CB_SW_OK);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    assert_int_equal(vpiv_raw(p->card, BYTES("\x00\xFF\x00\x00"), NULL), CB_SW_INS);
    assert_int_equal(vpiv_raw(p->card, BYTES("\x80\x20\x00\x80"), NULL), CB_SW_CLA);
    assert_int_equal(vpiv_raw(p->card, BYTES("\x00\x20\x00"), NULL), CB_SW_LENGTH);
    assert_int_equal(sign_inside(&host, 0x9A), CB_SW_OK);
}

static void a_chain_that_is_broken_off_has_no_effect(void **state)
{
    static const uint8_t part[255];
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    cb_buf command = CB_BUF(300);
    cb_apdu_put(&command, &(cb_apdu){0x1C, VPIV_USE, 0x11, 0x9E, CB_BYTES_OF(part), false});
    for (int i = 0; i < 3; i++) {
        assert_int_equal(vpiv_raw(p->card, cb_buf_bytes(&command), NULL), CB_SW_OK);
        if (i == 1)
            assert_int_equal(vpiv_raw(p->card, BYTES("\x00\x20\x00\x80"), NULL), 0x63C3);
        assert_int_equal(vpiv_host_get(&host, GUID_OBJECT, NULL), CB_SW_OK);
    }
    cb_buf_free(&command);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITHOUT(test) cmocka_unit_test_setup_teardown(test, setup_plain, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(select_names_the_cipher_suite_of_a_card_that_has_one),
        WITHOUT(select_names_the_cipher_suite_of_a_card_that_has_one),
        WITH(a_channel_begins_with_a_point_of_the_curve_alone),
        WITH(the_upper_half_of_the_control_byte_must_be_zero),
        WITH(a_request_has_its_two_objects_and_no_other),
        WITHOUT(a_card_without_the_key_has_no_channel),
        WITH(what_a_card_says_inside_is_what_it_says_outside),
        WITH(answers_of_any_length_come_whole),
        WITH(pin_and_keys_have_the_same_rules_inside),
        WITH(commands_outside_leave_a_channel_alone),
        WITH(a_chain_that_is_broken_off_has_no_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
