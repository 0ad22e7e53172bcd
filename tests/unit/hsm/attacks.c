/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "attacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/secret.h"
#include "front.h"
#include "hsm/protocol.h"

static const front_wish plain = {"tax", NULL, CB_LEVEL_POSSESSION, 0};
static const front_wish with_pin = {"tax", WORLD_PIN, CB_LEVEL_PIN, 0};

static cb_error make_key(front *f, const cb_id *holder, const char *service, uint8_t level,
                         uint8_t uses, front_key *key)
{
    return front_key_make(f, holder, service, CB_KEY_EC_P256, level, uses, key);
}

cb_error attack_sign(front *f, const front_tap *tap, const front_key *key)
{
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    cb_error error = front_sign(f, tap, key, &receipt);
    cb_buf_free(&receipt);
    return error;
}

static void a_tap_uses_its_key_once(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    cb_buf receipt = CB_BUF(CB_RECEIPT_MAX);
    good(make_key(f, &f->holder, "tax", CB_LEVEL_POSSESSION, 1, &key));
    good(front_open(f, plain, &key, &tap));
    assert_true(cb_id_same(&tap.activation.holder, &f->holder));
    assert_true(cb_id_same(&tap.activation.card, &f->w->first.card));
    assert_int_equal(tap.activation.level, CB_LEVEL_POSSESSION);
    good(front_sign(f, &tap, &key, &receipt));
    good(cb_hsm_receipt_check(f->hsm, cb_buf_bytes(&receipt)));
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &tap, &key));
    receipt.data[receipt.len / 2] ^= 1;
    expect(CB_E_HSM_RECORD, cb_hsm_receipt_check(f->hsm, cb_buf_bytes(&receipt)));
    cb_buf_free(&receipt);
    front_key_free(&key);
}

static void a_key_may_allow_several_uses(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    good(make_key(f, &f->holder, "tax", CB_LEVEL_PIN, 3, &key));
    good(front_open(f, with_pin, &key, &tap));
    assert_int_equal(tap.activation.level, CB_LEVEL_PIN);
    assert_int_equal(tap.activation.pin, CB_PIN_VERIFIED);
    for (int i = 0; i < 3; i++)
        good(attack_sign(f, &tap, &key));
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &tap, &key));
    front_key_free(&key);
}

static void a_step_out_of_order_ends_the_tap(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(make_key(f, &f->holder, "tax", CB_LEVEL_POSSESSION, 1, &key));
    good(front_begin(f, &tap, &script));
    expect(CB_E_TAP_ORDER, attack_sign(f, &tap, &key));
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &tap, &key));
    cb_buf_reset(&script);
    good(front_challenge(f, plain, &tap, &script));
    expect(CB_E_TAP_ORDER, cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding),
                                               &f->feed, &tap.activation));
    good(front_finish(f, plain, &tap));
    expect(CB_E_TAP_ORDER, attack_sign(f, &tap, &key));
    expect(CB_E_TAP_UNKNOWN,
           cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &f->feed,
                               &tap.activation));
    good(front_activate(f, plain, &tap));
    expect(CB_E_TAP_ORDER, attack_sign(f, &tap, &key));
    good(front_open(f, plain, &key, &tap));
    cb_intent_proof proof;
    cb_intent intent = front_intent(&tap, &key.info.key);
    good(front_record(f, &intent, &proof));
    expect(CB_E_TAP_ORDER,
           cb_hsm_tap_open_key(f->hsm, &tap.context.tap, cb_buf_bytes(&key.sealed), &proof));
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &tap, &key));
    cb_buf_free(&script);
    front_key_free(&key);
}

static void an_ended_tap_is_forgotten(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    good(make_key(f, &f->holder, "tax", CB_LEVEL_POSSESSION, 2, &key));
    good(front_open(f, plain, &key, &tap));
    cb_hsm_tap_end(f->hsm, &tap.context.tap);
    cb_hsm_tap_end(f->hsm, &tap.context.tap);
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &tap, &key));
    front_key_free(&key);
}

static void another_holders_key_stays_closed(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    cb_id other = cb_id_new();
    good(make_key(f, &other, "tax", CB_LEVEL_POSSESSION, 1, &key));
    expect(CB_E_HSM_ACTIVATION, front_open(f, plain, &key, &tap));
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &tap, &key));
    front_key_free(&key);
}

static void a_key_of_another_service_stays_closed(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    good(make_key(f, &f->holder, "bank", CB_LEVEL_POSSESSION, 1, &key));
    expect(CB_E_HSM_ACTIVATION, front_open(f, plain, &key, &tap));
    front_key_free(&key);
}

static void a_key_that_asks_for_more_stays_closed(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    good(make_key(f, &f->holder, "tax", CB_LEVEL_PIN, 1, &key));
    expect(CB_E_TAP_LEVEL, front_open(f, plain, &key, &tap));
    front_key_free(&key);
}

/* One more card of the world's issuer, and its certificate. */
void attack_another_card(front *f, cb_vcard_state *card, cb_buf *certificate)
{
    cb_issue_order order = {&f->w->kloc,
                            1,
                            cb_bytes_str(WORLD_PIN),
                            cb_bytes_str(WORLD_CODE),
                            false,
                            cb_issue_days_from_today(5)};
    good(cb_issue_card(&f->w->cards, &f->w->batch, &order, card, certificate));
}

static void a_binding_caps_the_level(void **state)
{
    front *f = *state;
    front_tap tap;
    cb_vcard_state other;
    cb_vcard *card, *own = f->w->card;
    cb_buf certificate = CB_BUF(CB_CVC_MAX), low = CB_BUF(CB_BINDING_MAX);
    attack_another_card(f, &other, &certificate);
    good(cb_vcard_make(&other, NULL, &card));
    good(cb_hsm_bind(f->hsm, cb_buf_bytes(&certificate), &f->holder, CB_LEVEL_POSSESSION, 2, &low));
    f->w->card = card;
    good(front_finish(f, with_pin, &tap));
    expect(CB_E_TAP_LEVEL, cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&low),
                                               &f->feed, &tap.activation));
    f->w->card = own;
    cb_vcard_close(&card);
    cb_wipe(&other, sizeof other);
    cb_buf_free(&certificate);
    cb_buf_free(&low);
}

/* Binds the world's card, or refuses to. */
static cb_error bind_again(front *f, const cb_id *holder, uint8_t level, uint64_t sequence)
{
    cb_buf binding = CB_BUF(CB_BINDING_MAX);
    cb_error error =
        cb_hsm_bind(f->hsm, cb_buf_bytes(&f->w->certificate), holder, level, sequence, &binding);
    assert_true((error == CB_OK) == (binding.len > 0));
    cb_buf_free(&binding);
    return error;
}

static void a_card_is_bound_once(void **state)
{
    front *f = *state;
    front_tap tap;
    cb_id other = cb_id_new();
    expect(CB_E_CARD_BOUND, bind_again(f, &other, CB_LEVEL_PIN, 1));
    expect(CB_E_CARD_BOUND, bind_again(f, &other, CB_LEVEL_PIN, 9));
    expect(CB_E_CARD_BOUND, bind_again(f, &f->holder, CB_LEVEL_POSSESSION, 2));
    expect(CB_E_ARGUMENT, bind_again(f, &f->holder, CB_LEVEL_NONE, 2));
    /* The same once more, as after an attempt that was never recorded. */
    good(bind_again(f, &f->holder, CB_LEVEL_PIN, 1));
    good(bind_again(f, &f->holder, CB_LEVEL_PIN, 2));
    good(front_activate(f, plain, &tap));
    assert_true(cb_id_same(&tap.activation.holder, &f->holder));
}

static void an_edited_record_is_refused(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    good(make_key(f, &f->holder, "tax", CB_LEVEL_POSSESSION, 1, &key));
    /* A field near the front, one further on, and the MAC. */
    for (int i = 0; i < 4; i++) {
        uint8_t *in_binding = &f->binding.data[i < 3 ? 3 + 18 * i : (int)f->binding.len - 1];
        uint8_t *in_sealed = &key.sealed.data[i < 3 ? 3 + 18 * i : (int)key.sealed.len - 1];
        *in_binding ^= 1;
        expect(CB_E_HSM_RECORD, front_activate(f, plain, &tap));
        *in_binding ^= 1;
        *in_sealed ^= 1;
        expect(CB_E_HSM_RECORD, front_open(f, plain, &key, &tap));
        *in_sealed ^= 1;
    }
    cb_buf whole = f->binding;
    f->binding = key.sealed;
    expect(CB_E_HSM_RECORD, front_activate(f, plain, &tap));
    f->binding = whole;
    front_key_free(&key);
}

static void a_binding_of_another_card_is_refused(void **state)
{
    front *f = *state;
    front_tap tap;
    world *other = malloc(sizeof *other);
    world_make(other, false);
    /* A card of the same issuer. */
    cb_vcard_state card;
    cb_buf certificate = CB_BUF(CB_CVC_MAX), binding = CB_BUF(CB_BINDING_MAX);
    attack_another_card(f, &card, &certificate);
    good(cb_hsm_bind(f->hsm, cb_buf_bytes(&certificate), &f->holder, CB_LEVEL_PIN, 1, &binding));
    good(front_finish(f, plain, &tap));
    expect(CB_E_HSM_RECORD, cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&binding),
                                                &f->feed, &tap.activation));
    /* A card of an issuer that nobody trusts. */
    cb_buf_reset(&binding);
    expect(CB_E_CARD_CERTIFICATE, cb_hsm_bind(f->hsm, cb_buf_bytes(&other->certificate), &f->holder,
                                              CB_LEVEL_PIN, 1, &binding));
    cb_wipe(&card, sizeof card);
    cb_buf_free(&certificate);
    cb_buf_free(&binding);
    world_free(other);
    free(other);
}

static void a_wrong_context_is_refused(void **state)
{
    front *f = *state;
    front_tap tap;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    for (int i = 0; i < 7; i++) {
        cb_buf_reset(&script);
        good(front_begin(f, &tap, &script));
        world_play(f->w->card, &script, &answers);
        cb_tap_context c = tap.context;
        c.purpose = i == 0 ? 99 : i == 1 ? CB_TAP_PIN_CHANGE : CB_TAP_AUTHENTICATE;
        c.level = i == 2 ? CB_LEVEL_PASSWORD + 1 : CB_LEVEL_POSSESSION;
        c.profile = i == 3 ? 7 : c.profile;
        if (i == 4)
            c.terminal = cb_id_new();
        memcpy(c.service, i == 5 ? "Tax" : "tax", 4);
        if (i == 6)
            c.service[0] = 0;
        cb_buf_reset(&script);
        expect(CB_E_ARGUMENT,
               cb_hsm_tap_challenge(f->hsm, &c, cb_buf_bytes(&answers), (cb_bytes){0}, (cb_bytes){0}, &script));
        expect(CB_E_TAP_UNKNOWN,
               cb_hsm_tap_challenge(f->hsm, &c, cb_buf_bytes(&answers), (cb_bytes){0}, (cb_bytes){0}, &script));
    }
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

static void answers_of_another_tap_do_not_prove_anything(void **state)
{
    front *f = *state;
    front_tap one, two;
    cb_card_claim claim;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(front_challenge(f, plain, &one, &script));
    world_play(f->w->card, &script, &answers);
    cb_buf_reset(&script);
    good(front_challenge(f, plain, &two, &script));
    assert_int_not_equal(
        cb_hsm_tap_finish(f->hsm, &two.context.tap, cb_buf_bytes(&answers), &claim), CB_OK);
    assert_int_not_equal(cb_hsm_tap_finish(f->hsm, &one.context.tap,
                                           cb_bytes_make(answers.data, answers.len - 1), &claim),
                         CB_OK);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

static void another_worker_does_not_know_the_tap(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    good(make_key(f, &f->holder, "tax", CB_LEVEL_POSSESSION, 1, &key));
    good(front_open(f, plain, &key, &tap));
    front_tap moved = tap;
    moved.context.tap.bytes[0] ^= 1;
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &moved, &key));
    moved = tap;
    moved.context.tap.bytes[9] ^= 1;
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &moved, &key));
    good(attack_sign(f, &tap, &key));
    front_key_free(&key);
}

static void a_changed_pin_opens_no_key(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    front_wish change = {"", WORLD_PIN, CB_LEVEL_NONE, CB_TAP_PIN_CHANGE};
    good(make_key(f, &f->holder, "tax", CB_LEVEL_POSSESSION, 1, &key));
    expect(CB_E_HSM_ACTIVATION, front_open(f, change, &key, &tap));
    /* Back to the card as it was made. */
    cb_vcard_close(&f->w->card);
    good(cb_vcard_make(&f->w->first, NULL, &f->w->card));
    front_key_free(&key);
}

static void a_wrong_pin_is_told_and_opens_nothing(void **state)
{
    front *f = *state;
    front_key key;
    front_tap tap;
    front_wish wrong = {"tax", "0000", CB_LEVEL_POSSESSION, 0};
    good(make_key(f, &f->holder, "tax", CB_LEVEL_POSSESSION, 1, &key));
    expect(CB_E_PIN_WRONG, front_activate(f, wrong, &tap));
    assert_int_equal(tap.activation.pin, CB_PIN_WRONG);
    assert_int_equal(tap.activation.pin_tries_left, CB_VCARD_PIN_TRIES - 1);
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &tap, &key));
    expect(CB_E_PIN_WRONG, front_activate(f, wrong, &tap));
    expect(CB_E_PIN_BLOCKED, front_activate(f, wrong, &tap));
    assert_int_equal(tap.activation.pin_tries_left, 0);
    cb_vcard_close(&f->w->card);
    good(cb_vcard_make(&f->w->first, NULL, &f->w->card));
    front_key_free(&key);
}

static void a_feed_that_is_behind_or_forked_is_refused(void **state)
{
    front *f = *state;
    front_tap tap;
    cb_id somebody = cb_id_new();
    cb_feed_head old = f->feed, now;
    good(front_revoke(f, CB_FEED_CARD_REVOKED, &somebody));
    good(cb_hsm_feed_state_any(f->hsm, &now));
    assert_true(now.number == f->feed.number && memcmp(&now.hash, &f->feed.hash, 32) == 0);

    /* The database set back by one revocation. */
    good(front_finish(f, plain, &tap));
    expect(CB_E_HSM_ROLLED_BACK,
           cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &old,
                               &tap.activation));
    /* Another history of the same length. */
    cb_feed_head fork = f->feed;
    fork.hash.bytes[0] ^= 1;
    expect(CB_E_HSM_ROLLED_BACK,
           cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &fork,
                               &tap.activation));
    /* Entries that are to replace what is remembered. */
    cb_feed_entry other = {f->feed.number, CB_FEED_CARD_REVOKED, cb_id_new(), 1};
    expect(CB_E_HSM_ROLLED_BACK, cb_hsm_feed_extend_any(f->hsm, &other, 1));
    /* A gap. */
    other.number += 2;
    expect(CB_E_HSM_FEED_BEHIND, cb_hsm_feed_extend(f->hsm, &tap.context.tap, &other, 1));
    /* A head that hsmd has not heard of, then the entries: the tap goes on. */
    cb_feed_entry next = {f->feed.number + 1, CB_FEED_CARD_REVOKED, cb_id_new(), 7};
    f->feed = (cb_feed_head){next.number, cb_feed_hash(&f->feed.hash, &next)};
    expect(CB_E_HSM_FEED_BEHIND,
           cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &f->feed,
                               &tap.activation));
    good(cb_hsm_feed_state(f->hsm, &tap.context.tap, &now));
    assert_int_equal(now.number, next.number - 1);
    good(cb_hsm_feed_extend(f->hsm, &tap.context.tap, &next, 1));
    good(cb_hsm_tap_activate(f->hsm, &tap.context.tap, cb_buf_bytes(&f->binding), &f->feed,
                             &tap.activation));
}

/* Revokes something in the middle of a tap that is open for several uses. */
static void revoke_between_uses(front *f, uint8_t kind, const cb_id *subject, cb_error refused)
{
    front_key key;
    front_tap tap;
    good(make_key(f, &f->holder, "tax", CB_LEVEL_POSSESSION, 3, &key));
    good(front_open(f, plain, &key, &tap));
    good(attack_sign(f, &tap, &key));
    good(front_revoke(f, kind, subject ? subject : &key.info.key));
    expect(refused, attack_sign(f, &tap, &key));
    expect(CB_E_HSM_ACTIVATION, attack_sign(f, &tap, &key));
    if (!subject)
        expect(CB_E_HSM_KEY_RETIRED, front_open(f, plain, &key, &tap));
    else
        expect(refused, front_activate(f, plain, &tap));
    front_key_free(&key);
}

static void a_revocation_ends_what_is_under_way(void **state)
{
    front *f = *state;
    front_tap tap;
    revoke_between_uses(f, CB_FEED_KEY_RETIRED, NULL, CB_E_HSM_KEY_RETIRED);
    revoke_between_uses(f, CB_FEED_CARD_SUSPENDED, &f->w->first.card, CB_E_CARD_SUSPENDED);
    good(front_revoke(f, CB_FEED_CARD_RESUMED, &f->w->first.card));
    good(cb_hsm_resume(f->hsm, &f->w->first.card));
    good(front_activate(f, plain, &tap));
    revoke_between_uses(f, CB_FEED_TERMINAL_REVOKED, &f->terminal, CB_E_TERMINAL_REVOKED);
    f->terminal = cb_id_new();
    revoke_between_uses(f, CB_FEED_CARD_REVOKED, &f->w->first.card, CB_E_CARD_REVOKED);
    /* A revoked card is never good again, whatever else is said of it. */
    good(front_revoke(f, CB_FEED_CARD_RESUMED, &f->w->first.card));
    expect(CB_E_CARD_REVOKED, cb_hsm_resume(f->hsm, &f->w->first.card));
    expect(CB_E_CARD_REVOKED, front_activate(f, plain, &tap));
    expect(CB_E_CARD_REVOKED, bind_again(f, &f->holder, CB_LEVEL_PIN, 1));
}

/* A front end says what it likes of a suspended card. */
static void only_a_manager_resumes_a_card(void **state)
{
    front *f = *state;
    front_tap tap;
    const cb_id *card = &f->w->first.card;
    for (int round = 0; round < 2; round++) {
        good(front_revoke(f, CB_FEED_CARD_SUSPENDED, card));
        expect(CB_E_HSM_FEED_BEHIND, cb_hsm_resume(f->hsm, card));
        expect(CB_E_CARD_SUSPENDED, front_activate(f, plain, &tap));
        for (int i = 0; i < 3; i++)
            good(front_revoke(f, CB_FEED_CARD_RESUMED, card));
        expect(CB_E_CARD_SUSPENDED, front_activate(f, plain, &tap));
        good(cb_hsm_resume(f->hsm, card));
        good(front_activate(f, plain, &tap));
    }
}

/* Sends a message to a socket of the run folder and returns the error of the answer, or of there
 * being none. */
cb_error attack_raw(const char *run, const char *lane, uint16_t type, cb_bytes body)
{
    char path[256];
    int s;
    cb_msg msg;
    snprintf(path, sizeof path, "%s/%s.sock", run, lane);
    cb_error error = cb_msg_connect(path, &s);
    if (error)
        return error;
    cb_msg_init(&msg, type);
    cb_buf_put(&msg.body, body);
    error = cb_msg_call(s, &msg, &msg, cb_deadline_in(5 * CB_SECOND));
    if (error == CB_E_HSM_ILLEGAL) {
        /* Nothing more is heard on this connection. */
        cb_msg again;
        cb_msg_init(&again, CB_HSM_HELLO);
        assert_int_equal(cb_msg_call(s, &again, &again, cb_deadline_in(5 * CB_SECOND)),
                         CB_E_CLOSED);
        cb_msg_free(&again);
    }
    cb_msg_free(&msg);
    close(s);
    return error;
}

const char *attack_run;

static void lanes_refuse_what_is_not_theirs(void **state)
{
    static const uint8_t zeros[80];
    /* Of a size that is right for some, so that it is the lane that refuses. */
    static const size_t sizes[] = {0, CB_ID_SIZE, sizeof zeros};
    (void)state;
    for (uint16_t type = CB_HSM_BIND; type < CB_HSM_MESSAGES; type++) {
        for (size_t i = 0; i < 3; i++) {
            cb_bytes body = cb_bytes_make(zeros, sizes[i]);
            /* One of these is that lane's: of a tap that is none. */
            bool fits = type == CB_HSM_TAP_PASSWORD && sizes[i] == sizeof zeros;
            expect(fits ? CB_E_TAP_UNKNOWN : CB_E_HSM_ILLEGAL,
                   attack_raw(attack_run, "use-0", type, body));
            if (type != CB_HSM_PUBLIC_KEY)
                expect(CB_E_HSM_ILLEGAL, attack_raw(attack_run, "log", type, body));
        }
    }
    for (uint16_t type = CB_HSM_TAP_BEGIN; type < CB_HSM_BIND; type++)
        expect(CB_E_HSM_ILLEGAL, attack_raw(attack_run, "manage", type, CB_BYTES_OF(zeros)));
    expect(CB_E_HSM_ILLEGAL, attack_raw(attack_run, "use-1", CB_HSM_LOG_STATE, (cb_bytes){0}));
    expect(CB_E_HSM_ILLEGAL, attack_raw(attack_run, "use-1", CB_HSM_MESSAGES, (cb_bytes){0}));
    expect(CB_E_HSM_ILLEGAL, attack_raw(attack_run, "use-1", 0xFFFF, (cb_bytes){0}));
    expect(CB_OK, attack_raw(attack_run, "use-1", CB_HSM_FEED_STATE, (cb_bytes){0}));
}

static void malformed_messages_harm_nobody(void **state)
{
    static const char *const lanes[] = {"use-0", "use-1", "log", "manage"};
    static const size_t lens[] = {0, 1, 15, 16, 17, 33, 100, 1000, 9000, 33002, CB_MSG_BODY_MAX};
    static uint8_t body[CB_MSG_BODY_MAX];
    front *f = *state;
    front_tap tap;
    for (unsigned lane = 0; lane < 4; lane++) {
        for (uint16_t type = 1; type <= CB_HSM_MESSAGES; type++) {
            if (type == CB_HSM_GENERATION)
                continue; /* has no body, so it is always well formed */
            for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
                cb_random(body, lens[i]);
                cb_error error =
                    attack_raw(attack_run, lanes[lane], type, cb_bytes_make(body, lens[i]));
                assert_true(error != CB_E_CLOSED && error != CB_E_TIMEOUT);
            }
        }
    }
    good(cb_hsm_ping(f->hsm));
    good(front_activate(f, plain, &tap));
}

static void two_hundred_connections_are_served(void **state)
{
    int s[200];
    char path[256];
    front *f = *state;
    front_tap tap;
    snprintf(path, sizeof path, "%s/use-0.sock", attack_run);
    for (int i = 0; i < 200; i++)
        good(cb_msg_connect(path, &s[i]));
    for (int i = 0; i < 200; i++) {
        cb_msg msg;
        cb_msg_init(&msg, CB_HSM_HELLO);
        good(cb_msg_call(s[i], &msg, &msg, cb_deadline_in(5 * CB_SECOND)));
        cb_msg_free(&msg);
    }
    for (int i = 0; i < 4; i++)
        good(front_activate(f, plain, &tap));
    for (int i = 0; i < 200; i++)
        close(s[i]);
}

static const struct CMUnitTest own_tests[] = {
    cmocka_unit_test(a_tap_uses_its_key_once),
    cmocka_unit_test(a_key_may_allow_several_uses),
    cmocka_unit_test(a_step_out_of_order_ends_the_tap),
    cmocka_unit_test(an_ended_tap_is_forgotten),
    cmocka_unit_test(another_holders_key_stays_closed),
    cmocka_unit_test(a_key_of_another_service_stays_closed),
    cmocka_unit_test(a_key_that_asks_for_more_stays_closed),
    cmocka_unit_test(a_binding_caps_the_level),
    cmocka_unit_test(a_card_is_bound_once),
    cmocka_unit_test(only_a_manager_resumes_a_card),
    cmocka_unit_test(an_edited_record_is_refused),
    cmocka_unit_test(a_binding_of_another_card_is_refused),
    cmocka_unit_test(a_wrong_context_is_refused),
    cmocka_unit_test(answers_of_another_tap_do_not_prove_anything),
    cmocka_unit_test(another_worker_does_not_know_the_tap),
    cmocka_unit_test(a_changed_pin_opens_no_key),
    cmocka_unit_test(a_wrong_pin_is_told_and_opens_nothing),
    cmocka_unit_test(a_feed_that_is_behind_or_forked_is_refused),
    cmocka_unit_test(lanes_refuse_what_is_not_theirs),
    cmocka_unit_test(malformed_messages_harm_nobody),
    cmocka_unit_test(two_hundred_connections_are_served),
};

/* After all others: the card is lost. */
static const struct CMUnitTest last_test = cmocka_unit_test(a_revocation_ends_what_is_under_way);

static size_t put(struct CMUnitTest *out, const struct CMUnitTest *tests, size_t count)
{
    memcpy(out, tests, count * sizeof *out);
    return count;
}

size_t attack_list(struct CMUnitTest out[ATTACKS_MAX])
{
    enum { OWN = sizeof own_tests / sizeof *own_tests };
    size_t count = put(out, own_tests, OWN);
    assert_true(OWN + attack_intent_count + attack_race_count + attack_log_count +
                    attack_password_count + attack_pin_count + attack_worker_count +
                    attack_end_count + 1 <
                ATTACKS_MAX);
    count += put(out + count, attack_intent_tests, attack_intent_count);
    count += put(out + count, attack_race_tests, attack_race_count);
    count += put(out + count, attack_log_tests, attack_log_count);
    count += put(out + count, attack_password_tests, attack_password_count);
    count += put(out + count, attack_pin_tests, attack_pin_count);
    count += put(out + count, attack_worker_tests, attack_worker_count);
    count += put(out + count, attack_end_tests, attack_end_count);
    count += put(out + count, &last_test, 1);
    return count + put(out + count, &attack_end_last, 1);
}
