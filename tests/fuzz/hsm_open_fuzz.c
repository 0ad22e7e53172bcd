/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether a key opens and is used, by a model: what the front end asks of a tap that is active.
 *
 * An input is 8 bytes of choices (struct choice), then changes to the message that asks, each: u16
 * place, u8 by what; and behind FF FF, uses of the key, each: u8 operation, u8 hash, u8 size.
 *
 * A key opens if, and only if, the tap is for its holder and service, reached its level, and the
 * intent of this very tap for this very key is in the log under a head that hsmd signed; and no
 * message but the one that says so, byte by byte, opens it. Then it is used so often and no more.
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

typedef struct choice {
    uint8_t purpose, level, reached, state; /* of the tap */
    uint8_t other_owner, key_level, uses;   /* of the key */
    uint8_t recorded; /* which field of the intent is recorded otherwise; 0: none */
} choice;

/* One that differs from what the tap is, for each field of an intent; MAC and time are the last. */
enum {
    AS_IT_IS,
    CARD,
    HOLDER,
    KEY,
    REACHED,
    TAP,
    TERMINAL,
    SERVICE,
    TEXT,
    LEVEL,
    PROFILE,
    MAC,
    TIME,
    NOWHERE,
    RECORDED
};

static world w;
static fake f;
static cb_lane lane;
static cb_id holder, other;
static cb_merkle_frontier evidence;

static void clean_up(void)
{
    fake_lane_free(&lane);
    fake_end(&f);
    world_free(&w);
}

static void prepare(void)
{
    if (lane.taps)
        return;
    cb_log_init("fuzz", CB_LOG_ERROR);
    holder = cb_id_new();
    other = cb_id_new();
    world_make(&w, false);
    fake_make(&f, &w);
    fake_lane(&f, CB_LANE_USE, 0, &lane);
    atexit(clean_up);
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

static cb_tap *active_tap(const choice *c)
{
    static const uint8_t states[] = {CB_TAP_ACTIVE, CB_TAP_ACTIVE,     CB_TAP_ACTIVE,
                                     CB_TAP_BEGUN,  CB_TAP_CHALLENGED, CB_TAP_FINISHED,
                                     CB_TAP_ACTIVE, CB_TAP_ACTIVE};
    cb_tap *tap;
    cb_id terminal = cb_id_new();
    must(cb_taps_add(lane.taps, lane.host, CB_PROFILE_NATIVE, &terminal, &tap) == CB_OK);
    tap->state = states[c->state % 8];
    tap->context =
        (cb_tap_context){.tap = tap->id,
                         .terminal = terminal,
                         .profile = CB_PROFILE_NATIVE,
                         .purpose = c->purpose % 8 ? CB_TAP_AUTHENTICATE : CB_TAP_PIN_CHANGE,
                         .level = c->level % 3,
                         .service = "tax"};
    tap->activation =
        (cb_activation){.holder = holder, .card = cb_id_new(), .level = c->reached % 3};
    tap->claim.card = tap->activation.card;
    return tap;
}

static cb_sealed_info make_key(const choice *c, cb_buf *sealed)
{
    cb_sealed_info key = {.holder = c->other_owner % 8 == 1 ? other : holder,
                          .algorithm = CB_KEY_EC_P256,
                          .level = c->key_level % 3,
                          .uses = c->uses % 3 + 1,
                          .sequence = 1};
    cb_buf point = CB_BUF(CB_PUBLIC_KEY_MAX);
    memcpy(key.service, c->other_owner % 8 == 2 ? "bank" : "tax", c->other_owner % 8 == 2 ? 5 : 4);
    must(fake_vault.generate(NULL, &key, (cb_bytes){0}, sealed, &point, NULL) == CB_OK);
    cb_buf_free(&point);
    return key;
}

/* The intent of the tap, but for one field. */
static cb_intent intent_of(const choice *c, const cb_tap *tap, const cb_sealed_info *key,
                           int64_t time)
{
    cb_intent intent = {
        time,     tap->context,         tap->activation.card, tap->activation.holder,
        key->key, tap->activation.level};
    cb_id *const ids[] = {[CARD] = &intent.card,
                          [HOLDER] = &intent.holder,
                          [KEY] = &intent.key,
                          [TAP] = &intent.context.tap,
                          [TERMINAL] = &intent.context.terminal};
    uint8_t field = c->recorded % RECORDED;
    if (field < sizeof ids / sizeof *ids && ids[field])
        ids[field]->bytes[3] ^= 1;
    intent.reached ^= field == REACHED;
    intent.context.service[0] ^= field == SERVICE;
    intent.context.text.bytes[0] ^= field == TEXT;
    intent.context.level ^= field == LEVEL;
    intent.context.profile ^= field == PROFILE;
    return intent;
}

/* The message that opens the key, and what it says of the log: the intent under a new head. */
static void ask_to_open(const choice *c, const cb_tap *tap, const cb_sealed_info *key,
                        const cb_buf *sealed, cb_buf *body)
{
    uint8_t field = c->recorded % RECORDED;
    int64_t time = cb_clock_wall_us() - (field == TIME ? CB_INTENT_NEAR + CB_SECOND : 0);
    cb_intent intent = intent_of(c, tap, key, time);
    cb_buf leaf = CB_BUF(CB_LEAF_MAX);
    cb_merkle_frontier before = evidence;
    cb_merkle_proof path;
    cb_digest mac;
    cb_intent_leaf(&intent, &leaf);
    cb_digest hash = cb_merkle_leaf(cb_buf_bytes(&leaf)), recorded = hash;
    recorded.bytes[0] ^= field == NOWHERE;
    cb_merkle_append(&evidence, &recorded);
    cb_tree_head head = {evidence.size, cb_merkle_root(&evidence)};
    cb_merkle_inclusion(&before, &hash, 1, 0, &path);
    must(fake_vault.head_mac(NULL, &head, &mac) == CB_OK);
    mac.bytes[0] ^= field == MAC;
    cb_put_id(body, &tap->id);
    cb_buf_put_var(body, cb_buf_bytes(sealed));
    cb_buf_put_u64(body, (uint64_t)time);
    cb_buf_put_u64(body, before.size);
    cb_put_head(body, &head);
    cb_put_digest(body, &mac);
    cb_merkle_proof_put(body, &path);
    cb_buf_free(&leaf);
}

static bool may_open(const choice *c, const cb_tap *tap, const cb_sealed_info *key)
{
    return tap->state == CB_TAP_ACTIVE && tap->context.purpose == CB_TAP_AUTHENTICATE &&
           c->recorded % RECORDED == AS_IT_IS && cb_id_same(&key->holder, &holder) &&
           strcmp(key->service, "tax") == 0 && tap->activation.level >= key->level;
}

static cb_error ask(uint16_t type, const cb_buf *body)
{
    cb_msg question, answer;
    cb_msg_init(&question, type);
    cb_msg_init(&answer, 0);
    cb_buf_put(&question.body, cb_buf_bytes(body));
    cb_request_handle(&lane, &question, &answer);
    cb_error error = answer.error;
    must(error == CB_OK || answer.body.len == 0);
    cb_msg_free(&question);
    cb_msg_free(&answer);
    return error;
}

/* Whether anything is other than it was. */
static bool change(cb_cursor *in, cb_buf *body)
{
    cb_buf was = CB_BUF(CB_MSG_BODY_MAX);
    cb_buf_put(&was, cb_buf_bytes(body));
    while (in->rest.len >= 3) {
        uint16_t place = cb_cursor_u16(in);
        if (place == 0xFFFF)
            break;
        body->data[place % body->len] ^= cb_cursor_u8(in);
    }
    bool changed = !cb_bytes_same(cb_buf_bytes(body), cb_buf_bytes(&was));
    cb_buf_free(&was);
    return changed;
}

/* How many uses were answered. */
static unsigned use(cb_cursor *in, const cb_id *tap)
{
    static const uint8_t zeros[256];
    unsigned done = 0;
    cb_buf body = CB_BUF(1024);
    for (int i = 0; i < 8 && in->rest.len >= 3; i++) {
        cb_buf_reset(&body);
        cb_put_id(&body, tap);
        cb_buf_put_u8(&body, cb_cursor_u8(in));
        cb_buf_put_u8(&body, cb_cursor_u8(in));
        cb_buf_put_var(&body, cb_bytes_make(zeros, cb_cursor_u8(in)));
        done += ask(CB_HSM_TAP_USE, &body) == CB_OK;
    }
    cb_buf_free(&body);
    return done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    choice c = {0};
    cb_cursor in = cb_cursor_over(cb_bytes_make(data, size));
    cb_buf sealed = CB_BUF(CB_SEALED_MAX), body = CB_BUF(CB_MSG_BODY_MAX);
    if (size < sizeof c)
        return 0;
    prepare();
    cb_cursor_copy(&in, (uint8_t *)&c, sizeof c);
    cb_tap *tap = active_tap(&c);
    cb_sealed_info key = make_key(&c, &sealed);
    cb_id id = tap->id;
    ask_to_open(&c, tap, &key, &sealed, &body);
    bool may = may_open(&c, tap, &key);
    may = !change(&in, &body) && may;
    bool opened = ask(CB_HSM_TAP_OPEN_KEY, &body) == CB_OK;
    must(opened == may);
    must(use(&in, &id) <= (opened ? key.uses : 0u));
    for (size_t i = 0; i < lane.taps->setup.capacity; i++)
        cb_taps_end(lane.taps, &lane.taps->tap[i]);
    cb_buf_free(&sealed);
    cb_buf_free(&body);
    return 0;
}
