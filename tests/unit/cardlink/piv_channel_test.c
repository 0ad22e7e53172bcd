/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PIV secure messaging, as the card does it, against what another implementation computes and what
 * a real card said (piv_channel_vectors.py); and what it does not take.
 */
#include "vpiv_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "base/tlv.h"
#include "piv_channel_vectors.h"

enum { EXCHANGES = sizeof vector_exchanges / sizeof vector_exchanges[0], FIELD_MAX = 2048 };

/* Bytes of a text; freed with the buffer. */
static cb_bytes hex(const char *text, cb_buf *buf)
{
    *buf = CB_BUF(FIELD_MAX);
    assert_int_equal(cb_unhex(cb_bytes_str(text), buf), CB_OK);
    return cb_buf_bytes(buf);
}

#define SAME(text, bytes)                                                                          \
    do {                                                                                           \
        cb_buf expected_;                                                                          \
        cb_bytes wanted_ = hex(text, &expected_), is_ = (bytes);                                   \
        assert_int_equal(is_.len, wanted_.len);                                                    \
        assert_memory_equal(is_.data, wanted_.data, wanted_.len);                                  \
        cb_buf_free(&expected_);                                                                   \
    } while (0)

typedef struct given {
    const char *host, *point, *secret, *cvc, *nonce;
} given;

static const given ours = {VECTOR_HOST_ID, VECTOR_HOST_POINT, VECTOR_SECRET, VECTOR_CVC,
                           VECTOR_NONCE};
static const given real = {REAL_HOST_ID, REAL_HOST_POINT, REAL_SECRET, REAL_CVC, REAL_NONCE};

static cb_error open_with(const given *from, uint8_t control, cb_vpiv_channel *channel,
                          uint8_t cryptogram[CB_VPIV_CRYPTOGRAM])
{
    cb_buf buf[5];
    cb_vpiv_agreement agreement = {.control = control,
                                   .host = hex(from->host, &buf[0]),
                                   .point = hex(from->point, &buf[1]),
                                   .secret = hex(from->secret, &buf[2]),
                                   .certificate = hex(from->cvc, &buf[3]),
                                   .nonce = hex(from->nonce, &buf[4])};
    cb_error error = cb_vpiv_channel_open(&agreement, channel, cryptogram);
    for (size_t i = 0; i < 5; i++)
        cb_buf_free(&buf[i]);
    return error;
}

static void the_keys_are_those_of_the_standard(void **state)
{
    cb_vpiv_channel channel;
    uint8_t cryptogram[CB_VPIV_CRYPTOGRAM];
    (void)state;
    assert_int_equal(open_with(&ours, 0x00, &channel, cryptogram), CB_OK);
    SAME(VECTOR_CRYPTOGRAM, CB_BYTES_OF(cryptogram));
    SAME(VECTOR_ENC, CB_BYTES_OF(channel.enc));
    SAME(VECTOR_MAC, CB_BYTES_OF(channel.mac));
    SAME(VECTOR_RMAC, CB_BYTES_OF(channel.rmac));
    assert_true(channel.open && channel.counter == 1);
}

static void the_hosts_control_byte_counts(void **state)
{
    cb_vpiv_channel channel;
    uint8_t cryptogram[CB_VPIV_CRYPTOGRAM];
    (void)state;
    assert_int_equal(open_with(&ours, 0x0F, &channel, cryptogram), CB_OK);
    SAME(VECTOR_OTHER_CONTROL_CRYPTOGRAM, CB_BYTES_OF(cryptogram));
    SAME(VECTOR_OTHER_CONTROL_ENC, CB_BYTES_OF(channel.enc));
}

static uint16_t take(cb_vpiv_channel *channel, const uint8_t header[3], cb_bytes field,
                     cb_buf *plain)
{
    cb_apdu command;
    const cb_apdu secured = {CB_VPIV_CLA_SECURED, header[0], header[1], header[2], field, true};
    *plain = CB_BUF(FIELD_MAX);
    uint16_t status = cb_vpiv_channel_take(channel, &secured, plain, &command);
    if (status == CB_SW_OK) {
        assert_int_equal(command.cla, 0x00);
        assert_memory_equal(&command.ins, header, 3);
        assert_true(cb_bytes_same(command.data, cb_buf_bytes(plain)));
    }
    return status;
}

static void a_real_card_said_the_same(void **state)
{
    cb_vpiv_channel channel;
    uint8_t cryptogram[CB_VPIV_CRYPTOGRAM];
    cb_buf field, plain, answer = CB_BUF(64);
    (void)state;
    assert_int_equal(open_with(&real, 0x00, &channel, cryptogram), CB_OK);
    SAME(REAL_CRYPTOGRAM, CB_BYTES_OF(cryptogram));
    assert_int_equal(
        take(&channel, (uint8_t[]){0x20, 0x00, 0x98}, hex(REAL_VERIFY, &field), &plain), CB_SW_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&plain), cb_bytes_str("00000003")));
    cb_buf_free(&field);
    cb_buf_free(&plain);
    assert_int_equal(cb_vpiv_channel_answer(&channel, (cb_bytes){0}, CB_SW_OK, &answer), CB_OK);
    SAME(REAL_VERIFIED, cb_buf_bytes(&answer));
    assert_int_equal(take(&channel, (uint8_t[]){0xCB, 0x3F, 0xFF}, hex(REAL_GET, &field), &plain),
                     CB_SW_OK);
    SAME("5C035FC105", cb_buf_bytes(&plain));
    cb_buf_free(&field);
    cb_buf_free(&plain);
    cb_buf_free(&answer);
}

static void only_what_has_the_right_sizes_agrees(void **state)
{
    cb_vpiv_channel channel;
    uint8_t cryptogram[CB_VPIV_CRYPTOGRAM];
    (void)state;
    for (int i = 0; i < 5; i++) {
        given wrong = ours;
        const char **field[] = {&wrong.host, &wrong.point, &wrong.secret, &wrong.cvc, &wrong.nonce};
        *field[i] = i == 3 ? "" : *field[i] + 2;
        assert_int_equal(open_with(&wrong, 0x00, &channel, cryptogram), CB_E_ARGUMENT);
        assert_false(channel.open);
    }
}

/* A card whose keys and data the vectors have, with their channel. */
static void set_up_card(vpiv_card *p)
{
    static const uint8_t algorithms[CB_VPIV_SLOTS] = {0, 0, CB_VCARD_EC_P256, 0};
    uint8_t cryptogram[CB_VPIV_CRYPTOGRAM];
    cb_buf buf;
    vpiv_card_make_secured(p, algorithms, CB_VPIV_AES_128);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    cb_vpiv_application *piv = cb_vcard_applet(p->card, &cb_applet_piv);
    assert_int_equal(cb_vcard_key_of(CB_VCARD_EC_P256, hex(VECTOR_KEY_MANAGEMENT_SCALAR, &buf),
                                     &piv->state.key[2]),
                     CB_OK);
    cb_buf_free(&buf);
    assert_int_equal(cb_vpiv_object_set(&piv->state, 0x5FC106, hex(VECTOR_OBJECT, &buf)), CB_OK);
    cb_buf_free(&buf);
    assert_int_equal(open_with(&ours, 0x00, &piv->session.channel, cryptogram), CB_OK);
}

static void a_card_answers_as_the_standard_says(void **state)
{
    vpiv_card p;
    (void)state;
    set_up_card(&p);
    for (size_t i = 0; i < EXCHANGES; i++) {
        cb_buf command, data, answer = CB_BUF(FIELD_MAX);
        cb_cursor header = cb_cursor_over(hex(vector_exchanges[i].command, &command));
        cb_apdu apdu = {.ins = cb_cursor_u8(&header)};
        apdu.p1 = cb_cursor_u8(&header);
        apdu.p2 = cb_cursor_u8(&header);
        assert_int_equal(vpiv_host_raw(&(vpiv_host){.card = p.card}, &apdu,
                                       hex(vector_exchanges[i].data, &data), &answer),
                         CB_SW_OK);
        SAME(vector_exchanges[i].answer, cb_buf_bytes(&answer));
        cb_buf_free(&command);
        cb_buf_free(&data);
        cb_buf_free(&answer);
    }
    vpiv_card_free(&p);
}

static void a_card_agrees_as_the_standard_says(void **state)
{
    cb_vcard_key key;
    cb_buf scalar, point, secret = CB_BUF(CB_P256_SCALAR);
    (void)state;
    assert_int_equal(cb_vcard_key_of(CB_VCARD_EC_P256, hex(VECTOR_CARD_SCALAR, &scalar), &key),
                     CB_OK);
    assert_int_equal(cb_vcard_key_agree(&key, hex(VECTOR_HOST_POINT, &point), &secret), CB_OK);
    SAME(VECTOR_SECRET, cb_buf_bytes(&secret));
    cb_buf_free(&scalar);
    cb_buf_free(&point);
    cb_buf_free(&secret);
}

static void no_byte_of_a_command_can_be_another(void **state)
{
    static const uint8_t header[] = {0xCB, 0x3F, 0xFF};
    cb_vpiv_channel first;
    uint8_t cryptogram[CB_VPIV_CRYPTOGRAM];
    cb_buf field, plain;
    (void)state;
    assert_int_equal(open_with(&ours, 0x00, &first, cryptogram), CB_OK);
    vpiv_host host = {.keys = first};
    field = CB_BUF(FIELD_MAX);
    vpiv_host_wrap(&host,
                   &(cb_apdu){0, 0xCB, 0x3F, 0xFF, cb_bytes_make("\x5C\x03\x5F\xC1\x02", 5), true},
                   &field);
    for (size_t i = 0; i < field.len * 8; i++) {
        cb_vpiv_channel channel = first;
        field.data[i / 8] ^= (uint8_t)(1 << i % 8);
        uint16_t status = take(&channel, header, cb_buf_bytes(&field), &plain);
        assert_true(status == CB_SW_SM_DATA || status == CB_VPIV_SW_OBJECTS_MISSING);
        assert_int_equal(plain.len, 0);
        cb_buf_free(&plain);
        field.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 0; len < field.len; len++) {
        cb_vpiv_channel channel = first;
        assert_int_not_equal(take(&channel, header, cb_bytes_make(field.data, len), &plain),
                             CB_SW_OK);
        cb_buf_free(&plain);
    }
    for (size_t i = 0; i < 24; i++) {
        uint8_t other[] = {0xCB, 0x3F, 0xFF};
        cb_vpiv_channel channel = first;
        other[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(take(&channel, other, cb_buf_bytes(&field), &plain), CB_SW_SM_DATA);
        cb_buf_free(&plain);
    }
    assert_int_equal(take(&first, header, cb_buf_bytes(&field), &plain), CB_SW_OK);
    cb_buf_free(&plain);
    cb_buf_free(&field);
}

/* The objects before the MAC, which is right. */
static void objects_come_as_the_standard_has_them(void **state)
{
    static const struct {
        const char *objects;
        uint16_t status;
    } rows[] = {{"", CB_SW_OK},
                {"970100", CB_SW_OK},
                {"970101", CB_SW_SM_DATA},
                {"97020000", CB_SW_SM_DATA},
                {"9700", CB_SW_SM_DATA},
                {"970100970100", CB_SW_SM_DATA},
                {"8700", CB_SW_SM_DATA},
                {"870101", CB_SW_SM_DATA},
                {"87100100000000000000000000000000000000", CB_SW_SM_DATA},
                {"87120100000000000000000000000000000000"
                 "00",
                 CB_SW_SM_DATA},
                {"810100", CB_SW_SM_DATA},
                {"99029000", CB_SW_SM_DATA},
                {"9702", CB_SW_SM_DATA},
                {"8E080000000000000000", CB_SW_SM_DATA}};
    cb_vpiv_channel first;
    uint8_t cryptogram[CB_VPIV_CRYPTOGRAM];
    (void)state;
    assert_int_equal(open_with(&ours, 0x00, &first, cryptogram), CB_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cb_vpiv_channel channel = first;
        vpiv_host host = {.keys = first};
        cb_buf objects, plain, field = CB_BUF(FIELD_MAX);
        vpiv_host_wrap_objects(&host, &(cb_apdu){.ins = 0x20, .p2 = 0x80},
                               hex(rows[i].objects, &objects), &field);
        assert_int_equal(
            take(&channel, (uint8_t[]){0x20, 0x00, 0x80}, cb_buf_bytes(&field), &plain),
            rows[i].status);
        cb_buf_free(&plain);
        channel = first; /* and without a MAC there is nothing */
        uint16_t status =
            take(&channel, (uint8_t[]){0x20, 0x00, 0x80}, cb_buf_bytes(&objects), &plain);
        assert_int_not_equal(status, CB_SW_OK);
        if (rows[i].status == CB_SW_OK)
            assert_int_equal(status, CB_VPIV_SW_OBJECTS_MISSING);
        cb_buf_free(&objects);
        cb_buf_free(&plain);
        cb_buf_free(&field);
    }
}

static uint16_t take_padded(const char *padded, const char *before, const char *after)
{
    cb_vpiv_channel channel;
    uint8_t cryptogram[CB_VPIV_CRYPTOGRAM];
    cb_buf text, more, plain, objects = CB_BUF(FIELD_MAX), field = CB_BUF(FIELD_MAX);
    assert_int_equal(open_with(&ours, 0x00, &channel, cryptogram), CB_OK);
    vpiv_host host = {.keys = channel};
    cb_buf_put(&objects, hex(before, &more));
    cb_buf_free(&more);
    vpiv_host_encrypt(&host, hex(padded, &text), &objects);
    cb_buf_put(&objects, hex(after, &more));
    vpiv_host_wrap_objects(&host, &(cb_apdu){.ins = 0x20, .p2 = 0x80}, cb_buf_bytes(&objects),
                           &field);
    uint16_t status = take(&channel, (uint8_t[]){0x20, 0x00, 0x80}, cb_buf_bytes(&field), &plain);
    cb_buf_free(&text);
    cb_buf_free(&more);
    cb_buf_free(&plain);
    cb_buf_free(&objects);
    cb_buf_free(&field);
    return status;
}

#define ZEROS "00000000000000000000000000000000"

static void padding_is_80_and_zeros(void **state)
{
    static const char full[] = "000102030405060708090A0B0C0D0E80";
    (void)state;
    assert_int_equal(take_padded(full, "", ""), CB_SW_OK);
    assert_int_equal(take_padded("80000000000000000000000000000000", "", ""), CB_SW_OK);
    assert_int_equal(take_padded(ZEROS "80000000000000000000000000000000", "", ""), CB_SW_OK);
    assert_int_equal(take_padded(ZEROS, "", ""), CB_SW_SM_DATA);
    assert_int_equal(take_padded(ZEROS ZEROS, "", ""), CB_SW_SM_DATA);
    assert_int_equal(take_padded("80000000000000000000000000000000" ZEROS, "", ""), CB_SW_SM_DATA);
    assert_int_equal(take_padded("000102030405060708090A0B0C0D0E0F", "", ""), CB_SW_SM_DATA);
    assert_int_equal(take_padded("000102030405060708090A0B0C0D8001", "", ""), CB_SW_SM_DATA);
    assert_int_equal(take_padded(full, "", "970100"), CB_SW_OK);
    assert_int_equal(take_padded(full, "970100", ""), CB_SW_SM_DATA);
    assert_int_equal(take_padded(full, "87110100000000000000000000000000000000", ""),
                     CB_SW_SM_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_keys_are_those_of_the_standard),
        cmocka_unit_test(the_hosts_control_byte_counts),
        cmocka_unit_test(a_real_card_said_the_same),
        cmocka_unit_test(only_what_has_the_right_sizes_agrees),
        cmocka_unit_test(a_card_agrees_as_the_standard_says),
        cmocka_unit_test(a_card_answers_as_the_standard_says),
        cmocka_unit_test(no_byte_of_a_command_can_be_another),
        cmocka_unit_test(objects_come_as_the_standard_has_them),
        cmocka_unit_test(padding_is_80_and_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
