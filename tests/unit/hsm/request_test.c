/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of requests, message by message, in this process.
 */
#include "hsm/request.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "fake.h"
#include "hsm/protocol.h"
#include "test.h"

static world w;
static fake f;
static cb_lane use, log_lane, manage;
static cb_merkle_frontier evidence;
static cb_id holder; /* of the world's card, which is bound once */

static int setup(void **state)
{
    (void)state;
    cb_log_init("request_test", CB_LOG_ERROR);
    world_make(&w, false);
    holder = cb_id_new();
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 0, &use);
    fake_lane(&f, CB_LANE_LOG, 0, &log_lane);
    fake_lane(&f, CB_LANE_MANAGE, 0, &manage);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_lane_free(&use);
    fake_lane_free(&log_lane);
    fake_lane_free(&manage);
    fake_end(&f);
    world_free(&w);
    return 0;
}

/* Asks a lane; *kept says whether the connection would go on. */
static cb_error ask_len(cb_lane *lane, uint16_t type, cb_bytes body, cb_buf *answer, bool *kept)
{
    cb_msg question, reply;
    cb_msg_init(&question, type);
    cb_msg_init(&reply, 0);
    question.id = 77;
    cb_buf_put(&question.body, body);
    *kept = cb_request_handle(lane, &question, &reply);
    cb_error error = reply.error;
    assert_int_equal(reply.type, type);
    assert_int_equal(reply.id, 77);
    if (!*kept)
        expect(CB_E_HSM_ILLEGAL, error);
    if (answer) {
        cb_buf_reset(answer);
        cb_buf_put(answer, cb_buf_bytes(&reply.body));
    }
    cb_msg_free(&question);
    cb_msg_free(&reply);
    return error;
}

static cb_error ask(cb_lane *lane, uint16_t type, const cb_buf *body, cb_buf *answer)
{
    bool kept;
    return ask_len(lane, type, body ? cb_buf_bytes(body) : (cb_bytes){0}, answer, &kept);
}

/* The body of each step of one tap, made as the tap goes. */
typedef struct walk {
    cb_tap_context context;
    cb_id holder;
    cb_buf binding, sealed;
    cb_buf body, answer, answers;
    cb_activation activation;
} walk;

static void walk_free(walk *t)
{
    cb_buf_free(&t->binding);
    cb_buf_free(&t->sealed);
    cb_buf_free(&t->body);
    cb_buf_free(&t->answer);
    cb_buf_free(&t->answers);
}

static void walk_make(walk *t)
{
    *t = (walk){.holder = holder};
    t->context = (cb_tap_context){.terminal = cb_id_new(),
                                  .profile = CB_PROFILE_NATIVE,
                                  .purpose = CB_TAP_AUTHENTICATE,
                                  .level = CB_LEVEL_POSSESSION,
                                  .service = "tax"};
    cb_buf *all[] = {&t->binding, &t->sealed, &t->body, &t->answer, &t->answers};
    for (size_t i = 0; i < 5; i++)
        cb_buf_init(all[i], CB_MSG_BODY_MAX);
}

static void body_of_bind(walk *t)
{
    cb_buf_reset(&t->body);
    cb_buf_put_var(&t->body, cb_buf_bytes(&w.certificate));
    cb_put_id(&t->body, &t->holder);
    cb_buf_put_u8(&t->body, CB_LEVEL_PIN);
    cb_buf_put_u64(&t->body, 1);
}

static void body_of_generate(walk *t)
{
    cb_sealed_info info = {.holder = t->holder,
                           .service = "tax",
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_POSSESSION,
                           .uses = 2,
                           .sequence = 1};
    cb_buf_reset(&t->body);
    cb_put_sealed_info(&t->body, &info);
    cb_buf_put_u8(&t->body, 1);
    cb_buf_put_var(&t->body, cb_bytes_str("subject"));
}

static void take_sealed(walk *t, cb_id *key)
{
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t->answer));
    *key = cb_get_id(&in);
    cb_cursor_u32(&in);
    cb_buf_reset(&t->sealed);
    cb_buf_put(&t->sealed, cb_cursor_var(&in, CB_SEALED_MAX));
}

static void body_of_begin(walk *t)
{
    cb_buf_reset(&t->body);
    cb_buf_put_u8(&t->body, t->context.profile);
    cb_put_id(&t->body, &t->context.terminal);
}

/* Plays the script in answer, behind skip bytes, to the card. */
static void play(walk *t, size_t skip)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf_put(&script, cb_bytes_make(t->answer.data + skip, t->answer.len - skip));
    world_play(w.card, &script, &t->answers);
    cb_buf_free(&script);
}

static void body_of_challenge(walk *t)
{
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t->answer));
    t->context.tap = cb_get_id(&in);
    cb_vcard_reset(w.card);
    play(t, CB_ID_SIZE);
    cb_buf_reset(&t->body);
    cb_put_context(&t->body, &t->context);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->answers));
    cb_buf_put_var(&t->body, (cb_bytes){0});
}

static void body_of_finish(walk *t)
{
    play(t, 0);
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &t->context.tap);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->answers));
}

static void body_of_activate(walk *t)
{
    cb_feed_head head = cb_feed_now(use.feed);
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &t->context.tap);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->binding));
    cb_put_feed_head(&t->body, &head);
}

static void body_of_log_sign(walk *t, const cb_merkle_frontier *before, const cb_digest *leaf)
{
    cb_merkle_proof extends;
    cb_merkle_consistency(before, leaf, 1, &extends);
    cb_tree_head head = {evidence.size, cb_merkle_root(&evidence)};
    cb_buf_reset(&t->body);
    cb_put_head(&t->body, &head);
    cb_merkle_proof_put(&t->body, &extends);
}

static void body_of_open(walk *t, const cb_intent *intent, const cb_merkle_frontier *before,
                         const cb_digest *leaf)
{
    cb_merkle_proof path;
    cb_signed_head head;
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t->answer));
    cb_get_signed_head(&in, &head);
    assert_true(cb_cursor_done(&in));
    cb_merkle_inclusion(before, leaf, 1, 0, &path);
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &t->context.tap);
    cb_buf_put_var(&t->body, cb_buf_bytes(&t->sealed));
    cb_buf_put_u64(&t->body, (uint64_t)intent->time);
    cb_buf_put_u64(&t->body, before->size);
    cb_put_head(&t->body, &head.head);
    cb_put_digest(&t->body, &head.mac);
    cb_merkle_proof_put(&t->body, &path);
}

static void body_of_use(walk *t)
{
    cb_digest digest = cb_sha256(cb_bytes_str("signed"));
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &t->context.tap);
    cb_buf_put_u8(&t->body, CB_USE_SIGN_DIGEST);
    cb_buf_put_u8(&t->body, CB_HASH_SHA256);
    cb_buf_put_var(&t->body, cb_digest_bytes(&digest));
}

static void body_of_end(walk *t)
{
    cb_buf_reset(&t->body);
    cb_put_id(&t->body, &t->context.tap);
}

/* Sends every beginning of a body, and the body with one byte too many: all illegal, none with any
 * effect. */
static void cut_everywhere(cb_lane *lane, uint16_t type, const cb_buf *body)
{
    bool kept;
    cb_buf longer = CB_BUF(CB_MSG_BODY_MAX);
    size_t step = body->len > 600 ? 7 : 1;
    for (size_t len = 0; len < body->len; len += step) {
        expect(CB_E_HSM_ILLEGAL, ask_len(lane, type, cb_bytes_make(body->data, len), NULL, &kept));
        assert_false(kept);
    }
    cb_buf_put(&longer, cb_buf_bytes(body));
    cb_buf_put_u8(&longer, 0);
    expect(CB_E_HSM_ILLEGAL, ask_len(lane, type, cb_buf_bytes(&longer), NULL, &kept));
    assert_false(kept);
    cb_buf_free(&longer);
}

typedef void (*between)(cb_lane *lane, uint16_t type, const cb_buf *body);

static void nothing(cb_lane *lane, uint16_t type, const cb_buf *body)
{
    (void)lane, (void)type, (void)body;
}

static void step(walk *t, cb_lane *lane, uint16_t type, between before)
{
    before(lane, type, &t->body);
    good(ask(lane, type, &t->body, &t->answer));
}

/* A whole life of a key, up to the state wanted (CB_TAP_FREE: to the end), doing something before
 * each message. */
static void go(walk *t, unsigned until, between before)
{
    cb_id key;
    walk_make(t);
    body_of_bind(t);
    step(t, &manage, CB_HSM_BIND, before);
    cb_buf_put(&t->binding, cb_buf_bytes(&t->answer));
    body_of_generate(t);
    step(t, &manage, CB_HSM_GENERATE, before);
    take_sealed(t, &key);
    body_of_begin(t);
    step(t, &use, CB_HSM_TAP_BEGIN, before);
    body_of_challenge(t);
    if (until == CB_TAP_BEGUN)
        return;
    step(t, &use, CB_HSM_TAP_CHALLENGE, before);
    body_of_finish(t);
    if (until == CB_TAP_CHALLENGED)
        return;
    step(t, &use, CB_HSM_TAP_FINISH, before);
    body_of_activate(t);
    if (until == CB_TAP_FINISHED)
        return;
    step(t, &use, CB_HSM_TAP_ACTIVATE, before);
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&t->answer));
    cb_get_activation(&in, &t->activation);
    assert_true(cb_id_same(&t->activation.holder, &t->holder));
    if (until == CB_TAP_ACTIVE)
        return;
    cb_intent intent = {cb_clock_wall_us(),   t->context, t->activation.card,
                        t->activation.holder, key,        t->activation.level};
    cb_buf leaf = CB_BUF(8192);
    cb_intent_leaf(&intent, &leaf);
    cb_digest hash = cb_merkle_leaf(cb_buf_bytes(&leaf));
    cb_buf_free(&leaf);
    cb_merkle_frontier old = evidence;
    cb_merkle_append(&evidence, &hash);
    body_of_log_sign(t, &old, &hash);
    step(t, &log_lane, CB_HSM_LOG_SIGN, before);
    body_of_open(t, &intent, &old, &hash);
    step(t, &use, CB_HSM_TAP_OPEN_KEY, before);
    body_of_use(t);
    if (until == CB_TAP_OPEN)
        return;
    step(t, &use, CB_HSM_TAP_USE, before);
    body_of_end(t);
    step(t, &use, CB_HSM_TAP_END, before);
}

static void a_message_cut_anywhere_does_nothing(void **state)
{
    walk t;
    (void)state;
    evidence = (cb_merkle_frontier){0};
    go(&t, CB_TAP_FREE, cut_everywhere);
    walk_free(&t);
}

/* A body that fits each tap request, of one tap. */
static void body_for(walk *t, uint16_t type)
{
    switch (type) {
    case CB_HSM_TAP_CHALLENGE:
        cb_buf_reset(&t->body);
        cb_put_context(&t->body, &t->context);
        cb_buf_put_var(&t->body, (cb_bytes){0});
        cb_buf_put_var(&t->body, (cb_bytes){0});
        break;
    case CB_HSM_TAP_FINISH:
        cb_buf_reset(&t->body);
        cb_put_id(&t->body, &t->context.tap);
        cb_buf_put_var(&t->body, (cb_bytes){0});
        break;
    case CB_HSM_TAP_ACTIVATE:
        body_of_activate(t);
        break;
    case CB_HSM_TAP_OPEN_KEY: {
        static const uint8_t zeros[8 + 8 + 40 + 32 + 1];
        cb_buf_reset(&t->body);
        cb_put_id(&t->body, &t->context.tap);
        cb_buf_put_var(&t->body, cb_buf_bytes(&t->sealed));
        cb_buf_put(&t->body, CB_BYTES_OF(zeros));
        break;
    }
    default:
        body_of_use(t);
    }
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
    evidence = (cb_merkle_frontier){0};
    for (unsigned at = CB_TAP_BEGUN; at <= CB_TAP_OPEN; at <<= 1) {
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
            walk t;
            if (requests[i].legal == at)
                continue;
            go(&t, at, nothing);
            body_for(&t, requests[i].type);
            expect(CB_E_TAP_ORDER, ask(&use, requests[i].type, &t.body, &t.answer));
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
                ask_len(lanes[i], type, cb_bytes_make(zeros, len), NULL, &kept);
                any |= kept;
            }
            legal[i] += any;
            if (type == 0 || type >= CB_HSM_MESSAGES)
                assert_false(any);
            if (i == 0 && type >= CB_HSM_LOG_SIGN)
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
    evidence = (cb_merkle_frontier){0};
    go(&t, CB_TAP_OPEN, nothing);
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
        ask_len(lanes[(r >> 5) % 3], type, cb_bytes_make(noise, len), NULL, &kept);
    }
    assert_true(cb_taps_live(use.taps) <= f.config.taps);
    walk_free(&t);
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
        cmocka_unit_test_setup_teardown(a_message_cut_anywhere_does_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(each_request_is_legal_in_one_state_only, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_are_legal_in_their_lane_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_with_a_descriptor_or_an_error_is_illegal, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(noise_breaks_nothing, setup, teardown),
        cmocka_unit_test(names_are_known),
    };
    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
