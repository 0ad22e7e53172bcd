/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What tests of a holder's card that is bound by a one-time code do again and again, message by
 * message: for one file that includes it.
 */
#ifndef CB_TESTS_HSM_REGISTERING_STEPS_H
#define CB_TESTS_HSM_REGISTERING_STEPS_H

#include "hsm/registering.h"

#include "base/clock.h"
#include "binding_tap_steps.h"

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

/* For cards of one profile. */
static inline void allow_for(const cb_id *whom, uint8_t profile, uint8_t level)
{
    cb_registration_grant grant = grant_for(whom, level);
    grant.profiles = (uint8_t)(1 << profile);
    new_symbols();
    good(allow_as(&manage, &grant));
}

static inline void allow(const cb_id *whom, uint8_t level)
{
    allow_for(whom, CB_PROFILE_PIV, level);
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

/* Up to what the card says to everybody, and its certificates. */
static inline void begin(attempt *a, const piv_card *c)
{
    tap_begin(a, c, CB_TAP_REGISTER);
    piv_card_show(c, &a->reading);
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

static inline cb_error bind(attempt *a) { return tap_bind(a, 3); }

/* Begun with the code that was made last, up to hsmd's script for the card. */
static inline void come_to_script(attempt *a, const piv_card *c)
{
    begin(a, c);
    say(a);
    good(ask(a));
}

/* And with the card's proof, so that binding it is all that is left. */
static inline void come_to_binding(attempt *a, const piv_card *c)
{
    come_to_script(a, c);
    good(tap_finish(a, c, PIV_PIN));
}

/* A whole attempt with a card; out may be NULL. */
static inline cb_error attempt_with(const piv_card *c, const char *pin, cb_binding_info *out)
{
    attempt a;
    begin(&a, c);
    say(&a);
    cb_error error = ask(&a);
    if (!error)
        error = tap_finish(&a, c, pin);
    if (!error)
        error = bind(&a);
    if (!error && out)
        good(fake_vault.binding_check(NULL, cb_buf_bytes(&a.binding), out));
    assert_int_equal(a.binding.len > 0, error == CB_OK);
    tap_free(&a);
    return error;
}

static inline void make(piv_card *c)
{
    piv_card_make(c, &issuer, CB_VCARD_EC_P256, CB_VCARD_EC_P256);
}

#endif
