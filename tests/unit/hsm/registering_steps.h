/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What tests of a holder's card that is bound by a one-time code do again and again, message by
 * message: for one file that includes it.
 */
#ifndef CB_TESTS_HSM_REGISTERING_STEPS_H
#define CB_TESTS_HSM_REGISTERING_STEPS_H

#include "hsm/registering.h"

#include "base/clock.h"
#include "foreign_cards.h"
#include "hsm/registration.h"
#include "test.h"
#include "walk.h"

static agency issuer, strangers;
static const cb_id holder = {{7}}, somebody = {{8}};
static char symbols[CB_CODE_SYMBOLS]; /* of the code that was made last */
static cb_id code;

static inline int setup(void **state)
{
    int failed = walk_setup(state);
    agency_make(&issuer);
    agency_make(&strangers);
    agency_trust(&issuer, CB_PROFILE_PIV, &use.host->foreign[0]);
    return failed;
}

static inline int teardown(void **state)
{
    agency_free(&issuer);
    agency_free(&strangers);
    return walk_teardown(state);
}

/* ---- A manager ---- */

static inline void new_symbols(void)
{
    char text[CB_CODE_TEXT];
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_code_make(text);
    good(cb_code_read(cb_bytes_str(text), symbols));
    good(cb_registration_key(symbols, scalar, point));
    code = cb_registration_id(point);
}

static inline cb_error allow_as(cb_lane *lane, const cb_registration_grant *grant)
{
    cb_buf body = CB_BUF(64);
    cb_put_id(&body, &code);
    cb_put_registration(&body, grant);
    cb_error error = walk_ask(lane, CB_HSM_REGISTRATION_ALLOW, &body, NULL);
    cb_buf_free(&body);
    return error;
}

static inline cb_registration_grant grant_for(const cb_id *whom, uint8_t level)
{
    return (cb_registration_grant){.holder = *whom,
                                   .until = cb_clock_wall_us() + 60 * CB_SECOND,
                                   .profiles = 1 << CB_PROFILE_PIV,
                                   .level = level};
}

static inline void allow(const cb_id *whom, uint8_t level)
{
    cb_registration_grant grant = grant_for(whom, level);
    new_symbols();
    good(allow_as(&manage, &grant));
}

static inline cb_error withdraw(void)
{
    cb_buf body = CB_BUF(64);
    cb_put_id(&body, &code);
    cb_error error = walk_ask(&manage, CB_HSM_REGISTRATION_WITHDRAW, &body, NULL);
    cb_buf_free(&body);
    return error;
}

static inline cb_registration_grant state_of(const cb_id *which)
{
    cb_registration_grant grant;
    cb_buf body = CB_BUF(64), answer = CB_BUF(64);
    cb_put_id(&body, which);
    good(walk_ask(&manage, CB_HSM_REGISTRATION_STATE, &body, &answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    cb_get_registration(&in, &grant);
    assert_true(cb_cursor_done(&in));
    cb_buf_free(&body);
    cb_buf_free(&answer);
    return grant;
}

/* ---- A tap ---- */

typedef struct attempt {
    cb_tap_context context;
    cb_foreign_reading reading;
    cb_registration_word word;
    cb_buf first, script, answers, body, binding;
} attempt;

static inline void play(const cb_card_io *io, const cb_buf *script, cb_buf *answers)
{
    cb_script read;
    cb_buf_reset(answers);
    good(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read));
    good(cb_play(io, &read, answers));
}

/* Up to what the card says to everybody, and its certificates. */
static inline void begin(attempt *a, const piv_card *c)
{
    static const uint8_t uses[] = {CB_VPIV_AUTHENTICATION, CB_VPIV_CARD_AUTHENTICATION};
    *a = (attempt){
        .context = {.terminal = cb_id_new(), .profile = CB_PROFILE_PIV, .purpose = CB_TAP_REGISTER},
        .first = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .script = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
        .body = CB_BUF(CB_MSG_BODY_MAX),
        .binding = CB_BUF(CB_BINDING_MAX)};
    cb_buf answer = CB_BUF(CB_MSG_BODY_MAX);
    cb_buf_put_u8(&a->body, CB_PROFILE_PIV);
    cb_put_id(&a->body, &a->context.terminal);
    good(walk_ask(&use, CB_HSM_TAP_BEGIN, &a->body, &answer));
    cb_cursor in = cb_cursor_over(cb_buf_bytes(&answer));
    a->context.tap = cb_get_id(&in);
    cb_buf_put(&a->script, cb_cursor_rest(&in));
    cb_buf_free(&answer);
    cb_vcard_reset(c->card);
    play(&c->io, &a->script, &a->first);
    a->reading =
        (cb_foreign_reading){.profile = CB_PROFILE_PIV, .answers = cb_buf_bytes(&a->first)};
    for (unsigned i = 0; i < 2; i++) {
        if (c->certificate[i].len == 0)
            continue;
        a->reading.key[a->reading.keys].use = uses[i];
        a->reading.key[a->reading.keys++].certificate = c->certificate[i];
    }
}

static inline void end(attempt *a)
{
    cb_buf_free(&a->first);
    cb_buf_free(&a->script);
    cb_buf_free(&a->answers);
    cb_buf_free(&a->body);
    cb_buf_free(&a->binding);
}

static inline void say(attempt *a)
{
    good(cb_registration_say(symbols, &a->context.tap, &a->reading, &a->word));
}

static inline cb_error ask(attempt *a)
{
    cb_buf_reset(&a->body);
    cb_buf_reset(&a->script);
    cb_put_context(&a->body, &a->context);
    cb_put_reading(&a->body, &a->reading);
    cb_buf_put(&a->body, CB_BYTES_OF(a->word.point));
    cb_buf_put(&a->body, CB_BYTES_OF(a->word.signature));
    return walk_ask(&use, CB_HSM_TAP_REGISTER, &a->body, &a->script);
}

static inline cb_error finish(attempt *a, const piv_card *c, const char *pin)
{
    cb_card_io io = c->io;
    io.pin = cb_bytes_str(pin);
    play(&io, &a->script, &a->answers);
    cb_buf_reset(&a->body);
    cb_put_id(&a->body, &a->context.tap);
    cb_buf_put_var(&a->body, cb_buf_bytes(&a->answers));
    return walk_ask(&use, CB_HSM_TAP_FINISH, &a->body, NULL);
}

static inline cb_error bind(attempt *a)
{
    cb_feed_head head = cb_feed_now(use.feed);
    cb_buf_reset(&a->body);
    cb_put_id(&a->body, &a->context.tap);
    cb_buf_put_u64(&a->body, 3);
    cb_put_feed_head(&a->body, &head);
    return walk_ask(&use, CB_HSM_TAP_BIND, &a->body, &a->binding);
}

/* A whole attempt with a card; out may be NULL. */
static inline cb_error attempt_with(const piv_card *c, const char *pin, cb_binding_info *out)
{
    attempt a;
    begin(&a, c);
    say(&a);
    cb_error error = ask(&a);
    if (!error)
        error = finish(&a, c, pin);
    if (!error)
        error = bind(&a);
    if (!error && out)
        good(fake_vault.binding_check(NULL, cb_buf_bytes(&a.binding), out));
    assert_int_equal(a.binding.len > 0, error == CB_OK);
    end(&a);
    return error;
}

static inline void make(piv_card *c)
{
    piv_card_make(c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
}

#endif
