/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages to hsmd's request table, over a vault in memory.
 *
 * An input is a list of messages, each: u8 lane, u8 type, u16 length, body. A body of 16 bytes or
 * more that begins with FF names the tap that is there, which the byte after it puts in a state
 * first, so that every handler is reached without a card.
 */
#include <stdlib.h>

#include "base/cursor.h"
#include "base/log.h"
#include "fake.h"
#include "hsm/protocol.h"
#include "hsm/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static world w;
static fake f;
static cb_lane lanes[3];
static cb_id tap;

static void clean_up(void)
{
    for (unsigned i = 0; i < 3; i++)
        fake_lane_free(&lanes[i]);
    fake_end(&f);
    world_free(&w);
}

static void prepare(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    cb_log_init("fuzz", CB_LOG_ERROR);
    world_make(&w, false);
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 0, &lanes[0]);
    fake_lane(&f, CB_LANE_LOG, 0, &lanes[1]);
    fake_lane(&f, CB_LANE_MANAGE, 0, &lanes[2]);
    atexit(clean_up);
}

static cb_tap *new_tap(void)
{
    cb_tap *there = NULL;
    cb_id terminal = {{1}};
    cb_error error =
        cb_taps_add(lanes[0].taps, lanes[0].host, CB_PROFILE_NATIVE, &terminal, &there);
    if (error == CB_E_BUSY) {
        for (size_t i = 0; i < lanes[0].taps->setup.capacity; i++)
            cb_taps_end(lanes[0].taps, &lanes[0].taps->tap[i]);
        return new_tap();
    }
    if (error)
        abort();
    return there;
}

/* The tap in one of its states; a new one if the last has ended. */
static void put_tap_in_state(uint8_t state)
{
    cb_tap *there;
    if (cb_taps_enter(lanes[0].taps, &tap, 0xFF, &there))
        there = new_tap();
    tap = there->id;
    there->state = (uint8_t)(1 << state % 5);
    there->context = (cb_tap_context){.tap = tap,
                                      .terminal = there->terminal,
                                      .profile = CB_PROFILE_NATIVE,
                                      .purpose = CB_TAP_AUTHENTICATE,
                                      .service = "tax"};
    there->uses_left = 3;
}

static void send(cb_lane *lane, uint16_t type, cb_bytes body)
{
    cb_msg question, answer;
    cb_msg_init(&question, type);
    cb_msg_init(&answer, 0);
    if (body.len >= CB_ID_SIZE && body.data[0] == 0xFF) {
        put_tap_in_state(body.data[1]);
        cb_put_id(&question.body, &tap);
        cb_buf_put(&question.body, cb_bytes_make(body.data + CB_ID_SIZE, body.len - CB_ID_SIZE));
    } else {
        cb_buf_put(&question.body, body);
    }
    bool goes_on = cb_request_handle(lane, &question, &answer);
    if (!goes_on && (answer.error != CB_E_HSM_ILLEGAL || answer.body.len > 0))
        abort();
    if (answer.type != type || cb_buf_error(&answer.body))
        abort();
    cb_msg_free(&question);
    cb_msg_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    while (in.rest.len > 0 && cb_cursor_ok(&in)) {
        uint8_t lane = cb_cursor_u8(&in) % 3;
        uint8_t type = cb_cursor_u8(&in) % (CB_HSM_MESSAGES + 1);
        size_t len = cb_cursor_u16(&in);
        if (len > in.rest.len)
            len = in.rest.len;
        send(&lanes[lane], type, cb_cursor_take(&in, len));
    }
    return 0;
}
