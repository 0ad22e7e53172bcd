/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/play.h"

#include "base/secret.h"
#include "cardlink/apdu.h"

enum {
    HEADER = 4,
    HEADER_LE = 5,
    PIN_PADDED = 8,
    PIN_BYTES_MAX = 16,
    ROUNDS_MAX = 40, /* of GET RESPONSE for one command: more than CB_ANSWER_MAX needs */
    SW1_MORE = 0x61,
    SW1_WRONG_LE = 0x6C,
    SW_NOT_SUPPORTED = 0x6A81, /* in this state, of this interface */
    INS_GET_RESPONSE = 0xC0
};

static cb_error to_card(void *card, cb_bytes command, cb_buf *answer)
{
    return cb_card_transmit(card, command, answer);
}

static cb_error by_pad(void *card, cb_bytes header, bool padded, cb_buf *answer)
{
    return cb_card_verify(card, header, padded, answer);
}

cb_card_io cb_card_io_of(cb_readers *readers, bool pad)
{
    return (cb_card_io){.card = readers, .transmit = to_card, .verify = pad ? by_pad : NULL};
}

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

/* A command and its answer: the data of every part, or of as many as are wanted, then the last
 * status. */
static cb_error exchange_whole(const cb_card_io *io, cb_bytes command, bool first_part,
                               cb_buf *part, cb_buf *whole)
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
        if (first_part && status >> 8 == SW1_MORE && whole->len > 0)
            status = CB_SW_OK;
        if (status >> 8 != SW1_MORE) {
            cb_buf_put_u16(whole, status);
            return cb_buf_error(whole) == CB_E_TOO_LARGE ? CB_E_CARD_ANSWER : cb_buf_error(whole);
        }
        next = get_response(command, (uint8_t)status, more);
    }
    return CB_E_CARD_ANSWER;
}

bool cb_script_wants_pin(const cb_script *script)
{
    for (size_t i = 0; i < script->count; i++) {
        if (script->item[i].flags & CB_SCRIPT_PIN)
            return true;
    }
    return false;
}

/* VERIFY on the basic channel and nothing else: whatever a card would store or say, it could be
 * asked for again. */
static bool is_verify(cb_bytes command)
{
    static const uint8_t verify[] = {0x00, 0x20, 0x00};
    return command.len == HEADER && memcmp(command.data, verify, sizeof verify) == 0;
}

static cb_error check(const cb_card_io *io, const cb_script_item *item)
{
    uint8_t form = item->flags & CB_SCRIPT_PIN;
    if (!cb_command_ok(item->apdu) || form == CB_SCRIPT_PIN || (form && !is_verify(item->apdu)))
        return CB_E_FORMAT;
    if (!form || io->verify)
        return CB_OK;
    if (io->pin.len == 0)
        return CB_E_PIN_REQUIRED;
    return io->pin.len <= PIN_BYTES_MAX &&
                   (form == CB_SCRIPT_PIN_ASCII || io->pin.len <= PIN_PADDED)
               ? CB_OK
               : CB_E_PIN_FORMAT;
}

/* The command with the digits behind it. */
static cb_bytes with_pin(const cb_card_io *io, const cb_script_item *item,
                         uint8_t out[HEADER_LE + PIN_BYTES_MAX])
{
    bool padded = item->flags & CB_SCRIPT_PIN_PADDED;
    size_t len = padded ? PIN_PADDED : io->pin.len;
    memcpy(out, item->apdu.data, HEADER);
    out[HEADER] = (uint8_t)len;
    memset(out + HEADER_LE, 0xFF, len);
    memcpy(out + HEADER_LE, io->pin.data, io->pin.len);
    return cb_bytes_make(out, HEADER_LE + len);
}

/* Whether the card is at the end of a script's first command already. */
static bool was_sent(const cb_card_io *io, const cb_script_item *first)
{
    return io->sent.len > 0 && !(first->flags & (CB_SCRIPT_PIN | CB_SCRIPT_PART)) &&
           cb_bytes_same(io->sent, first->apdu);
}

/* PIV cards compare no PIN over the air, which must not hear it then either. Asked for the tries
 * that are left, by VERIFY without a PIN (NIST SP 800-73-4, part 2, 3.2.1), they say the same. The
 * answer is in whole. */
static cb_error ask_for_tries(const cb_card_io *io, const cb_script_item *item, cb_buf *part,
                              cb_buf *whole, bool *refused)
{
    cb_error error = exchange_whole(io, item->apdu, false, part, whole);
    uint16_t status = cb_answer_status(cb_buf_bytes(whole));
    *refused = !error && (status == CB_SW_SECURITY || status == SW_NOT_SUPPORTED);
    return error;
}

static cb_error play_one(const cb_card_io *io, const cb_script_item *item, cb_buf *part,
                         cb_buf *whole)
{
    uint8_t filled[HEADER_LE + PIN_BYTES_MAX];
    bool pin = item->flags & CB_SCRIPT_PIN, refused = false;
    cb_error unasked =
        item->flags & CB_SCRIPT_PIN_PADDED ? ask_for_tries(io, item, part, whole, &refused) : CB_OK;
    if (unasked || refused)
        return unasked;
    if (pin && io->verify) {
        cb_buf_reset(whole);
        return io->verify(io->card, item->apdu, item->flags & CB_SCRIPT_PIN_PADDED, whole);
    }
    cb_bytes command = pin ? with_pin(io, item, filled) : item->apdu;
    cb_error error = exchange_whole(io, command, item->flags & CB_SCRIPT_PART, part, whole);
    if (pin)
        cb_wipe(filled, sizeof filled);
    return error;
}

cb_error cb_play(const cb_card_io *io, const cb_script *script, cb_buf *answers)
{
    cb_error error = CB_OK;
    cb_buf part = CB_BUF(CB_ANSWER_MAX);
    cb_buf whole = CB_BUF(CB_ANSWER_MAX);
    cb_buf first = CB_BUF(CB_ANSWER_MAX);
    for (size_t i = 0; i < script->count && !error; i++)
        error = i == 0 && script->item[i].flags & CB_SCRIPT_WHEN ? CB_E_FORMAT
                                                                 : check(io, &script->item[i]);
    bool on = true;
    for (size_t i = 0; i < script->count && on && !error; i++) {
        const cb_script_item *item = &script->item[i];
        if (!cb_script_plays(item, cb_buf_bytes(&first)))
            continue;
        if (i == 0 && was_sent(io, item))
            cb_buf_put(&whole, io->answered);
        else
            error = play_one(io, item, &part, &whole);
        error = error ? error : cb_buf_error(&whole);
        if (error)
            break;
        cb_script_put(answers, 0, cb_buf_bytes(&whole));
        if (i == 0)
            cb_buf_put(&first, cb_buf_bytes(&whole));
        error = cb_buf_error(answers) ? cb_buf_error(answers) : cb_buf_error(&first);
        on = cb_answer_status(cb_buf_bytes(&whole)) == CB_SW_OK || item->flags & CB_SCRIPT_GO_ON;
    }
    cb_buf_free(&part);
    cb_buf_free(&whole);
    cb_buf_free(&first);
    return error;
}
