/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/secure_messaging.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/script.h"

/* The two ends of a channel, and one exchange over it. */
typedef struct ends {
    cb_sm broker, card;
} ends;

static ends fresh(void)
{
    ends e;
    e.broker = (cb_sm){.key_len = 16, .counter = 1};
    memset(e.broker.enc, 1, 16);
    memset(e.broker.mac, 2, 16);
    memset(e.broker.rmac, 3, 16);
    memset(e.broker.chain, 4, 16);
    e.card = e.broker;
    return e;
}

static cb_error deliver(cb_sm *card, cb_bytes wrapped, cb_buf *out, cb_apdu *plain)
{
    cb_apdu apdu;
    cb_error error = cb_apdu_read(wrapped, &apdu);
    return error ? error : cb_sm_open_command(card, &apdu, out, plain);
}

static void every_length_goes_through(void **state)
{
    uint8_t data[CB_SM_PLAIN_MAX];
    ends e = fresh();
    (void)state;
    memset(data, 0x80, sizeof data); /* looks like padding */
    for (size_t len = 0; len <= sizeof data; len++) {
        cb_buf command = CB_BUF(CB_COMMAND_MAX), out = CB_BUF(256), answer = CB_BUF(260),
               back = CB_BUF(256);
        cb_sm_mark mark;
        cb_apdu plain, sent = {0x80, 0x20, 1, 2, cb_bytes_make(data, len), true};
        assert_int_equal(cb_sm_wrap_command(&e.broker, &sent, &command, &mark), CB_OK);
        assert_int_equal(command.data[0], 0x84);
        assert_int_equal(deliver(&e.card, cb_buf_bytes(&command), &out, &plain), CB_OK);
        assert_int_equal(plain.cla, 0x80);
        assert_true(cb_bytes_same(plain.data, sent.data));
        assert_int_equal(cb_sm_wrap_answer(&e.card, sent.data, &answer), CB_OK);
        assert_int_equal(cb_sm_open_answer(&e.broker, &mark, cb_buf_bytes(&answer), &back), CB_OK);
        assert_true(cb_bytes_same(cb_buf_bytes(&back), sent.data));
        cb_buf_free(&command);
        cb_buf_free(&out);
        cb_buf_free(&answer);
        cb_buf_free(&back);
    }
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    cb_sm_mark mark;
    uint8_t long_data[CB_SM_PLAIN_MAX + 1] = {0};
    assert_int_equal(cb_sm_wrap_command(&e.broker,
                                        &(cb_apdu){0x80, 0, 0, 0, CB_BYTES_OF(long_data), false},
                                        &command, &mark),
                     CB_E_TOO_LARGE);
    cb_buf_free(&command);
}

static void changed_repeated_and_late_commands_are_refused(void **state)
{
    ends e = fresh();
    cb_buf one = CB_BUF(CB_COMMAND_MAX), two = CB_BUF(CB_COMMAND_MAX), out = CB_BUF(256);
    cb_sm_mark mark;
    cb_apdu plain;
    cb_bytes data = cb_bytes_str("some data");
    (void)state;
    cb_sm_wrap_command(&e.broker, &(cb_apdu){0x80, 1, 0, 0, data, true}, &one, &mark);
    cb_sm_wrap_command(&e.broker, &(cb_apdu){0x80, 1, 0, 0, data, true}, &two, &mark);
    assert_false(cb_bytes_same(cb_buf_bytes(&one), cb_buf_bytes(&two)));
    for (size_t i = 0; i + 1 < one.len; i++) { /* all but Le */
        cb_sm card = e.card;
        one.data[i] ^= 1;
        assert_int_not_equal(deliver(&card, cb_buf_bytes(&one), &out, &plain), CB_OK);
        one.data[i] ^= 1;
    }
    cb_sm card = e.card;
    assert_int_equal(deliver(&card, cb_buf_bytes(&two), &out, &plain), CB_E_CARD_ANSWER);
    card = e.card;
    assert_int_equal(deliver(&card, cb_buf_bytes(&one), &out, &plain), CB_OK);
    assert_int_equal(deliver(&card, cb_buf_bytes(&one), &out, &plain), CB_E_CARD_ANSWER);
    cb_buf_free(&one);
    cb_buf_free(&two);
    cb_buf_free(&out);
}

static void an_answer_belongs_to_its_command(void **state)
{
    ends e = fresh();
    cb_buf command = CB_BUF(CB_COMMAND_MAX), out = CB_BUF(256),
           answer[2] = {CB_BUF(300), CB_BUF(300)};
    cb_buf back = CB_BUF(256);
    cb_sm_mark mark[2];
    cb_apdu plain;
    (void)state;
    for (int i = 0; i < 2; i++) {
        cb_buf_reset(&command);
        cb_sm_wrap_command(&e.broker, &(cb_apdu){0x80, 1, 0, 0, {0}, true}, &command, &mark[i]);
        assert_int_equal(deliver(&e.card, cb_buf_bytes(&command), &out, &plain), CB_OK);
        cb_sm_wrap_answer(&e.card, cb_bytes_str("the same answer"), &answer[i]);
    }
    assert_int_equal(cb_sm_open_answer(&e.broker, &mark[1], cb_buf_bytes(&answer[1]), &back),
                     CB_OK);
    assert_int_equal(cb_sm_open_answer(&e.broker, &mark[0], cb_buf_bytes(&answer[1]), &back),
                     CB_E_CARD_ANSWER);
    assert_int_equal(cb_sm_open_answer(&e.broker, &mark[1], cb_buf_bytes(&answer[0]), &back),
                     CB_E_CARD_ANSWER);
    for (size_t i = 0; i < answer[0].len; i++) {
        answer[0].data[i] ^= 0x40;
        assert_int_equal(cb_sm_open_answer(&e.broker, &mark[0], cb_buf_bytes(&answer[0]), &back),
                         CB_E_CARD_ANSWER);
        answer[0].data[i] ^= 0x40;
        assert_int_equal(
            cb_sm_open_answer(&e.broker, &mark[0], cb_bytes_make(answer[0].data, i), &back),
            CB_E_CARD_ANSWER);
    }
    cb_buf_free(&command);
    cb_buf_free(&out);
    cb_buf_free(&answer[0]);
    cb_buf_free(&answer[1]);
    cb_buf_free(&back);
}

/* Some hosts encrypt a block of nothing but padding when there is no data; others send none. Both
 * are taken. */
static void a_block_of_padding_is_no_data(void **state)
{
    ends e = fresh();
    uint8_t block[16] = {0x80}, counter[16] = {[15] = 1}, iv[16], mac[16];
    const uint8_t header[] = {0x84, 0x01, 0, 0, 24};
    cb_buf out = CB_BUF(256), data = CB_BUF(256);
    cb_apdu plain;
    (void)state;
    cb_aes_block(cb_bytes_make(e.card.enc, 16), counter, iv);
    cb_aes_cbc_encrypt(cb_bytes_make(e.card.enc, 16), iv, CB_BYTES_OF(block), block);
    cb_aes_cmac(cb_bytes_make(e.card.mac, 16),
                (cb_bytes[]){CB_BYTES_OF(e.card.chain), CB_BYTES_OF(header), CB_BYTES_OF(block)}, 3,
                mac);
    cb_buf_put(&data, CB_BYTES_OF(block));
    cb_buf_put(&data, cb_bytes_make(mac, 8));
    assert_int_equal(cb_sm_open_command(&e.card,
                                        &(cb_apdu){0x84, 1, 0, 0, cb_buf_bytes(&data), true}, &out,
                                        &plain),
                     CB_OK);
    assert_int_equal(plain.data.len, 0);
    assert_int_equal(e.card.counter, 2);
    cb_buf_free(&out);
    cb_buf_free(&data);
}

static void the_counter_never_starts_anew(void **state)
{
    ends e = fresh();
    cb_buf command = CB_BUF(CB_COMMAND_MAX), out = CB_BUF(256);
    const cb_apdu ping = {0x80, 1, 0, 0, cb_bytes_str("x"), true};
    cb_sm_mark mark;
    cb_apdu plain;
    (void)state;
    e.broker.counter = e.card.counter = UINT32_MAX - 1;
    assert_int_equal(cb_sm_wrap_command(&e.broker, &ping, &command, &mark), CB_OK);
    assert_int_equal(deliver(&e.card, cb_buf_bytes(&command), &out, &plain), CB_OK);
    cb_buf_reset(&command);
    assert_int_equal(cb_sm_wrap_command(&e.broker, &ping, &command, &mark), CB_E_CRYPTO);
    assert_int_equal(command.len, 0);
    e.broker.counter = 1; /* a host that does not care; the C-MAC does not cover the counter */
    const cb_apdu nothing = {0x80, 1, 0, 0, {0}, true};
    assert_int_equal(cb_sm_wrap_command(&e.broker, &nothing, &command, &mark), CB_OK);
    assert_int_equal(deliver(&e.card, cb_buf_bytes(&command), &out, &plain), CB_E_CARD_ANSWER);
    cb_buf_free(&command);
    cb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_goes_through),
        cmocka_unit_test(changed_repeated_and_late_commands_are_refused),
        cmocka_unit_test(an_answer_belongs_to_its_command),
        cmocka_unit_test(a_block_of_padding_is_no_data),
        cmocka_unit_test(the_counter_never_starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
