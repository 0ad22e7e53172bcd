/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * SCP03, what either end reads.
 *
 * The first byte chooses: a card's answer to INITIALIZE UPDATE (0); the host's EXTERNAL
 * AUTHENTICATE (1), the host's command inside the channel (2), or the card's answer to it (3), the
 * last three as they are made, with changes, each: u16 place, u8 by what. Nothing that was changed
 * is believed (Le, which no MAC covers, is not changed).
 */
#include <stdlib.h>

#include "cardlink/scp03/presence.h"
#include "cardlink/scp03/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void read_update(cb_bytes data)
{
    cb_scp03_update update;
    cb_buf back = CB_BUF(64);
    if (cb_scp03_update_read(data, &update) == CB_OK) {
        cb_scp03_update_put(&back, &update);
        must(cb_bytes_same(cb_buf_bytes(&back), data));
    }
    cb_buf_free(&back);
}

/* Whether anything came to be other than it was, among the first bytes, which a MAC covers. */
static bool change(cb_cursor *cursor, cb_buf *bytes, size_t covered)
{
    cb_buf before = CB_BUF(512);
    cb_buf_put(&before, cb_buf_bytes(bytes));
    while (cursor->rest.len >= 3) {
        size_t place = cb_cursor_u16(cursor) % covered;
        bytes->data[place] ^= cb_cursor_u8(cursor);
    }
    bool changed = !cb_bytes_same(cb_buf_bytes(&before), cb_buf_bytes(bytes));
    cb_buf_free(&before);
    return changed;
}

static void authenticate(cb_scp03_session *session, cb_cursor *cursor)
{
    cb_scp03_session card = *session;
    cb_buf command = CB_BUF(512);
    cb_apdu apdu;
    must(cb_scp03_authenticate_put(session, &command) == CB_OK);
    bool changed = change(cursor, &command, command.len);
    bool good = cb_apdu_read(cb_buf_bytes(&command), &apdu) == CB_OK &&
                cb_scp03_authenticate_check(&card, &apdu) == CB_OK;
    must(good != changed);
    cb_buf_free(&command);
}

static void inside(cb_scp03_session *session, bool answer_too, cb_cursor *cursor)
{
    cb_scp03_session card = *session;
    cb_digest context = {{1, 2, 3}};
    cb_buf command = CB_BUF(512), plain = CB_BUF(256), data = CB_BUF(64), answer = CB_BUF(512);
    cb_sm_mark mark;
    cb_apdu apdu, opened;
    uint32_t counter;
    must(cb_scp03_presence_put(&session->sm, &context, &command, &mark) == CB_OK);
    bool changed = !answer_too && change(cursor, &command, command.len - 1);
    bool good = cb_apdu_read(cb_buf_bytes(&command), &apdu) == CB_OK &&
                cb_sm_open_command(&card.sm, &apdu, &plain, &opened) == CB_OK;
    if (answer_too) {
        must(good);
        cb_scp03_presence_answer(&data, &context, 5);
        must(cb_sm_wrap_answer(&card.sm, cb_buf_bytes(&data), &answer) == CB_OK);
        changed = change(cursor, &answer, answer.len);
        good = cb_scp03_presence_open(&session->sm, &mark, cb_buf_bytes(&answer), &context,
                                      &counter) == CB_OK;
        must(good == (counter == 5));
    }
    must(good != changed);
    cb_buf_free(&command);
    cb_buf_free(&plain);
    cb_buf_free(&data);
    cb_buf_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t challenge[2][CB_SCP03_CHALLENGE] = {{1}, {2}};
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(data, size));
    cb_scp03_keys keys = {.len = 32};
    cb_scp03_session session;
    uint8_t kind = cb_cursor_u8(&cursor) % 4;
    must(cb_scp03_session_derive(&keys, challenge[0], challenge[1], &session) == CB_OK);
    if (kind == 0)
        read_update(cb_cursor_rest(&cursor));
    else if (kind == 1)
        authenticate(&session, &cursor);
    else
        inside(&session, kind == 3, &cursor);
    return 0;
}
