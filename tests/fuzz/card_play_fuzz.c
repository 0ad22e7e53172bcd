/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A card that answers a terminal as it likes, to a script of the broker's.
 *
 * An input is u16 length and a script as the broker encodes it, then what the card answers to each
 * command, each: u8 how, u8 length, bytes. How 0: bytes as they are; 1: 61 length; 2: 6C length;
 * 3: bytes and 90 00; 4: taken away.
 *
 * It ends after a bounded number of exchanges; what the card gets are short command APDUs; what the
 * broker gets can be read as answers, no more than there were commands, and the script went on only
 * as it says.
 */
#include <stdlib.h>

#include "cardlink/apdu.h"
#include "cardlink/terminal/play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned exchanges;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    cb_cursor *in = card;
    uint8_t for_t0[CB_COMMAND_MAX];
    must(cb_command_ok(command));
    size_t len = cb_command_for_t0(command, for_t0);
    must(len >= 5 && len <= command.len + 1 && len <= sizeof for_t0);
    exchanges++;
    uint8_t how = cb_cursor_u8(in) % 5;
    len = cb_cursor_u8(in);
    if (!cb_cursor_ok(in) || how == 4)
        return CB_E_CARD_REMOVED;
    if (how == 1 || how == 2) {
        cb_buf_put_u16(answer, (uint16_t)((how == 1 ? 0x6100 : 0x6C00) | len));
        return cb_buf_error(answer);
    }
    cb_buf_put(answer, cb_cursor_take(in, len < in->rest.len ? len : in->rest.len));
    if (how == 3)
        cb_buf_put_u16(answer, CB_SW_OK);
    return cb_buf_error(answer);
}

static void check(const cb_script *script, const cb_buf *encoded, bool whole)
{
    cb_script answers;
    must(cb_script_read(cb_buf_bytes(encoded), CB_ANSWER_MAX, &answers) == CB_OK);
    must(answers.count <= script->count);
    for (size_t i = 0; i < answers.count; i++) {
        bool goes_on = cb_answer_status(answers.item[i].apdu) == CB_SW_OK ||
                       script->item[i].flags & CB_SCRIPT_GO_ON;
        bool last = i + 1 == answers.count;
        must(goes_on || last);
        must(!goes_on || !last || !whole || answers.count == script->count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    cb_script script;
    size_t len = cb_cursor_u16(&in);
    cb_bytes encoded = cb_cursor_take(&in, len < in.rest.len ? len : in.rest.len);
    cb_card_io io = {.card = &in, .transmit = transmit};
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    if (cb_script_read(encoded, CB_COMMAND_MAX, &script))
        return 0;
    exchanges = 0;
    cb_error error = cb_play(&io, &script, &answers);
    must(exchanges <= 80 * script.count && (error != CB_E_FORMAT || exchanges == 0));
    if (answers.len > 0 && cb_buf_error(&answers) == CB_OK)
        check(&script, &answers, error == CB_OK);
    cb_buf_free(&answers);
    return 0;
}
