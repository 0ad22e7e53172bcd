/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading a JPKI card's signature certificate, from cards that answer as they like.
 */
#include "cardlink/terminal/jpki_signer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/apdu.h"

/* A card that holds some bytes as its certificate, and answers with these words. */
typedef struct fake_card {
    cb_bytes file;
    size_t most; /* bytes a READ gives */
    uint16_t tries, verify, read;
    unsigned verified, selected, reads;
    uint32_t noise; /* not 0: answers are made of it */
} fake_card;

static uint32_t next(fake_card *card)
{
    card->noise = card->noise * 1664525u + 1013904223u;
    return card->noise >> 8;
}

static cb_error answer_noise(fake_card *card, cb_buf *answer)
{
    static const uint16_t words[] = {0x9000, 0x9000, 0x9000, 0x63C5,
                                     0x63C2, 0x6983, 0x6A82, 0x6B00};
    size_t len = next(card) % 300 % 260;
    for (size_t i = 0; i < len; i++)
        cb_buf_put_u8(answer, i == 0 ? 0x30 : i == 1 ? 0x82 : (uint8_t)next(card));
    cb_buf_put_u16(answer, words[next(card) % 8]);
    return cb_buf_error(answer);
}

static cb_error transmit(void *context, cb_bytes command, cb_buf *answer)
{
    fake_card *card = context;
    if (card->noise)
        return answer_noise(card, answer);
    uint16_t status = CB_SW_OK;
    if (command.data[1] == 0xA4 && command.data[2] == 0x04) {
        card->selected++;
    } else if (command.data[1] == 0x20 && command.len <= 5) {
        status = card->tries;
    } else if (command.data[1] == 0x20) {
        card->verified++;
        status = card->verify;
    } else if (command.data[1] == 0xB0) {
        size_t at = (size_t)(command.data[2] << 8 | command.data[3]);
        size_t len = at < card->file.len ? card->file.len - at : 0;
        card->reads++;
        status = card->read;
        cb_buf_put(answer, cb_bytes_make(card->file.data + (at < card->file.len ? at : 0),
                                         len < card->most ? len : card->most));
    } else if (command.data[1] != 0xA4) {
        fail_msg("a command that is none of reading: %02x", command.data[1]);
    }
    cb_buf_put_u16(answer, status);
    return cb_buf_error(answer);
}

static cb_error read_it(fake_card *card, int *left)
{
    cb_buf certificate = CB_BUF(4096);
    const cb_card_io io = {.card = card, .transmit = transmit};
    cb_error error = cb_jpki_signer_read(&io, cb_bytes_str("ABC123"), &certificate, left);
    assert_true(error == CB_OK || certificate.len == 0);
    cb_buf_free(&certificate);
    return error;
}

static fake_card usual(const uint8_t *file, size_t len)
{
    return (fake_card){
        .file = {file, len}, .most = 256, .tries = 0x63C5, .verify = CB_SW_OK, .read = CB_SW_OK};
}

static void what_is_no_certificate_is_refused_and_the_pin_forgotten(void **state)
{
    static uint8_t file[8192];
    static const struct {
        uint8_t head[4];
        size_t len;
        cb_error error;
    } cases[] = {{{0x30, 0x82, 0x01, 0x00}, 260, CB_E_CARD_CERTIFICATE}, /* zeros within */
                 {{0x30, 0x82, 0x01, 0x00}, 259, CB_E_CARD_ANSWER},      /* it ends too early */
                 {{0x30, 0x82, 0xFF, 0xFF}, 8192, CB_E_CARD_CERTIFICATE},
                 {{0x30, 0x81, 0x80, 0x00}, 200, CB_E_CARD_CERTIFICATE},
                 {{0, 0, 0, 0}, 200, CB_E_CARD_CERTIFICATE},
                 {{0x30, 0x82, 0x01, 0x00}, 3, CB_E_CARD_ANSWER},
                 {{0x30, 0x82, 0x01, 0x00}, 0, CB_E_CARD_ANSWER}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int left;
        memcpy(file, cases[i].head, sizeof cases[i].head);
        fake_card card = usual(file, cases[i].len);
        assert_int_equal(read_it(&card, &left), cases[i].error);
        assert_int_equal(card.selected, 2);
        assert_in_range(card.reads, 1, 64);
    }
    /* A byte at a time would never end. */
    int left;
    memcpy(file, cases[0].head, sizeof cases[0].head);
    fake_card card = usual(file, 260);
    card.most = 1;
    assert_int_equal(read_it(&card, &left), CB_E_CARD_ANSWER);
    assert_int_equal(card.reads, 1);
    card.most = 4;
    assert_int_equal(read_it(&card, &left), CB_E_CARD_ANSWER);
    assert_in_range(card.reads, 1, 66);
}

static void no_try_is_wasted(void **state)
{
    static const uint8_t file[4];
    static const struct {
        uint16_t tries, verify;
        cb_error error;
        int left;
        unsigned verified;
    } cases[] = {
        {0x63C0, 0x9000, CB_E_PIN_BLOCKED, 0, 0}, {0x6983, 0x9000, CB_E_PIN_BLOCKED, -1, 0},
        {0x63C1, 0x9000, CB_E_DENIED, 1, 0},      {0x6A82, 0x9000, CB_E_CARD_STATUS, -1, 0},
        {0x63C2, 0x63C1, CB_E_PIN_WRONG, 1, 1},   {0x63C5, 0x63C0, CB_E_PIN_BLOCKED, 0, 1},
        {0x63C5, 0x6983, CB_E_PIN_BLOCKED, 5, 1}, {0x63C5, 0x6700, CB_E_CARD_STATUS, 5, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int left = 9;
        fake_card card = usual(file, sizeof file);
        card.tries = cases[i].tries;
        card.verify = cases[i].verify;
        assert_int_equal(read_it(&card, &left), cases[i].error);
        assert_int_equal(left, cases[i].left);
        assert_int_equal(card.verified, cases[i].verified);
        assert_int_equal(card.reads, 0);
    }
}

static void a_pin_is_letters_and_digits(void **state)
{
    char good[] = "abC12z", most[] = "0123456789ABCDEF";
    char bad[][20] = {"", "12345", "0123456789ABCDEFG", "12 456", "12345\n", "12345\xC3"};
    (void)state;
    assert_true(cb_jpki_signer_pin(good));
    assert_string_equal(good, "ABC12Z");
    assert_true(cb_jpki_signer_pin(most));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cb_jpki_signer_pin(bad[i]));
}

static void whatever_a_card_answers_it_comes_to_an_end(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed < 20000; seed++) {
        int left;
        fake_card card = {.noise = seed * 2654435761u | 1u};
        assert_int_not_equal(read_it(&card, &left), CB_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_certificate_is_refused_and_the_pin_forgotten),
        cmocka_unit_test(no_try_is_wasted),
        cmocka_unit_test(a_pin_is_letters_and_digits),
        cmocka_unit_test(whatever_a_card_answers_it_comes_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
