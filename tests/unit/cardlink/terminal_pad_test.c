/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A reader's PIN pad: what the reader is told, what it may answer, and that the digits never come
 * to this program. PC/SC's calls are the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cardlink/terminal/pad.h"
#include "cardlink/terminal/play.h"
#include "cardlink/terminal/reader.h"
#include "tests/support/pcsc_calls.h"

enum { CARD = 8 };

/* ---- The reader ---- */

static uint8_t features[64];
static size_t features_len;
static LONG features_rv, verify_rv;
static uint8_t says[80];
static DWORD says_len;
static uint8_t asked[128];
static size_t asked_len;
static int transmitted;

LONG SCardConnect(SCARDCONTEXT context, LPCSTR reader, DWORD share, DWORD protocols,
                  LPSCARDHANDLE out, LPDWORD protocol)
{
    (void)context, (void)reader, (void)share, (void)protocols;
    *out = CARD;
    *protocol = SCARD_PROTOCOL_T1;
    return SCARD_S_SUCCESS;
}

LONG SCardDisconnect(SCARDHANDLE card, DWORD how)
{
    (void)card, (void)how;
    return SCARD_S_SUCCESS;
}

LONG SCardTransmit(SCARDHANDLE card, const SCARD_IO_REQUEST *send, LPCBYTE command, DWORD len,
                   SCARD_IO_REQUEST *receive, LPBYTE answer, LPDWORD answer_len)
{
    (void)card, (void)send, (void)command, (void)len, (void)receive;
    transmitted++;
    memcpy(answer, "\x90\x00", 2);
    *answer_len = 2;
    return SCARD_S_SUCCESS;
}

LONG SCardControl(SCARDHANDLE card, DWORD code, LPCVOID send, DWORD len, LPVOID answer, DWORD room,
                  LPDWORD answer_len)
{
    assert_int_equal(card, CARD);
    if (code == CM_IOCTL_GET_FEATURE_REQUEST) {
        assert_true(room >= features_len);
        memcpy(answer, features, features_len);
        *answer_len = features_len;
        return features_rv;
    }
    assert_int_equal(code, PAD_CODE);
    assert_true(len <= sizeof asked && room >= 2);
    memcpy(asked, send, len);
    asked_len = len;
    memcpy(answer, says, says_len <= room ? says_len : room);
    *answer_len = says_len;
    return verify_rv;
}

static const uint8_t with_pad[] = {0x0A, 4, 0x42, 0x33, 0x00, 0x0A, PAD_FEATURE};

static cb_readers *take(const uint8_t *list, size_t len)
{
    cb_readers *readers = NULL;
    memcpy(features, list, len);
    features_len = len;
    features_rv = verify_rv = SCARD_S_SUCCESS;
    asked_len = 0;
    transmitted = 0;
    assert_int_equal(cb_readers_open(&cb_reader_pcsc, "pcsc", CB_SECOND, &readers), CB_OK);
    assert_int_equal(cb_card_take(readers, "reader"), CB_OK);
    return readers;
}

static void answers(const char *bytes, size_t len)
{
    memcpy(says, bytes, len);
    says_len = len;
}

/* ---- The list of what it can do ---- */

static void the_code_is_found_among_others(void **state)
{
    uint32_t code = 0;
    (void)state;
    assert_true(cb_pad_find(CB_BYTES_OF(with_pad), &code));
    assert_int_equal(code, PAD_CODE);
    assert_false(cb_pad_find(cb_bytes_make(with_pad, 6), &code));
    assert_false(cb_pad_find((cb_bytes){0}, &code));
    for (size_t cut = 7; cut < sizeof with_pad; cut++)
        assert_false(cb_pad_find(cb_bytes_make(with_pad, cut), &code));
}

static void a_list_that_is_none_is_no_pad(void **state)
{
    static const uint8_t lists[][8] = {{6, 3, 1, 2, 3}, {6, 0}, {6, 255, 1, 2, 3, 4}, {6, 4, 1}};
    static const size_t len[] = {5, 2, 6, 3};
    uint8_t large[CB_PAD_FEATURES_MAX + 6];
    uint32_t code;
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_false(cb_pad_find(cb_bytes_make(lists[i], len[i]), &code));
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t[]){FEATURE_VERIFY_PIN_DIRECT, 4, 1, 2, 3, 4}[i % 6];
    assert_false(cb_pad_find(CB_BYTES_OF(large), &code));
}

/* ---- What it is told ---- */

static void the_structure_is_that_of_part_10(void **state)
{
    static const uint8_t piv[] = {0x00, 0x20, 0x00, 0x80}, jpki[] = {0x00, 0x20, 0x00, 0x84};
    /* Times, format, block of 8 bytes, no length, 6 to 8 digits, key, the reader's own text,
     * language, message, prologue, 13 bytes of command. */
    static const uint8_t of_piv[] = {30,   15, 0x82, 8,    0,    8,    6,    2,    0xFF, 0,    0,
                                     0,    0,  0,    0,    13,   0,    0,    0,    0,    0x20, 0,
                                     0x80, 8,  0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t of_jpki[] = {30, 15, 0x02, 0, 0, 16, 4, 2, 0xFF, 0, 0,   0,
                                      0,  0,  0,    4, 0, 0,  0, 0, 0x20, 0, 0x84};
    cb_buf block = CB_BUF(CB_PAD_BLOCK_MAX);
    (void)state;
    assert_int_equal(cb_pad_block(CB_BYTES_OF(piv), true, &block), CB_OK);
    assert_int_equal(block.len, sizeof of_piv);
    assert_memory_equal(block.data, of_piv, sizeof of_piv);
    cb_buf_reset(&block);
    assert_int_equal(cb_pad_block(CB_BYTES_OF(jpki), false, &block), CB_OK);
    assert_int_equal(block.len, sizeof of_jpki);
    assert_memory_equal(block.data, of_jpki, sizeof of_jpki);
    assert_int_equal(cb_pad_block(cb_bytes_make(piv, 3), true, &block), CB_E_FORMAT);
    cb_buf_free(&block);
}

/* ---- What it answers ---- */

static void the_cards_word_is_passed_on_and_the_readers_own_ends_the_tap(void **state)
{
    static const uint8_t header[] = {0x00, 0x20, 0x00, 0x80};
    static const struct {
        const char *bytes;
        size_t len;
        cb_error error;
    } cases[] = {
        {"\x90\x00", 2, CB_OK},
        {"\x63\xC2", 2, CB_OK}, /* wrong, two tries left: the broker's to judge */
        {"\x69\x83", 2, CB_OK}, /* blocked */
        {"\x64\x00", 2, CB_E_PIN_CANCELLED},
        {"\x64\x01", 2, CB_E_PIN_CANCELLED},
        {"\x64\x03", 2, CB_E_PIN_FORMAT},
        {"\x6B\x80", 2, CB_E_READER},
        {"\x90", 1, CB_E_READER},
        {"", 0, CB_E_READER},
        {"123456\x90\x00", 8, CB_E_READER}, /* nothing but a status may come back */
    };
    (void)state;
    cb_readers *readers = take(with_pad, sizeof with_pad);
    assert_true(cb_card_has_pad(readers));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_buf answer = CB_BUF(CB_ANSWER_MAX);
        answers(cases[i].bytes, cases[i].len);
        assert_int_equal(cb_card_verify(readers, CB_BYTES_OF(header), true, &answer),
                         cases[i].error);
        assert_int_equal(answer.len, cases[i].error ? 0 : 2);
        if (answer.len)
            assert_memory_equal(answer.data, cases[i].bytes, 2);
        cb_buf_free(&answer);
    }
    says_len = sizeof says; /* more than there was room for */
    cb_buf answer = CB_BUF(CB_ANSWER_MAX);
    assert_int_equal(cb_card_verify(readers, CB_BYTES_OF(header), true, &answer), CB_E_READER);
    cb_buf_free(&answer);
    cb_readers_close(&readers);
}

static void what_pcsc_says_of_it_is_understood(void **state)
{
    static const uint8_t header[] = {0x00, 0x20, 0x00, 0x80};
    static const struct {
        LONG rv;
        cb_error error;
    } cases[] = {
        {SCARD_E_TIMEOUT, CB_E_PIN_CANCELLED},      {SCARD_W_CANCELLED_BY_USER, CB_E_PIN_CANCELLED},
        {SCARD_W_REMOVED_CARD, CB_E_CARD_REMOVED},  {SCARD_W_RESET_CARD, CB_E_CARD_REMOVED},
        {SCARD_E_UNSUPPORTED_FEATURE, CB_E_READER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_buf answer = CB_BUF(CB_ANSWER_MAX);
        cb_readers *readers = take(with_pad, sizeof with_pad);
        answers("\x90\x00", 2);
        verify_rv = cases[i].rv;
        assert_int_equal(cb_card_verify(readers, CB_BYTES_OF(header), true, &answer),
                         cases[i].error);
        assert_int_equal(answer.len, 0);
        cb_buf_free(&answer);
        cb_readers_close(&readers);
    }
}

static void a_reader_without_a_pad_is_not_asked(void **state)
{
    static const uint8_t header[] = {0x00, 0x20, 0x00, 0x80};
    cb_buf answer = CB_BUF(CB_ANSWER_MAX);
    (void)state;
    cb_readers *readers = take(with_pad, 6);
    assert_false(cb_card_has_pad(readers));
    assert_int_equal(cb_card_verify(readers, CB_BYTES_OF(header), true, &answer), CB_E_PIN_PAD);
    features_rv = SCARD_E_UNSUPPORTED_FEATURE;
    memcpy(features, with_pad, features_len = sizeof with_pad);
    assert_int_equal(cb_card_take(readers, "reader"), CB_OK);
    assert_false(cb_card_has_pad(readers));
    assert_int_equal(asked_len, 0);
    cb_readers_close(&readers);
    cb_buf_free(&answer);
}

/* ---- In a script ---- */

static void a_script_is_played_with_the_pad_in_the_place_of_digits(void **state)
{
    static const uint8_t select[] = {0x00, 0xA4, 0x04, 0x00}, header[] = {0x00, 0x20, 0x00, 0x80};
    cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX), back = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script script, played;
    (void)state;
    cb_readers *readers = take(with_pad, sizeof with_pad);
    const cb_card_io io = cb_card_io_of(readers, true);
    cb_script_put(&encoded, 0, CB_BYTES_OF(select));
    cb_script_put(&encoded, CB_SCRIPT_PIN_PADDED, CB_BYTES_OF(header));
    cb_script_put(&encoded, 0, CB_BYTES_OF(select));
    assert_int_equal(cb_script_read(cb_buf_bytes(&encoded), CB_COMMAND_MAX, &script), CB_OK);
    answers("\x90\x00", 2);
    assert_int_equal(cb_play(&io, &script, &back), CB_OK);
    assert_int_equal(transmitted, 3); /* among them VERIFY without a PIN, but none with one */
    assert_true(asked_len > 0);
    cb_buf_reset(&back);
    answers("\x63\xC1", 2);
    assert_int_equal(cb_play(&io, &script, &back), CB_OK);
    assert_int_equal(cb_script_read(cb_buf_bytes(&back), CB_ANSWER_MAX, &played), CB_OK);
    assert_int_equal(played.count, 2);
    assert_int_equal(cb_answer_status(played.item[1].apdu), 0x63C1);
    cb_buf_reset(&back);
    answers("\x64\x01", 2);
    assert_int_equal(cb_play(&io, &script, &back), CB_E_PIN_CANCELLED);
    cb_readers_close(&readers);
    cb_buf_free(&encoded);
    cb_buf_free(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_code_is_found_among_others),
        cmocka_unit_test(a_list_that_is_none_is_no_pad),
        cmocka_unit_test(the_structure_is_that_of_part_10),
        cmocka_unit_test(the_cards_word_is_passed_on_and_the_readers_own_ends_the_tap),
        cmocka_unit_test(what_pcsc_says_of_it_is_understood),
        cmocka_unit_test(a_reader_without_a_pad_is_not_asked),
        cmocka_unit_test(a_script_is_played_with_the_pad_in_the_place_of_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
