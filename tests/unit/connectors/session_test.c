/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A session whose process is this test: what silence and a cut leave of it.
 */
#include "connectors/session.h"

#include <unistd.h>

#include "base/clock.h"
#include "connectors/client.h"
#include "tests/unit/base/test.h"

static cb_session *session;
static int peer; /* the process's end */
static cb_session *silenced_on_receipt;

cb_error __real_cb_msg_receive(int socket, cb_msg *msg, int64_t deadline);
cb_error __wrap_cb_msg_receive(int socket, cb_msg *msg, int64_t deadline);

/* Between the arrival of an answer and what is made of it. */
cb_error __wrap_cb_msg_receive(int socket, cb_msg *msg, int64_t deadline)
{
    cb_error error = __real_cb_msg_receive(socket, msg, deadline);
    if (!error && silenced_on_receipt)
        cb_session_silence(silenced_on_receipt);
    return error;
}

static int open_session(void **state)
{
    int pair[2];
    (void)state;
    silenced_on_receipt = NULL;
    if (cb_msg_pair(pair) || cb_session_new(pair[0], true, &session))
        return -1;
    peer = pair[1];
    return 0;
}

static int end_session(void **state)
{
    (void)state;
    cb_session_end(&session);
    close(peer);
    return 0;
}

static cb_relay *exchange(void)
{
    cb_relay *relay = NULL;
    assert_int_equal(cb_relay_open(session, "GET", "/", "", 0, cb_deadline_in(CB_SECOND), &relay),
                     CB_OK);
    return relay;
}

static void answer(uint16_t type, uint32_t id, cb_bytes body)
{
    cb_msg msg;
    cb_msg_init(&msg, type);
    msg.id = id;
    cb_buf_put(&msg.body, body);
    assert_int_equal(cb_msg_send(peer, &msg, cb_deadline_in(CB_SECOND)), CB_OK);
    cb_msg_free(&msg);
}

/* Whether the process is asked to log out before its socket ends. */
static bool asked_to_log_out(void)
{
    cb_msg msg;
    bool asked = false;
    cb_msg_init(&msg, 0);
    while (cb_msg_receive(peer, &msg, cb_deadline_in(CB_SECOND)) == CB_OK)
        asked = asked || msg.type == CB_CONN_LOGOUT;
    cb_msg_free(&msg);
    return asked;
}

static void an_answer_that_was_on_its_way_is_none_any_more(void **state)
{
    uint8_t chunk[16];
    size_t got = 99;
    (void)state;
    cb_relay *relay = exchange();
    answer(CB_CONN_READ, 1, cb_bytes_str("first"));
    assert_int_equal(cb_relay_read(relay, chunk, sizeof chunk, &got), CB_OK);
    assert_int_equal(got, 5);
    answer(CB_CONN_READ, 2, cb_bytes_str("second"));
    silenced_on_receipt = session;
    assert_int_equal(cb_relay_read(relay, chunk, sizeof chunk, &got), CB_E_SESSION_ENDED);
    assert_int_equal(got, 0);
    cb_relay_close(&relay);
}

static void in_the_middle_of_an_exchange_nobody_waits_for_a_logout(void **state)
{
    (void)state;
    cb_relay *relay = exchange(), *other = NULL;
    cb_session_silence(session);
    assert_false(cb_session_alive(session));
    int64_t began = cb_clock_monotonic_us();
    cb_session_cut(session, true);
    assert_true(cb_clock_monotonic_us() - began < CB_CONN_LOGOUT_TIME);
    assert_false(asked_to_log_out());
    cb_relay_close(&relay);
    assert_int_equal(cb_relay_open(session, "GET", "/", "", 0, cb_deadline_in(CB_SECOND), &other),
                     CB_E_SESSION_ENDED);
}

static void a_silent_session_can_still_be_logged_out_and_once_only(void **state)
{
    cb_relay *relay = NULL;
    (void)state;
    cb_session_silence(session);
    assert_true(cb_session_alive(session));
    assert_int_equal(cb_relay_open(session, "GET", "/", "", 0, cb_deadline_in(CB_SECOND), &relay),
                     CB_E_SESSION_ENDED);
    answer(CB_CONN_LOGOUT, UINT32_MAX, cb_bytes_str(""));
    cb_session_cut(session, true);
    assert_false(cb_session_alive(session));
    cb_session_cut(session, true);
    assert_true(asked_to_log_out());
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_session, end_session)
    const struct CMUnitTest tests[] = {
        T(an_answer_that_was_on_its_way_is_none_any_more),
        T(in_the_middle_of_an_exchange_nobody_waits_for_a_logout),
        T(a_silent_session_can_still_be_logged_out_and_once_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
