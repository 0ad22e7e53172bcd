/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "walk.h"

#include "base/clock.h"
#include "base/log.h"
#include "hsm/request.h"
#include "test.h"

world w;
fake f;
cb_lane use, log_lane, manage;
cb_merkle_frontier evidence;
static cb_id holder; /* of the world's card, which is bound once */

int walk_setup(void **state)
{
    (void)state;
    cb_log_init("request_test", CB_LOG_ERROR);
    world_make(&w, false);
    holder = cb_id_new();
    evidence = (cb_merkle_frontier){0};
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 0, &use);
    fake_lane(&f, CB_LANE_LOG, 0, &log_lane);
    fake_lane(&f, CB_LANE_MANAGE, 0, &manage);
    return 0;
}

int walk_teardown(void **state)
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
cb_error walk_ask_len(cb_lane *lane, uint16_t type, cb_bytes body, cb_buf *answer, bool *kept)
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

cb_error walk_ask(cb_lane *lane, uint16_t type, const cb_buf *body, cb_buf *answer)
{
    bool kept;
    return walk_ask_len(lane, type, body ? cb_buf_bytes(body) : (cb_bytes){0}, answer, &kept);
}

void walk_tell(uint8_t kind, const cb_id *subject)
{
    cb_buf body = CB_BUF(64);
    good(cb_feed_refresh(use.feed));
    cb_feed_entry entry = {cb_feed_now(use.feed).number + 1, kind, *subject, 1};
    cb_buf_put_u16(&body, 1);
    cb_put_feed_entry(&body, &entry);
    good(walk_ask(&use, CB_HSM_FEED_EXTEND, &body, NULL));
    cb_buf_free(&body);
}

void walk_free(walk *t)
{
    cb_buf_free(&t->binding);
    cb_buf_free(&t->sealed);
    cb_buf_free(&t->body);
    cb_buf_free(&t->answer);
    cb_buf_free(&t->answers);
}

void walk_make(walk *t)
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

void walk_nothing(cb_lane *lane, uint16_t type, const cb_buf *body)
{
    (void)lane, (void)type, (void)body;
}

static void step(walk *t, cb_lane *lane, uint16_t type, between before)
{
    before(lane, type, &t->body);
    good(walk_ask(lane, type, &t->body, &t->answer));
}

/* A whole life of a key, up to the state wanted (CB_TAP_FREE: to the end), doing something before
 * each message. */
void walk_go(walk *t, unsigned until, between before)
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
    if (until == CB_TAP_ACTIVE)
        return;
    step(t, &use, CB_HSM_TAP_OPEN_KEY, before);
    body_of_use(t);
    if (until == CB_TAP_OPEN)
        return;
    step(t, &use, CB_HSM_TAP_USE, before);
    body_of_end(t);
    step(t, &use, CB_HSM_TAP_END, before);
}

/* A body that fits each tap request, of one tap. */
void walk_body_for(walk *t, uint16_t type)
{
    switch (type) {
    case CB_HSM_TAP_CHALLENGE:
        cb_buf_reset(&t->body);
        cb_put_context(&t->body, &t->context);
        for (int i = 0; i < 3; i++)
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
