/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Commands to the card application.
 *
 * An input is the step at which the session stands (one byte), then commands, each: u8 how, u8
 * length, bytes. An odd "how" sends the bytes inside the channel, with the session's own keys, so
 * that what lies behind the MAC is reached.
 */
#include <stdlib.h>

#include "cardlink/card/native/application.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world w;

static void clean_up(void) { world_free(&w); }

static void prepare(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    world_make(&w, false);
    atexit(clean_up);
}

/* A session as a broker would have brought it about, without the arithmetic. */
static void stand_at(cb_vcard *card, uint8_t step)
{
    static const uint8_t steps[] = {CB_VCARD_IDLE, CB_VCARD_SELECTED, CB_VCARD_CERTIFIED,
                                    CB_VCARD_CHANNEL, CB_VCARD_IDENTIFIED};
    cb_vcard_session *session = &cb_native_of(card)->session;
    session->step = steps[step % sizeof steps];
    session->sm.key_len = CB_NATIVE_KEY;
    session->sm.counter = 1;
    memcpy(session->scalar, w.batch.scalar, sizeof session->scalar);
    memcpy(session->point, w.point, sizeof session->point);
    memcpy(session->broker, w.point, sizeof session->broker);
    memcpy(session->signer, w.point, sizeof session->signer);
}

static void send(cb_vcard *card, bool secure, cb_bytes bytes)
{
    cb_buf command = CB_BUF(CB_COMMAND_MAX), answer = CB_BUF(512);
    cb_sm broker = cb_native_of(card)->session.sm;
    cb_sm_mark mark;
    cb_apdu apdu;
    if (!secure)
        cb_buf_put(&command, bytes);
    else if (cb_apdu_read(bytes, &apdu) ||
             cb_sm_wrap_command(&broker,
                                &(cb_apdu){0x80, apdu.ins, apdu.p1, apdu.p2, apdu.data, true},
                                &command, &mark))
        goto end;
    cb_vcard_process(card, cb_buf_bytes(&command), &answer);
    if (cb_buf_error(&answer) || answer.len < 2 || answer.len > 258)
        abort();
end:
    cb_buf_free(&command);
    cb_buf_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(data, size));
    cb_vcard *card;
    prepare();
    if (cb_vcard_make(&w.first, NULL, &card))
        return 0;
    stand_at(card, cb_cursor_u8(&cursor));
    for (int i = 0; i < 16 && cursor.rest.len > 0; i++) {
        bool secure = cb_cursor_u8(&cursor) & 1;
        size_t len = cb_cursor_u8(&cursor);
        send(card, secure, cb_cursor_take(&cursor, len < cursor.rest.len ? len : cursor.rest.len));
    }
    /* Without the broker's signature the card proves nothing and compares no PIN, whatever came. */
    const cb_vcard_state *now = cb_vcard_state_of(card);
    if (now->counter != 0 || now->pin_tries != w.first.pin_tries ||
        now->code_tries != w.first.code_tries || now->failures != w.first.failures)
        abort();
    cb_vcard_close(&card);
    return 0;
}
