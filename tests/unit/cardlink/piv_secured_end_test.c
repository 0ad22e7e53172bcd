/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What ends a channel of PIV secure messaging (NIST SP 800-73-4, part 2, 4.2.7 and 4.3), and what
 * lasts of the card.
 */
#include "vpiv_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define BYTES(text) cb_bytes_make(text, sizeof(text) - 1)
#define GUID_OBJECT BYTES("\x5C\x03\x5F\xC1\x02")

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

/* A well-made command, not sent. */
static void wrap_get(vpiv_host *host, cb_bytes list, cb_buf *field)
{
    *field = CB_BUF(256);
    vpiv_host_wrap(host, &(cb_apdu){0, VPIV_GET, 0x3F, 0xFF, list, true}, field);
}

static uint16_t send_get(vpiv_host *host, cb_bytes field)
{
    cb_buf answer = CB_BUF(8192);
    uint16_t status =
        vpiv_host_raw(host, &(cb_apdu){.ins = VPIV_GET, .p1 = 0x3F, .p2 = 0xFF}, field, &answer);
    assert_true(status == CB_SW_OK || answer.len == 0);
    cb_buf_free(&answer);
    return status;
}

static uint16_t establish(const vpiv_card *p, uint8_t algorithm, cb_bytes request)
{
    return vpiv_send(p->card, VPIV_USE, algorithm, 0x04, request, NULL);
}

static void expect_ended(const vpiv_card *p, vpiv_host *host)
{
    assert_false(vpiv_host_is_open(p));
    assert_int_equal(vpiv_host_get(host, GUID_OBJECT, NULL), CB_SW_SECURITY);
    *host = vpiv_host_opened(p);
    assert_int_equal(vpiv_host_get(host, GUID_OBJECT, NULL), CB_SW_OK);
}

static void an_error_in_secure_messaging_ends_it(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    cb_buf field;
    wrap_get(&host, GUID_OBJECT, &field);
    field.data[field.len - 1] ^= 1;
    assert_int_equal(send_get(&host, cb_buf_bytes(&field)), CB_SW_SM_DATA);
    cb_buf_free(&field);
    expect_ended(p, &host);
    assert_int_equal(send_get(&host, (cb_bytes){0}), CB_VPIV_SW_OBJECTS_MISSING);
    expect_ended(p, &host);
    assert_int_equal(send_get(&host, BYTES("\x97\x01\x00")), CB_VPIV_SW_OBJECTS_MISSING);
    expect_ended(p, &host);
    assert_int_equal(vpiv_raw(p->card, BYTES("\x0C\xCB\x3F"), NULL), CB_SW_LENGTH);
    expect_ended(p, &host);
}

static void a_command_counts_once_and_in_its_turn(void **state)
{
    vpiv_card *p = *state;
    for (int i = 0; i < 3; i++) {
        vpiv_host host = vpiv_host_opened(p);
        cb_buf first, second;
        wrap_get(&host, GUID_OBJECT, &first);
        host.keys.counter++;
        wrap_get(&host, GUID_OBJECT, &second);
        if (i < 2)
            assert_int_equal(send_get(&host, cb_buf_bytes(&first)), CB_SW_OK);
        if (i == 0) /* both, in their turn */
            assert_int_equal(send_get(&host, cb_buf_bytes(&second)), CB_SW_OK);
        else /* the first again; the second alone */
            assert_int_equal(send_get(&host, cb_buf_bytes(i == 1 ? &first : &second)),
                             CB_SW_SM_DATA);
        assert_int_equal(vpiv_host_is_open(p), i == 0);
        cb_buf_free(&first);
        cb_buf_free(&second);
    }
}

static void a_command_of_another_channel_is_none_of_this(void **state)
{
    vpiv_card *p = *state;
    vpiv_host before = vpiv_host_opened(p), host = vpiv_host_opened(p);
    cb_buf field;
    wrap_get(&before, GUID_OBJECT, &field);
    assert_int_equal(send_get(&host, cb_buf_bytes(&field)), CB_SW_SM_DATA);
    cb_buf_free(&field);
    expect_ended(p, &host);
}

static void the_counter_counts_every_command(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    for (unsigned i = 2; i < 5; i++) {
        assert_int_equal(vpiv_host_send(&host, 0x20, 0x00, 0x80, (cb_bytes){0}, NULL), 0x63C3);
        assert_true(application(p)->session.channel.counter == i);
    }
}

static void only_four_commands_go_inside(void **state)
{
    static const struct {
        uint8_t ins, p1, p2;
    } rows[] = {{0xA4, 0x04, 0x00}, {0x2C, 0x00, 0x80}, {0xDB, 0x3F, 0xFF}, {0x47, 0x00, 0x9A},
                {0xC0, 0x00, 0x00}, {0x87, 0x27, 0x04}, {0x87, 0x11, 0x04}, {0xFF, 0x00, 0x00}};
    vpiv_card *p = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vpiv_host host = vpiv_host_opened(p);
        assert_int_equal(
            vpiv_host_send(&host, rows[i].ins, rows[i].p1, rows[i].p2, GUID_OBJECT, NULL),
            CB_VPIV_SW_NOT_SECURED);
        expect_ended(p, &host);
    }
}

static void power_and_other_requests_end_it(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    cb_vcard_reset(p->card);
    assert_false(vpiv_host_is_open(p));
    assert_int_equal(vpiv_host_get(&host, GUID_OBJECT, NULL), CB_SW_SECURITY);
    assert_int_equal(vpiv_select(p->card), CB_SW_OK);
    expect_ended(p, &host);
    assert_int_equal(establish(p, 0x2E, BYTES("\x7C\x02\x82\x00")), CB_SW_PARAMETERS);
    expect_ended(p, &host);
    assert_int_equal(vpiv_send(p->card, VPIV_USE, 0x11, 0x9E, BYTES("\x7C\x02\x82\x00"), NULL),
                     CB_SW_DATA);
    assert_true(vpiv_host_is_open(p)); /* that was another key */
}

static void a_chain_that_is_too_long_ends_it(void **state)
{
    vpiv_card *p = *state;
    vpiv_host host = vpiv_host_opened(p);
    uint8_t field[CB_VPIV_COMMAND_MAX + 1] = {0};
    assert_int_equal(send_get(&host, CB_BYTES_OF(field)), CB_SW_LENGTH);
    expect_ended(p, &host);
}

static void a_try_is_durable_before_it_is_answered(void **state)
{
    (void)state;
    for (int at = 1; at <= 3; at++) {
        for (int after = 0; after < 2; after++) {
            vpiv_card p;
            vpiv_card_make_secured(&p, usual, CB_VPIV_AES_128);
            assert_int_equal(vpiv_select(p.card), CB_SW_OK);
            vpiv_host host = vpiv_host_opened(&p);
            p.memory.fails_at = at;
            p.memory.after = after;
            uint16_t wrong = vpiv_host_verify(&host, "999999");
            assert_int_equal(wrong, at == 1 ? CB_SW_MEMORY : 0x63C2);
            if (at > 1)
                assert_int_equal(vpiv_host_verify(&host, VPIV_CARD_PIN), CB_SW_MEMORY);
            assert_int_equal(vpiv_host_verify(&host, VPIV_CARD_PIN), CB_SW_MEMORY); /* mute */
            assert_false(vpiv_host_is_open(&p));
            vpiv_card_wake(&p);
            int tries = at == 1 ? 3 - after : at == 2 ? 2 - after : after ? 3 : 1;
            assert_int_equal(application(&p)->state.pin_tries, tries);
            assert_false(vpiv_host_is_open(&p));
            vpiv_card_free(&p);
        }
    }
}

static void a_state_with_a_key_is_read_as_it_was_written(void **state)
{
    const cb_vpiv_state *made = &((vpiv_card *)*state)->first;
    cb_buf file = CB_BUF(CB_CARD_STATE_MAX), again = CB_BUF(CB_CARD_STATE_MAX);
    cb_vpiv_state read;
    cb_vpiv_state_put(&file, made);
    assert_int_equal(file.data[0], 2);
    assert_int_equal(cb_vpiv_state_parse(cb_buf_bytes(&file), &read), CB_OK);
    assert_memory_equal(&read.channel_key, &made->channel_key, sizeof read.channel_key);
    assert_int_equal(read.cvc_len, made->cvc_len);
    assert_memory_equal(read.cvc, made->cvc, made->cvc_len);
    cb_vpiv_state_put(&again, &read);
    assert_true(cb_bytes_same(cb_buf_bytes(&file), cb_buf_bytes(&again)));
    cb_vpiv_state_free(&read);
    for (size_t len = 0; len < file.len; len += len + 600 < file.len ? 97 : 1)
        assert_int_equal(cb_vpiv_state_parse(cb_bytes_make(file.data, len), &read), CB_E_FORMAT);
    file.data[0] = 1;
    assert_int_equal(cb_vpiv_state_parse(cb_buf_bytes(&file), &read), CB_E_FORMAT);
    file.data[0] = 3;
    assert_int_equal(cb_vpiv_state_parse(cb_buf_bytes(&file), &read), CB_E_FORMAT);
    cb_buf_free(&file);
    cb_buf_free(&again);
}

static void a_state_without_one_is_written_as_ever(void **state)
{
    const cb_vpiv_state *made = &((vpiv_card *)*state)->first;
    cb_buf file = CB_BUF(CB_CARD_STATE_MAX);
    cb_vpiv_state read;
    cb_vpiv_state_put(&file, made);
    assert_int_equal(file.data[0], 1);
    assert_int_equal(cb_vpiv_state_parse(cb_buf_bytes(&file), &read), CB_OK);
    assert_int_equal(read.channel_key.algorithm, CB_VCARD_NO_KEY);
    cb_vpiv_state_free(&read);
    cb_buf_free(&file);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITHOUT(test) cmocka_unit_test_setup_teardown(test, setup_plain, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(an_error_in_secure_messaging_ends_it),
        WITH(a_command_counts_once_and_in_its_turn),
        WITH(a_command_of_another_channel_is_none_of_this),
        WITH(the_counter_counts_every_command),
        WITH(only_four_commands_go_inside),
        WITH(power_and_other_requests_end_it),
        WITH(a_chain_that_is_too_long_ends_it),
        cmocka_unit_test(a_try_is_durable_before_it_is_answered),
        WITH(a_state_with_a_key_is_read_as_it_was_written),
        WITHOUT(a_state_without_one_is_written_as_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
