/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What tests of passwords in hsmd do again and again: for one file that includes it.
 */
#ifndef CB_TESTS_HSM_PASSWORD_STEPS_H
#define CB_TESTS_HSM_PASSWORD_STEPS_H

#include "hsm/password.h"

#include "base/clock.h"
#include "cardlink/password/password.h"
#include "cardlink/terminal/play.h"
#include "fake.h"
#include "hsm/activation.h"
#include "hsm/durable.h"
#include "hsm/guesses.h"
#include "hsm/protocol.h"
#include "test.h"
#include "walk.h"

static const cb_id hana = {{7}}, taro = {{8}};
#define RIGHT "correct horse battery"
#define OTHER "another long password"

static cb_lane use_lane, manage_lane;
static world own_world;
static fake own;

static int setup(void **state)
{
    (void)state;
    world_make(&own_world, false);
    fake_make(&own, &own_world);
    fake_lane(&own, CB_LANE_USE, 5, &use_lane);
    fake_lane(&own, CB_LANE_MANAGE, 0, &manage_lane);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_lane_free(&use_lane);
    fake_lane_free(&manage_lane);
    fake_end(&own);
    world_free(&own_world);
    return 0;
}

/* ---- Steps ---- */

static void key_of(const char *name, const char *password, uint8_t scalar[CB_P256_SCALAR],
                   uint8_t point[CB_P256_POINT])
{
    uint8_t salt[CB_PASSWORD_SALT];
    cb_id id = cb_password_id(name);
    good(fake_vault.password_salt(NULL, &id, salt));
    good(cb_password_key(cb_bytes_str(password), salt, &id, scalar));
    good(cb_p256_public(scalar, point));
}

static int64_t bound_until; /* of the passwords that are bound next; 0: they have no end */

static cb_error bind_point(const cb_id *id, const uint8_t point[CB_P256_POINT], const cb_id *holder,
                           uint64_t sequence, const cb_buf *before, cb_buf *binding)
{
    bool kept;
    cb_buf body = CB_BUF(4096), out = CB_BUF(CB_BINDING_MAX);
    cb_put_id(&body, id);
    cb_buf_put(&body, cb_bytes_make(point, CB_P256_POINT));
    cb_put_id(&body, holder);
    cb_buf_put_u64(&body, sequence);
    cb_buf_put_u64(&body, (uint64_t)bound_until);
    cb_buf_put_var(&body, before ? cb_buf_bytes(before) : (cb_bytes){0});
    cb_error error =
        walk_ask_len(&manage_lane, CB_HSM_BIND_PASSWORD, cb_buf_bytes(&body), &out, &kept);
    if (!error) {
        cb_buf_reset(binding);
        cb_buf_put(binding, cb_buf_bytes(&out));
    }
    cb_buf_free(&body);
    cb_buf_free(&out);
    return error;
}

static cb_error bind(const char *name, const char *password, const cb_id *holder, uint64_t sequence,
                     const cb_buf *before, cb_buf *binding)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_id id = cb_password_id(name);
    key_of(name, password, scalar, point);
    return bind_point(&id, point, holder, sequence, before, binding);
}

typedef struct tap {
    cb_tap_context context;
    cb_tap *tap;
    cb_activation activation;
} tap;

static void play(cb_buf *script, const cb_soft_password *soft, cb_buf *answers)
{
    cb_script read;
    cb_soft_password card = *soft;
    const cb_card_io io = {.card = &card, .transmit = cb_soft_password_transmit};
    cb_buf_reset(answers);
    good(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    good(cb_play(&io, &read, answers));
    cb_buf_reset(script);
}

/* Up to the claim. */
static void claim(tap *t, const char *name, const char *password)
{
    cb_card_claim said;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    *t = (tap){.context = {.terminal = cb_id_new(),
                           .profile = CB_PROFILE_PASSWORD,
                           .purpose = CB_TAP_AUTHENTICATE,
                           .level = CB_LEVEL_PASSWORD,
                           .service = "library"}};
    good(cb_tap_begin(use_lane.taps, use_lane.host, CB_PROFILE_PASSWORD, &t->context.terminal,
                      &t->context.tap, &script));
    good(cb_taps_enter(use_lane.taps, &t->context.tap, CB_TAP_BEGUN, &t->tap));
    cb_soft_password soft = {
        .id = cb_password_id(name), .password = cb_bytes_str(password), .context = t->context};
    play(&script, &soft, &answers);
    good(cb_tap_ask_card(use_lane.taps, t->tap, &t->context, cb_buf_bytes(&answers), (cb_bytes){0},
                         (cb_bytes){0}, &script));
    play(&script, &soft, &answers);
    good(cb_tap_finish(t->tap, cb_buf_bytes(&answers), &said));
    assert_true(cb_id_same(&said.card, &soft.id));
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

static cb_error activate(tap *t, const cb_buf *binding)
{
    cb_feed_head head = cb_feed_now(use_lane.feed);
    return cb_tap_activate(use_lane.taps, t->tap, binding ? cb_buf_bytes(binding) : (cb_bytes){0},
                           &head, &t->activation);
}

static cb_error log_in(const char *name, const char *password, const cb_buf *binding,
                       uint8_t *level)
{
    tap t;
    claim(&t, name, password);
    cb_error error = activate(&t, binding);
    if (level)
        *level = t.activation.level;
    cb_taps_end(use_lane.taps, t.tap);
    return error;
}

/* A wrong key costs no Argon2id. */
static cb_error guess(const char *name, const cb_buf *binding)
{
    tap t;
    uint8_t scalar[CB_P256_SCALAR] = {1};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(cb_tap_begin(use_lane.taps, use_lane.host, CB_PROFILE_PASSWORD, &hana, &t.context.tap,
                      &script));
    good(cb_taps_enter(use_lane.taps, &t.context.tap, CB_TAP_BEGUN, &t.tap));
    t.tap->claim = (cb_card_claim){.card = cb_password_id(name)};
    good(cb_p256_public(scalar, t.tap->claim.shown));
    cb_error error = activate(&t, binding);
    cb_taps_end(use_lane.taps, t.tap);
    cb_buf_free(&script);
    return error;
}

static void retire(const cb_buf *binding)
{
    cb_binding_info info;
    good(cb_binding_info_read(cb_buf_bytes(binding), &info));
    cb_feed_entry entry = {.number = cb_feed_now(use_lane.feed).number + 1,
                           .kind = CB_FEED_KEY_RETIRED,
                           .subject = cb_binding_subject(&info),
                           .time = 1};
    good(cb_feed_extend(use_lane.feed, &entry, 1));
}

#endif
