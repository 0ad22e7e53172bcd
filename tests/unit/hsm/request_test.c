/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of requests, message by message, in this process.
 */
#include "hsm/request.h"

#include <unistd.h>

#include "base/secret.h"
#include "hsm/generations.h"
#include "test.h"
#include "walk.h"

/* Sends every beginning of a body, and the body with one byte too many: all illegal, none with any
 * effect. */
static void cut_everywhere(cb_lane *lane, uint16_t type, const cb_buf *body)
{
    bool kept;
    cb_buf longer = CB_BUF(CB_MSG_BODY_MAX);
    size_t step = body->len > 600 ? 7 : 1;
    for (size_t len = 0; len < body->len; len += step) {
        expect(CB_E_HSM_ILLEGAL,
               walk_ask_len(lane, type, cb_bytes_make(body->data, len), NULL, &kept));
        assert_false(kept);
    }
    cb_buf_put(&longer, cb_buf_bytes(body));
    cb_buf_put_u8(&longer, 0);
    expect(CB_E_HSM_ILLEGAL, walk_ask_len(lane, type, cb_buf_bytes(&longer), NULL, &kept));
    assert_false(kept);
    cb_buf_free(&longer);
}

static void a_message_cut_anywhere_does_nothing(void **state)
{
    walk t;
    (void)state;
    walk_go(&t, CB_TAP_FREE, cut_everywhere);
    walk_free(&t);
}

static void each_request_is_legal_in_one_state_only(void **state)
{
    static const struct {
        uint16_t type;
        unsigned legal;
    } requests[] = {{CB_HSM_TAP_CHALLENGE, CB_TAP_BEGUN},
                    {CB_HSM_TAP_FINISH, CB_TAP_CHALLENGED},
                    {CB_HSM_TAP_ACTIVATE, CB_TAP_FINISHED},
                    {CB_HSM_TAP_OPEN_KEY, CB_TAP_ACTIVE},
                    {CB_HSM_TAP_USE, CB_TAP_OPEN}};
    (void)state;
    for (unsigned at = CB_TAP_BEGUN; at <= CB_TAP_OPEN; at <<= 1) {
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
            walk t;
            if (requests[i].legal == at)
                continue;
            walk_go(&t, at, walk_nothing);
            walk_body_for(&t, requests[i].type);
            expect(CB_E_TAP_ORDER, walk_ask(&use, requests[i].type, &t.body, &t.answer));
            assert_int_equal(t.answer.len, 0);
            /* The tap has ended. */
            assert_int_equal(cb_taps_live(use.taps), 0);
            walk_free(&t);
        }
    }
}

static void requests_are_legal_in_their_lane_only(void **state)
{
    cb_lane *lanes[] = {&use, &log_lane, &manage};
    static const uint8_t zeros[64];
    unsigned legal[3] = {0};
    (void)state;
    for (uint16_t type = 0; type < 2 * CB_HSM_MESSAGES; type++) {
        for (unsigned i = 0; i < 3; i++) {
            /* Some length is in bounds; a request that is legal is answered otherwise for that one,
             * or malformed. */
            bool kept, any = false;
            for (size_t len = 0; len <= sizeof zeros; len++) {
                walk_ask_len(lanes[i], type, cb_bytes_make(zeros, len), NULL, &kept);
                any |= kept;
            }
            legal[i] += any;
            if (type == 0 || type >= CB_HSM_MESSAGES)
                assert_false(any);
            bool of_taps = type == CB_HSM_TAP_REGISTER || type == CB_HSM_TAP_BIND ||
                           type == CB_HSM_TAP_PASSWORD || type == CB_HSM_TAP_RENEW;
            if (i == 0 && type >= CB_HSM_LOG_SIGN && !of_taps)
                assert_false(any);
            if (i == 1 && type != CB_HSM_HELLO && type != CB_HSM_LOG_SIGN &&
                type != CB_HSM_LOG_STATE && type != CB_HSM_PUBLIC_KEY)
                assert_false(any);
            if (i == 2 && type < CB_HSM_BIND && type != CB_HSM_HELLO)
                assert_false(any);
        }
    }
    assert_true(legal[0] >= 5 && legal[1] >= 3 && legal[2] >= 6);
}

static void a_message_with_a_descriptor_or_an_error_is_illegal(void **state)
{
    cb_msg question, reply;
    (void)state;
    for (int i = 0; i < 2; i++) {
        cb_msg_init(&question, CB_HSM_HELLO);
        cb_msg_init(&reply, 0);
        if (i == 0)
            question.error = CB_E_BUSY;
        else
            question.fd = dup(0);
        assert_false(cb_request_handle(&use, &question, &reply));
        expect(CB_E_HSM_ILLEGAL, reply.error);
        cb_msg_free(&question);
        cb_msg_free(&reply);
    }
}

static void noise_breaks_nothing(void **state)
{
    cb_lane *lanes[] = {&use, &log_lane, &manage};
    static uint8_t noise[CB_MSG_BODY_MAX];
    walk t;
    (void)state;
    walk_go(&t, CB_TAP_OPEN, walk_nothing);
    for (int i = 0; i < 20000; i++) {
        bool kept;
        uint32_t r;
        cb_random(&r, sizeof r);
        uint16_t type = (uint16_t)(1 + r % CB_HSM_MESSAGES);
        size_t len = (r >> 8) % 4 ? (r >> 10) % 200 : (r >> 10) % sizeof noise;
        cb_random(noise, len);
        /* Half of them are about the tap that is open, and may end it; never more than that. */
        if (r & 0x80 && len > CB_ID_SIZE)
            memcpy(noise, t.context.tap.bytes, CB_ID_SIZE);
        walk_ask_len(lanes[(r >> 5) % 3], type, cb_bytes_make(noise, len), NULL, &kept);
    }
    assert_true(cb_taps_live(use.taps) <= f.config.taps);
    walk_free(&t);
}

/* However far they are. */
static void what_is_retired_ends_taps_that_are_under_way(void **state)
{
    walk finished, active, open;
    (void)state;
    walk_go(&finished, CB_TAP_FINISHED, walk_nothing);
    walk_go(&active, CB_TAP_ACTIVE, walk_nothing);
    walk_go(&open, CB_TAP_OPEN, walk_nothing);
    good(cb_generations_retire(use.guesses, w.host.key_id ^ 1, w.host.key_version));
    good(walk_ask(&use, CB_HSM_TAP_USE, &open.body, NULL)); /* another authority's */
    good(cb_generations_retire(use.guesses, w.host.key_id, w.host.key_version));
    expect(CB_E_CARD_GENERATION, walk_ask(&use, CB_HSM_TAP_ACTIVATE, &finished.body, NULL));
    expect(CB_E_CARD_GENERATION, walk_ask(&use, CB_HSM_TAP_OPEN_KEY, &active.body, NULL));
    expect(CB_E_CARD_GENERATION, walk_ask(&use, CB_HSM_TAP_USE, &open.body, NULL));
    walk_free(&finished);
    walk_free(&active);
    walk_free(&open);
}

static void names_are_known(void **state)
{
    (void)state;
    assert_string_equal(cb_request_name(CB_HSM_TAP_USE), "tap.use");
    assert_string_equal(cb_request_name(0), "unknown");
    assert_string_equal(cb_request_name(0xFFFF), "unknown");
    for (uint16_t type = 1; type < CB_HSM_MESSAGES; type++)
        assert_string_not_equal(cb_request_name(type), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_cut_anywhere_does_nothing, walk_setup,
                                        walk_teardown),
        cmocka_unit_test_setup_teardown(each_request_is_legal_in_one_state_only, walk_setup,
                                        walk_teardown),
        cmocka_unit_test_setup_teardown(requests_are_legal_in_their_lane_only, walk_setup,
                                        walk_teardown),
        cmocka_unit_test_setup_teardown(a_message_with_a_descriptor_or_an_error_is_illegal,
                                        walk_setup, walk_teardown),
        cmocka_unit_test_setup_teardown(noise_breaks_nothing, walk_setup, walk_teardown),
        cmocka_unit_test_setup_teardown(what_is_retired_ends_taps_that_are_under_way, walk_setup,
                                        walk_teardown),
        cmocka_unit_test(names_are_known),
    };
    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
