/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages to hsmd in any order, about real taps of a real card, on the use, log and manage lanes.
 *
 * An input is a list of steps, each u8 what, u8 a: which of the four taps, how a message differs
 * from the right one, or what is revoked.
 *
 * A model knows what has happened. A key is used if, and only if, its tap went through each step in
 * order, none of them with a wrong message, and neither card, terminal nor key was revoked before;
 * and no tap is used more often than its key allows.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/leaf.h"
#include "base/log.h"
#include "fake.h"
#include "hsm/activation.h"
#include "hsm/protocol.h"
#include "hsm/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

enum { TAPS = 4, STEPS_MAX = 48, USES = 2, WRONG = 0x80 };
enum { BEGIN, CHALLENGE, FINISH, ACTIVATE, OPEN, USE, END, FEED, RESUME, WHATS };

typedef struct tap {
    unsigned state; /* as the model has it; CB_TAP_FREE: none */
    unsigned uses;
    bool forged; /* something was taken that the card did not say */
    cb_tap_context context;
    cb_buf script; /* to play next */
    cb_activation activation;
} tap;

static world w;
static fake f;
static cb_lane use_lane, log_lane, manage;
static cb_merkle_frontier evidence;
static cb_id holder, key;
static cb_buf binding, sealed;
static tap taps[TAPS];

/* Nothing here outlives the process. */
int __wrap_fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

static cb_error ask(cb_lane *lane, uint16_t type, cb_buf *body, cb_buf *answer)
{
    cb_msg question, reply;
    cb_msg_init(&question, type);
    cb_msg_init(&reply, 0);
    cb_buf_put(&question.body, cb_buf_bytes(body));
    cb_request_handle(lane, &question, &reply);
    cb_error error = reply.error;
    cb_buf_reset(body);
    if (answer) {
        cb_buf_reset(answer);
        cb_buf_put(answer, cb_buf_bytes(&reply.body));
    }
    cb_msg_free(&question);
    cb_msg_free(&reply);
    return error;
}

/* ---- The world of one input: lanes with nothing in their memory, a card bound, a key made ---- */

static void bind_card(void)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    cb_buf_put_var(&body, cb_buf_bytes(&w.certificate));
    cb_put_id(&body, &holder);
    cb_buf_put_u8(&body, CB_LEVEL_PIN);
    cb_buf_put_u64(&body, 1);
    must(ask(&manage, CB_HSM_BIND, &body, &binding) == CB_OK);
    cb_buf_free(&body);
}

static void make_key(void)
{
    cb_sealed_info info = {.holder = holder,
                           .service = "tax",
                           .algorithm = CB_KEY_EC_P256,
                           .level = CB_LEVEL_POSSESSION,
                           .uses = USES,
                           .sequence = 1};
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), answer = CB_BUF(CB_MSG_BODY_MAX);
    cb_put_sealed_info(&body, &info);
    cb_buf_put_u8(&body, 0);
    cb_buf_put_var(&body, (cb_bytes){0});
    must(ask(&manage, CB_HSM_GENERATE, &body, &answer) == CB_OK);
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    key = cb_get_id(&in);
    cb_cursor_u32(&in);
    cb_buf_put(&sealed, cb_cursor_var(&in, CB_SEALED_MAX));
    cb_buf_free(&body);
    cb_buf_free(&answer);
}

static void open_world(void)
{
    cb_log_init("fuzz", CB_LOG_ERROR + 1);
    evidence = (cb_merkle_frontier){0};
    binding = CB_BUF(CB_BINDING_MAX);
    sealed = CB_BUF(CB_SEALED_MAX);
    holder = cb_id_new();
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 0, &use_lane);
    fake_lane(&f, CB_LANE_LOG, 0, &log_lane);
    fake_lane(&f, CB_LANE_MANAGE, 0, &manage);
    for (int i = 0; i < TAPS; i++)
        taps[i] = (tap){.script = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    bind_card();
    make_key();
}

static void close_world(void)
{
    for (int i = 0; i < TAPS; i++)
        cb_buf_free(&taps[i].script);
    cb_buf_free(&binding);
    cb_buf_free(&sealed);
    fake_lane_free(&use_lane);
    fake_lane_free(&log_lane);
    fake_lane_free(&manage);
    fake_end(&f);
}

/* ---- The steps of a tap ---- */

static bool revoked(const tap *t)
{
    return cb_feed_card(use_lane.feed, &t->activation.card) ||
           cb_feed_terminal(use_lane.feed, &t->context.terminal);
}

static void begin(tap *t, uint8_t a)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), answer = CB_BUF(CB_MSG_BODY_MAX);
    bool wrong = a & WRONG;
    t->context = (cb_tap_context){.terminal = {{0x7E, a & 1}},
                                  .profile = CB_PROFILE_NATIVE,
                                  .purpose = CB_TAP_AUTHENTICATE,
                                  .level = CB_LEVEL_POSSESSION,
                                  .service = "tax"};
    cb_buf_put_u8(&body, wrong ? 99 : CB_PROFILE_NATIVE);
    cb_put_id(&body, &t->context.terminal);
    cb_error error = ask(&use_lane, CB_HSM_TAP_BEGIN, &body, &answer);
    must((error == CB_OK) == !wrong);
    t->state = error ? CB_TAP_FREE : CB_TAP_BEGUN;
    t->uses = 0;
    t->forged = false;
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    t->context.tap = cb_get_id(&in);
    cb_buf_reset(&t->script);
    cb_buf_put(&t->script, cb_cursor_rest(&in));
    cb_buf_free(&body);
    cb_buf_free(&answer);
}

/* Plays what came last to the card, which is on one terminal at a time; a wrong message has an
 * answer that is not the card's. */
static void play(const tap *t, bool wrong, cb_buf *answers)
{
    cb_script script;
    if (cb_script_read(cb_buf_bytes(&t->script), CB_COMMAND_MAX, &script) == CB_OK)
        world_play(w.card, &t->script, answers);
    if (wrong && answers->len > 8)
        answers->data[answers->len - 7] ^= 1;
}

/* The two steps that have the card's answers in them. */
static void answer_card(tap *t, uint16_t type, uint8_t a)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf answer = CB_BUF(CB_MSG_BODY_MAX);
    if (type == CB_HSM_TAP_CHALLENGE)
        cb_vcard_reset(w.card);
    play(t, a & WRONG, &answers);
    if (type == CB_HSM_TAP_CHALLENGE)
        cb_put_context(&body, &t->context);
    else
        cb_put_id(&body, &t->context.tap);
    cb_buf_put_var(&body, cb_buf_bytes(&answers));
    for (int i = 0; type == CB_HSM_TAP_CHALLENGE && i < 2; i++)
        cb_buf_put_var(&body, (cb_bytes){0});
    unsigned before = type == CB_HSM_TAP_CHALLENGE ? CB_TAP_BEGUN : CB_TAP_CHALLENGED;
    cb_error error = ask(&use_lane, type, &body, &answer);
    must(error != CB_OK || t->state == before);
    t->state = error != CB_OK                 ? CB_TAP_FREE
               : type == CB_HSM_TAP_CHALLENGE ? CB_TAP_CHALLENGED
                                              : CB_TAP_FINISHED;
    t->forged = t->forged || a & WRONG;
    cb_buf_reset(&t->script);
    cb_buf_put(&t->script, cb_buf_bytes(&answer));
    cb_buf_free(&body);
    cb_buf_free(&answers);
    cb_buf_free(&answer);
}

static void activate(tap *t, uint8_t a)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), answer = CB_BUF(CB_MSG_BODY_MAX);
    bool wrong = a & WRONG;
    cb_feed_head head = cb_feed_now(use_lane.feed);
    head.number += a & 0x40 ? 1 : 0; /* the database knows more than hsmd: that is no end */
    cb_put_id(&body, &t->context.tap);
    cb_buf_put_var(&body, wrong ? cb_buf_bytes(&sealed) : cb_buf_bytes(&binding));
    cb_put_feed_head(&body, &head);
    cb_error error = ask(&use_lane, CB_HSM_TAP_ACTIVATE, &body, &answer);
    if (error == CB_E_HSM_FEED_BEHIND && t->state == CB_TAP_FINISHED && a & 0x40)
        goto end;
    must(error != CB_OK || (t->state == CB_TAP_FINISHED && !wrong && !(a & 0x40)));
    t->state = error ? CB_TAP_FREE : CB_TAP_ACTIVE;
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    if (!error) {
        cb_get_activation(&in, &t->activation);
        must(cb_cursor_done(&in) && cb_id_same(&t->activation.holder, &holder));
        must(!revoked(t) && !t->forged);
    }
end:
    cb_buf_free(&body);
    cb_buf_free(&answer);
}

/* The intent goes into the log, whose head hsmd signs. */
static void record(const tap *t, int64_t time, cb_buf *place)
{
    cb_intent intent = {time, t->context,         t->activation.card, t->activation.holder,
                        key,  t->activation.level};
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX), answer = CB_BUF(CB_MSG_BODY_MAX),
           leaf = CB_BUF(CB_LEAF_MAX);
    cb_merkle_proof extends, path;
    cb_signed_head head;
    cb_intent_leaf(&intent, &leaf);
    cb_digest hash = cb_merkle_leaf(cb_buf_bytes(&leaf));
    cb_merkle_frontier before = evidence;
    cb_merkle_append(&evidence, &hash);
    cb_merkle_consistency(&before, &hash, 1, &extends);
    cb_tree_head now = {evidence.size, cb_merkle_root(&evidence)};
    cb_put_head(&body, &now);
    cb_merkle_proof_put(&body, &extends);
    must(ask(&log_lane, CB_HSM_LOG_SIGN, &body, &answer) == CB_OK);
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    cb_get_signed_head(&in, &head);
    cb_merkle_inclusion(&before, &hash, 1, 0, &path);
    cb_buf_put_u64(place, (uint64_t)time);
    cb_buf_put_u64(place, before.size);
    cb_put_head(place, &head.head);
    cb_put_digest(place, &head.mac);
    cb_merkle_proof_put(place, &path);
    cb_buf_free(&body);
    cb_buf_free(&answer);
    cb_buf_free(&leaf);
}

static void open_key(tap *t, uint8_t a)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    bool wrong = a & WRONG;
    tap other = *t;
    other.context.text.bytes[0] ^= wrong; /* another text was shown than was recorded */
    cb_put_id(&body, &t->context.tap);
    cb_buf_put_var(&body, cb_buf_bytes(&sealed));
    record(&other, cb_clock_wall_us(), &body);
    bool may =
        t->state == CB_TAP_ACTIVE && !wrong && !revoked(t) && !cb_feed_key(use_lane.feed, &key);
    cb_error error = ask(&use_lane, CB_HSM_TAP_OPEN_KEY, &body, NULL);
    must((error == CB_OK) == may);
    t->state = error ? CB_TAP_FREE : CB_TAP_OPEN;
    cb_buf_free(&body);
}

static void use(tap *t, uint8_t a)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    cb_digest digest = cb_sha256(cb_bytes_make(&a, 1));
    bool wrong = a & WRONG;
    cb_put_id(&body, &t->context.tap);
    cb_buf_put_u8(&body, CB_USE_SIGN_DIGEST);
    cb_buf_put_u8(&body, wrong ? CB_HASH_SHA384 : CB_HASH_SHA256);
    cb_buf_put_var(&body, cb_digest_bytes(&digest));
    bool may = t->state == CB_TAP_OPEN && !wrong && !revoked(t) &&
               !cb_feed_key(use_lane.feed, &key) && t->uses < USES;
    cb_error error = ask(&use_lane, CB_HSM_TAP_USE, &body, NULL);
    must((error == CB_OK) == may);
    t->uses++;
    if (error || t->uses == USES)
        t->state = CB_TAP_FREE;
    cb_buf_free(&body);
}

static void end(tap *t)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    cb_put_id(&body, &t->context.tap);
    ask(&use_lane, CB_HSM_TAP_END, &body, NULL);
    t->state = CB_TAP_FREE;
    cb_buf_free(&body);
}

/* ---- The feed ---- */

static void tell(const tap *t, uint8_t a)
{
    cb_buf body = CB_BUF(CB_MSG_BODY_MAX);
    uint8_t kind = (uint8_t)((a & 7) % 5 + CB_FEED_CARD_REVOKED);
    cb_feed_head now = cb_feed_now(use_lane.feed);
    cb_id card = w.first.card;
    cb_feed_entry entry = {now.number + 1 + (a & WRONG ? 1 : 0), kind,
                           kind == CB_FEED_TERMINAL_REVOKED ? t->context.terminal
                           : kind == CB_FEED_KEY_RETIRED    ? key
                                                            : card,
                           1};
    cb_buf_put_u16(&body, 1);
    cb_put_feed_entry(&body, &entry);
    cb_error error = ask(&use_lane, CB_HSM_FEED_EXTEND, &body, NULL);
    must(error == CB_OK || error == CB_E_BUSY || a & WRONG);
    must(error != CB_OK || !(a & WRONG));
    if (!error && kind == CB_FEED_CARD_REVOKED)
        must(cb_feed_card(use_lane.feed, &card) == CB_E_CARD_REVOKED);
    cb_buf_free(&body);
}

static void resume(void)
{
    cb_buf body = CB_BUF(64);
    cb_put_id(&body, &w.first.card);
    ask(&manage, CB_HSM_RESUME, &body, NULL);
    cb_buf_free(&body);
}

static void step(uint8_t what, uint8_t a)
{
    tap *t = &taps[(a >> 4) % TAPS];
    switch (what % WHATS) {
    case BEGIN:
        begin(t, a);
        break;
    case CHALLENGE:
        answer_card(t, CB_HSM_TAP_CHALLENGE, a);
        break;
    case FINISH:
        answer_card(t, CB_HSM_TAP_FINISH, a);
        break;
    case ACTIVATE:
        activate(t, a);
        break;
    case OPEN:
        open_key(t, a);
        break;
    case USE:
        use(t, a);
        break;
    case END:
        end(t);
        break;
    case FEED:
        tell(t, a);
        break;
    default:
        resume();
    }
}

static void clean_up(void) { world_free(&w); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    if (!w.card) {
        world_make(&w, false);
        atexit(clean_up);
    }
    open_world();
    for (int i = 0; i < STEPS_MAX && in.rest.len >= 2; i++) {
        uint8_t what = cb_cursor_u8(&in);
        step(what, cb_cursor_u8(&in));
    }
    close_world();
    return 0;
}
