/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal's commands to the SCP03 application, and its state file.
 *
 * The first byte chooses: a state (0), or commands (others), each: u8 how, u8 length, bytes. An odd
 * "how" sends the bytes inside the channel, with the session's own keys, after a host that has them
 * opened it; so what lies behind the MAC is reached. Without that, nothing is proved.
 */
#include <stdlib.h>

#include "base/secret.h"
#include "cardlink/card/card.h"
#include "cardlink/card/scp03/application.h"
#include "cardlink/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void read_state(cb_bytes bytes)
{
    cb_vscp03_state state;
    cb_buf again = CB_BUF(CB_CARD_STATE_MAX);
    if (cb_vscp03_state_parse(bytes, &state) == CB_OK) {
        cb_vscp03_state_put(&again, &state);
        must(cb_bytes_same(cb_buf_bytes(&again), bytes));
    }
    cb_buf_free(&again);
}

static cb_vcard *make_card(void)
{
    cb_vscp03_state state = {
        .keys.len = 16, .key_version = 0x30, .i = CB_SCP03_I_ANSWERS | CB_SCP03_I_PSEUDO_RANDOM};
    cb_card_content content = {0};
    cb_vcard *card = NULL;
    cb_buf bytes = CB_BUF(CB_CARD_STATE_MAX);
    cb_random(state.keys.enc, 16);
    cb_random(state.keys.mac, 16);
    cb_vscp03_state_put(&bytes, &state);
    must(cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vscp03_atr)) == CB_OK);
    must(cb_card_content_add(&content, &cb_applet_scp03, cb_buf_bytes(&bytes)) == CB_OK);
    cb_vcard_of(&content, NULL, &card);
    cb_buf_free(&bytes);
    return card;
}

static uint16_t send(cb_vcard *card, cb_bytes bytes)
{
    cb_buf answer = CB_BUF(512);
    cb_vcard_process(card, bytes, &answer);
    must(!cb_buf_error(&answer) && answer.len >= 2 && answer.len <= 258);
    uint16_t status = cb_answer_status(cb_buf_bytes(&answer));
    must(status == CB_SW_OK || answer.len == 2);
    cb_buf_free(&answer);
    return status;
}

/* A host that has the keys goes as far as the open channel. */
static void open_channel(cb_vcard *card, const cb_vscp03_application *scp03)
{
    static const uint8_t select[] = {0x00, 0xA4, 0x04, 0x00, 12, CB_SCP03_AID_BYTES};
    static const uint8_t challenge[CB_SCP03_CHALLENGE] = {1};
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    must(send(card, CB_BYTES_OF(select)) == CB_SW_OK);
    cb_scp03_update_command(0, challenge, &command);
    if (send(card, cb_buf_bytes(&command)) == CB_SW_OK) {
        cb_scp03_session host = scp03->session;
        cb_buf_reset(&command);
        must(cb_scp03_authenticate_put(&host, &command) == CB_OK);
        must(send(card, cb_buf_bytes(&command)) == CB_SW_OK);
    }
    cb_buf_free(&command);
}

static void send_inside(cb_vcard *card, const cb_vscp03_application *scp03, cb_bytes bytes)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    cb_sm_mark mark;
    cb_apdu apdu;
    uint32_t before = scp03->state.counter;
    if (cb_apdu_read(bytes, &apdu))
        return;
    open_channel(card, scp03);
    cb_sm host = scp03->session.sm;
    if (cb_sm_wrap_command(&host, &(cb_apdu){0x80, apdu.ins, apdu.p1, apdu.p2, apdu.data, true},
                           &command, &mark) == CB_OK) {
        bool asks = apdu.ins == 0x88 && apdu.p1 == 0 && apdu.p2 == 0 && apdu.data.len == 32;
        bool proved = send(card, cb_buf_bytes(&command)) == CB_SW_OK;
        must(proved == asks && scp03->state.counter == before + (asks ? 1 : 0));
        must(scp03->step != CB_VSCP03_OPEN);
    }
    cb_buf_free(&command);
}

static void send_plain(cb_vcard *card, const cb_vscp03_application *scp03, cb_bytes bytes)
{
    uint32_t before = scp03->state.counter;
    uint32_t sequence = scp03->state.sequence;
    uint8_t failures = scp03->state.failures;
    send(card, bytes);
    must(scp03->state.counter == before && scp03->step != CB_VSCP03_OPEN);
    must(scp03->state.sequence >= sequence && scp03->state.failures >= failures);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(data, size));
    if (cb_cursor_u8(&cursor) == 0) {
        read_state(cb_cursor_rest(&cursor));
        return 0;
    }
    cb_vcard *card = make_card();
    if (!card)
        return 0;
    const cb_vscp03_application *scp03 = cb_vcard_applet(card, &cb_applet_scp03);
    for (int i = 0; i < 16 && cursor.rest.len > 0; i++) {
        bool inside = cb_cursor_u8(&cursor) & 1;
        size_t len = cb_cursor_u8(&cursor);
        cb_bytes bytes = cb_cursor_take(&cursor, len < cursor.rest.len ? len : cursor.rest.len);
        if (inside)
            send_inside(card, scp03, bytes);
        else
            send_plain(card, scp03, bytes);
    }
    cb_vcard_close(&card);
    return 0;
}
