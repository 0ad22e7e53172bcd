/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/play.h"

#include "base/secret.h"
#include "cardlink/apdu.h"

enum {
    HEADER = 4,
    HEADER_LE = 5,
    ROUNDS_MAX = 40, /* of GET RESPONSE for one command: more than CB_ANSWER_MAX needs */
    SW1_MORE = 0x61,
    SW1_WRONG_LE = 0x6C,
    INS_GET_RESPONSE = 0xC0
};

/* The length of header, Lc and data; 0 if the command has no data, or is none. */
static size_t end_of_data(cb_bytes command)
{
    cb_apdu apdu = {0};
    return cb_apdu_read(command, &apdu) == CB_OK && apdu.data.len > 0 ? 5 + apdu.data.len : 0;
}

bool cb_command_ok(cb_bytes command)
{
    cb_apdu apdu;
    return cb_apdu_read(command, &apdu) == CB_OK;
}

size_t cb_command_for_t0(cb_bytes command, uint8_t *out)
{
    size_t end = end_of_data(command);
    size_t len = end ? end : command.len;
    memcpy(out, command.data, len);
    if (len == HEADER)
        out[len++] = 0;
    return len;
}

/* The same command, asking for as many bytes as the card says it has. */
static cb_bytes with_le(cb_bytes command, uint8_t le, uint8_t copy[CB_COMMAND_MAX])
{
    size_t end = end_of_data(command);
    size_t len = end ? end : HEADER;
    memcpy(copy, command.data, len);
    copy[len] = le;
    return cb_bytes_make(copy, len + 1);
}

/* On the command's logical channel, without secure messaging (ISO/IEC 7816-4, 5.4.1). */
static cb_bytes get_response(cb_bytes command, uint8_t le, uint8_t out[HEADER_LE])
{
    cb_cursor cursor = cb_cursor_over(command);
    uint8_t class = cb_cursor_u8(&cursor);
    out[0] = class & 0x40 ? (uint8_t)(0x40 | (class & 0x0F)) : (uint8_t)(class & 0x03);
    out[1] = INS_GET_RESPONSE;
    out[2] = 0;
    out[3] = 0;
    out[4] = le;
    return cb_bytes_make(out, HEADER_LE);
}

/* One exchange; a wrong Le is put right once. part holds the answer. */
static cb_error exchange(const cb_card_io *io, cb_bytes command, cb_buf *part)
{
    uint8_t corrected[CB_COMMAND_MAX];
    cb_buf_reset(part);
    cb_error error = io->transmit(io->card, command, part);
    uint16_t status = cb_answer_status(cb_buf_bytes(part));
    if (!error && part->len == 2 && status >> 8 == SW1_WRONG_LE) {
        cb_bytes again = with_le(command, (uint8_t)status, corrected);
        cb_buf_reset(part);
        error = io->transmit(io->card, again, part);
        cb_wipe(corrected, sizeof corrected);
    }
    if (error == CB_E_TOO_LARGE || (!error && part->len < 2))
        error = CB_E_CARD_ANSWER;
    return error;
}

/* A command and all of its answer: the data of every part, then the last status. */
static cb_error exchange_whole(const cb_card_io *io, cb_bytes command, cb_buf *part, cb_buf *whole)
{
    uint8_t more[HEADER_LE];
    cb_bytes next = command;
    cb_buf_reset(whole);
    for (int round = 0; round < ROUNDS_MAX; round++) {
        cb_error error = exchange(io, next, part);
        if (error)
            return error;
        uint16_t status = cb_answer_status(cb_buf_bytes(part));
        cb_buf_put(whole, cb_answer_data(cb_buf_bytes(part)));
        if (status >> 8 != SW1_MORE) {
            cb_buf_put_u16(whole, status);
            return cb_buf_error(whole) == CB_E_TOO_LARGE ? CB_E_CARD_ANSWER : cb_buf_error(whole);
        }
        next = get_response(command, (uint8_t)status, more);
    }
    return CB_E_CARD_ANSWER;
}

cb_error cb_play(const cb_card_io *io, const cb_script *script, cb_buf *answers)
{
    cb_error error = CB_OK;
    cb_buf part = CB_BUF(CB_ANSWER_MAX);
    cb_buf whole = CB_BUF(CB_ANSWER_MAX);
    for (size_t i = 0; i < script->count && !error; i++)
        error = cb_command_ok(script->item[i].apdu) ? CB_OK : CB_E_FORMAT;
    bool on = true;
    for (size_t i = 0; i < script->count && on && !error; i++) {
        const cb_script_item *item = &script->item[i];
        error = exchange_whole(io, item->apdu, &part, &whole);
        if (error)
            break;
        cb_script_put(answers, 0, cb_buf_bytes(&whole));
        error = cb_buf_error(answers);
        on = cb_answer_status(cb_buf_bytes(&whole)) == CB_SW_OK || item->flags & CB_SCRIPT_GO_ON;
    }
    cb_buf_free(&part);
    cb_buf_free(&whole);
    return error;
}
